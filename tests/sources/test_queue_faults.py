"""What can be wrong with a broker: each is said, nothing is made up, and no other broker suffers."""

import asyncio
from datetime import datetime, timedelta
from functools import partial
from operator import eq
from pathlib import Path

import pytest
import redis

from crm_operator.domain.key import Key
from crm_operator.domain.world import QueueReading, Unknown
from crm_operator.sources.address import AddressPolicy
from crm_operator.sources.queues import QueueHub, QueueSource
from crm_operator.sources.secret import Secret
from tests.redisserver import RedisServer
from tests.sources.conftest import Changes, now, running
from tests.sources.desk import KEY, LOCAL, WINDOW, Desk, a_source, counts_of
from tests.sources.shop import Shop


@pytest.mark.parametrize(
    ("url", "reason", "remedy"),
    [
        pytest.param("redis://:wr0ng@127.0.0.1:{port}/0", "AuthenticationFailed", "Secret", id="a wrong password"),
        pytest.param("redis://us3r:wr0ng@127.0.0.1:{port}/0", "AuthenticationFailed", "Secret", id="a wrong user"),
        pytest.param("redis://127.0.0.1:{port}/0", "AuthenticationFailed", "urlFrom", id="no password"),
        pytest.param("redis://:right@127.0.0.1:{port}/99", "DatabaseInvalid", "URL", id="no such database"),
        pytest.param("rediss://:right@127.0.0.1:{port}/0", "Timeout", "TLS", id="TLS to a server without it"),
        pytest.param("redis://:right@127.0.0.1:1/0", "ConnectionRefused", "port", id="nobody listens"),
        pytest.param("redis://:right@nowhere.invalid:{port}/0", "HostNotFound", "spelling", id="no such host"),
    ],
)
async def test_what_is_wrong_is_said_without_credentials(
    url: str, reason: str, remedy: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    desk = Desk(policy=AddressPolicy(("127.0.0.1", "nowhere.invalid")), timeout=5)
    with RedisServer(password="right") as server:
        desk.hub.watch(KEY, a_source(server, url=url.format(port=server.port)))
        async with running(desk.hub):
            unknown = await desk.unknown()
    assert unknown.reason == reason
    assert remedy in unknown.why
    assert unknown.why.startswith(("spec.queue.url (127.0.0.1:", "spec.queue.url (nowhere.invalid:"))
    said = unknown.why + caplog.text + repr([record.__dict__ for record in caplog.records])
    assert not any(word in said for word in ("wr0ng", "us3r", "right@"))


async def test_the_right_password_reads() -> None:
    desk = Desk()
    with RedisServer(password="right") as server:
        desk.hub.watch(KEY, a_source(server))
        async with running(desk.hub):
            await desk.reading()


async def test_a_key_of_another_type_spoils_its_own_integration_only(redis_server: RedisServer) -> None:
    with redis_server.client() as client:
        client.set("test:bad", "a string")
    desk, good = Desk(), Key("crm", "zoho")
    desk.hub.watch(KEY, a_source(redis_server, "sync", "bad"))
    desk.hub.watch(good, a_source(redis_server, "good"))
    async with running(desk.hub):
        assert (await desk.unknown()).reason == "WrongType"
        await desk.reading(good)


async def test_a_user_who_may_not_read_is_told(redis_server: RedisServer) -> None:
    with redis_server.client() as client:
        client.execute_command("ACL", "SETUSER", "blind", "on", ">pw", "+ping")
    desk = Desk()
    desk.hub.watch(KEY, a_source(redis_server, url=f"redis://blind:pw@127.0.0.1:{redis_server.port}/0"))
    async with running(desk.hub):
        assert (await desk.unknown()).reason == "NotPermitted"


async def test_a_full_broker_is_named_as_such() -> None:
    with RedisServer(options=("--maxclients", "1")) as server, server.client() as client:
        client.ping()
        desk = Desk()
        desk.hub.watch(KEY, a_source(server))
        async with running(desk.hub):
            assert (await desk.unknown()).reason == "TooManyClients"


async def test_a_broker_that_comes_back_empty_is_not_taken_for_long_empty(
    redis_server: RedisServer, shop: Shop
) -> None:
    for _ in range(7):
        shop.sync.send()
    desk = Desk()
    desk.hub.watch(KEY, a_source(redis_server))
    async with running(desk.hub):
        await desk.when_good()
        redis_server.stop()
        bad = await desk.when_bad()
        assert bad.good_since is None
        assert isinstance(bad.latest, Unknown)
        restarted = now()
        redis_server.start()
        good = await desk.when_good()
    assert good.good_since is not None
    assert good.good_since >= restarted


async def test_a_restart_between_two_ticks_is_noticed(redis_server: RedisServer, shop: Shop) -> None:
    shop.sync.send()
    desk = Desk(interval=30)
    desk.hub.watch(KEY, a_source(redis_server))
    async with running(desk.hub):
        await desk.reading()
        redis_server.stop()
        restarted = now()
        redis_server.start()
        await desk.reading()
        view = desk.hub.view(KEY)
    assert view.good_since is not None
    assert view.good_since >= restarted


async def test_a_cut_connection_is_made_again_at_once(redis_server: RedisServer, shop: Shop) -> None:
    shop.sync.send()
    desk = Desk(interval=30)
    desk.hub.watch(KEY, a_source(redis_server))
    async with running(desk.hub):
        first = await desk.reading()
        with redis_server.client() as client:
            client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        second = await desk.reading()
        assert second.waiting == first.waiting
        assert desk.hub.view(KEY).good_since == second.at, "who knows what happened in between"


async def test_a_frozen_broker_delays_no_other(redis_server: RedisServer, shop: Shop) -> None:
    desk, other = Desk(timeout=3), Key("crm", "zoho")
    with RedisServer() as frozen:
        desk.hub.watch(KEY, a_source(redis_server))
        desk.hub.watch(other, a_source(frozen))
        async with running(desk.hub):
            await desk.reading()
            await desk.reading(other)
            frozen.freeze()
            view = await desk.when_bad(other)
            assert isinstance(view.latest, Unknown)
            assert view.latest.reason == "Timeout"
            started = asyncio.get_running_loop().time()
            for count in range(1, 4):
                shop.sync.send()
                await desk.changes.until(lambda: counts_of(desk.hub.view(KEY))[0], is_so=partial(eq, count), within=3)
            assert asyncio.get_running_loop().time() - started < 3, "less than one wait for the frozen one"
            frozen.thaw()
            await desk.when_good(other)


async def test_a_host_that_is_not_allowed_is_never_dialled(redis_server: RedisServer) -> None:
    desk = Desk(policy=AddressPolicy())
    desk.hub.watch(KEY, a_source(redis_server))
    latest = desk.hub.view(KEY).latest
    assert isinstance(latest, Unknown)
    assert latest.reason == "HostNotAllowed"
    with redis_server.client() as client:
        assert len(client.client_list()) == 1


async def test_what_speaks_no_redis_is_told_apart() -> None:
    async def babble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(babble, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    desk = Desk()
    desk.hub.watch(KEY, QueueSource(Secret(f"redis://127.0.0.1:{port}/0"), "test", ("sync",), WINDOW))
    async with server, running(desk.hub):
        unknown = await desk.unknown()
    assert unknown.reason in ("ProtocolError", "ConnectionClosed")
    assert "HTTP" not in unknown.why


async def test_a_reading_that_is_too_old_is_none(redis_server: RedisServer) -> None:
    late = timedelta(0)

    def clock() -> datetime:
        return now() + late

    hub = QueueHub(policy=LOCAL, on_change=Changes(), clock=clock, interval=timedelta(seconds=1))
    hub.watch(KEY, a_source(redis_server))
    async with running(hub):
        await hub.refresh(KEY)
        assert isinstance(hub.view(KEY).latest, QueueReading)
    late = timedelta(minutes=1)
    latest = hub.view(KEY).latest
    assert isinstance(latest, Unknown)
    assert latest.reason == "Stale"


async def test_a_slow_broker_is_a_failed_read_and_is_read_again_when_it_answers(
    redis_server: RedisServer, shop: Shop
) -> None:
    shop.sync.send()
    desk = Desk()
    desk.hub.watch(KEY, a_source(redis_server))
    async with running(desk.hub):
        await desk.reading()
        with redis_server.client() as client:
            client.execute_command("CLIENT", "PAUSE", "1500", "ALL")
        slow = await desk.when_bad()
        assert isinstance(slow.latest, Unknown)
        assert slow.latest.reason == "Timeout"
        good = await desk.when_good()
    assert isinstance(good.latest, QueueReading)
    assert good.latest.waiting == 1
    assert good.good_since == good.latest.at, "readings begin anew"


async def test_a_broker_that_loads_its_data_says_so(tmp_path: Path) -> None:
    """Two hundred keys of 10 KB, and a second to load them."""
    with RedisServer(options=("--dir", str(tmp_path))) as server, server.client() as client:
        for n in range(200):
            client.set(f"other:{n}", "x" * 10_000)
        client.config_set("rdbcompression", "no")
        client.save()
    slowly = ("--key-load-delay", "10000", "--loading-process-events-interval-bytes", "1024")
    desk = Desk()
    server = RedisServer(options=("--dir", str(tmp_path), *slowly))
    desk.hub.watch(KEY, a_source(server))
    async with running(desk.hub):
        starting = asyncio.create_task(asyncio.to_thread(server.start))
        try:
            await desk.changes.until(lambda: _reason(desk), is_so=partial(eq, "Loading"))
            await desk.when_good()
        finally:
            await starting
            server.stop()


async def test_a_replica_is_read(redis_server: RedisServer, shop: Shop) -> None:
    """Nothing here writes, so READONLY never comes up."""
    shop.sync.send()
    desk = Desk()
    with RedisServer(options=("--replicaof", "127.0.0.1", str(redis_server.port))) as replica:
        with redis_server.client() as client:
            client.wait(1, 4_000)
        desk.hub.watch(KEY, a_source(replica))
        async with running(desk.hub):
            assert (await desk.reading()).waiting == 1


async def test_a_replica_that_lost_its_master_and_refuses_to_answer_is_named_as_such() -> None:
    desk = Desk()
    with RedisServer(options=("--replica-serve-stale-data", "no")) as replica:
        with replica.client() as client:
            client.replicaof("127.0.0.1", 1)
        desk.hub.watch(KEY, a_source(replica))
        async with running(desk.hub):
            unknown = await desk.unknown()
    assert unknown.reason == "ReplicaStale"
    assert "use the master's host" in unknown.why


async def test_a_connection_that_is_free_again_is_used() -> None:
    with RedisServer(options=("--maxclients", "1")) as server:
        desk = Desk()
        with server.client() as client:
            client.ping()
            desk.hub.watch(KEY, a_source(server))
            async with running(desk.hub):
                assert (await desk.unknown()).reason == "TooManyClients"
                client.close()
                await desk.when_good()


async def test_a_broker_out_of_memory_is_read(redis_server: RedisServer, shop: Shop) -> None:
    """It refuses writes, and its queue matters all the more."""
    shop.sync.send()
    with redis_server.client() as client:
        client.config_set("maxmemory", "1")
        with pytest.raises(redis.ResponseError, match="used memory"):
            client.set("more", "data")
    desk = Desk()
    desk.hub.watch(KEY, a_source(redis_server))
    async with running(desk.hub):
        assert (await desk.reading()).waiting == 1


def _reason(desk: Desk) -> str:
    latest = desk.hub.view(KEY).latest
    return latest.reason if isinstance(latest, Unknown) else ""
