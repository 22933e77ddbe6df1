"""The queue hub against real Redis servers and real Dramatiq messages."""

import asyncio
import threading
from collections.abc import Iterator
from datetime import datetime, timedelta
from functools import partial
from operator import eq
from typing import Any

import dramatiq
import pytest
from dramatiq.brokers.redis import RedisBroker

from crm_operator.api.v1alpha1 import Guard
from crm_operator.domain.key import Key
from crm_operator.domain.world import QueueReading, QueueView, Reading, Unknown
from crm_operator.sources.address import AddressPolicy
from crm_operator.sources.queues import QueueHub, QueueSource
from crm_operator.sources.secret import Secret
from tests.redisserver import RedisServer
from tests.sources.conftest import Changes, eventually, now, running

KEY = Key("crm", "hubspot")
LOCAL = AddressPolicy(("127.0.0.1",))
WINDOW = timedelta(seconds=20)


def a_source(server: RedisServer, *names: str, url: str | None = None, window: timedelta = WINDOW) -> QueueSource:
    return QueueSource(Secret(url or server.url), "test", names or ("sync",), window)


class Desk:
    """A hub with a short interval and what it reported."""

    def __init__(self, *, policy: AddressPolicy = LOCAL, interval: float = 0.1, timeout: float = 0.3) -> None:
        self.changes = Changes()
        self.hub = QueueHub(
            policy=policy,
            on_change=self.changes,
            clock=now,
            interval=timedelta(seconds=interval),
            timeout=timedelta(seconds=timeout),
        )

    async def reading(self, key: Key = KEY) -> QueueReading:
        """A reading that begins now."""
        await self.hub.refresh(key)
        latest = self.hub.view(key).latest
        assert isinstance(latest, QueueReading), latest
        return latest

    async def unknown(self, key: Key = KEY) -> Unknown:
        await self.hub.refresh(key)
        latest = self.hub.view(key).latest
        assert isinstance(latest, Unknown), latest
        return latest

    async def when_good(self, key: Key = KEY, within: float = 10) -> QueueView:
        return await self.changes.until(
            lambda: self.hub.view(key), is_so=lambda view: isinstance(view.latest, QueueReading), within=within
        )

    async def when_bad(self, key: Key = KEY, within: float = 10) -> QueueView:
        return await self.changes.until(
            lambda: self.hub.view(key), is_so=lambda view: view.good_since is None, within=within
        )


class Shop:
    """Dramatiq as the users have it: an actor that waits for `go`, and one that always fails."""

    def __init__(self, server: RedisServer) -> None:
        self.broker = RedisBroker(url=server.url, namespace="test")
        self.go = threading.Event()
        go = self.go

        def sync() -> None:
            go.wait(20)

        def fail() -> None:
            raise RuntimeError("always")

        make = dramatiq.actor
        self.sync: Any = make(sync, broker=self.broker, queue_name="sync", actor_name="sync")
        self.fail: Any = make(fail, broker=self.broker, queue_name="sync", actor_name="fail", max_retries=0)

    def worker(self, threads: int) -> dramatiq.Worker:
        return dramatiq.Worker(self.broker, queues={"sync"}, worker_threads=threads, worker_timeout=50)


@pytest.fixture
def shop(redis_server: RedisServer) -> Iterator[Shop]:
    shop = Shop(redis_server)
    yield shop
    shop.go.set()
    shop.broker.close()


async def test_a_missing_key_is_zero(redis_server: RedisServer) -> None:
    desk = Desk()
    desk.hub.watch(KEY, a_source(redis_server, "never", "seen"))
    async with running(desk.hub):
        reading = await desk.reading()
    assert (reading.waiting, reading.running, reading.delayed, reading.due, reading.dead) == (0, 0, 0, 0, 0)
    assert reading.oldest_age is None


async def test_waiting_delayed_and_due_jobs_are_counted(redis_server: RedisServer, shop: Shop) -> None:
    for _ in range(3):
        shop.sync.send()
    shop.sync.send_with_options(delay=5_000)  # due before a worker could start
    shop.sync.send_with_options(delay=3_600_000)
    desk = Desk()
    desk.hub.watch(KEY, a_source(redis_server))
    async with running(desk.hub):
        reading = await desk.reading()
    assert (reading.waiting, reading.running, reading.delayed, reading.due) == (3, 0, 2, 1)
    assert reading.backlog == 4
    assert reading.oldest_age is not None
    assert timedelta(0) <= reading.oldest_age < timedelta(seconds=10)


async def test_jobs_that_a_worker_holds_are_running(redis_server: RedisServer, shop: Shop) -> None:
    """LLEN alone would say that nothing is left: the worker has prefetched all of it."""
    worker = shop.worker(2)
    desk = Desk()
    desk.hub.watch(KEY, a_source(redis_server))
    await asyncio.to_thread(worker.start)
    try:
        for _ in range(4):
            shop.sync.send()
        async with running(desk.hub):
            view = await desk.changes.until(lambda: desk.hub.view(KEY), is_so=lambda v: _counts(v)[1] == 4)
            assert _counts(view) == (0, 4, 0)
            shop.go.set()
            view = await desk.changes.until(lambda: desk.hub.view(KEY), is_so=lambda v: _counts(v) == (0, 0, 0))
    finally:
        await asyncio.to_thread(worker.stop)


async def test_dead_letters_are_counted_and_their_increase_is_seen(redis_server: RedisServer, shop: Shop) -> None:
    increase = Guard.model_validate(
        {
            "name": "dead",
            "metric": {"from": "queue", "name": "dead"},
            "reduce": "Increase",
            "window": "1m",
            "critical": {"above": 0},
        }
    )
    worker = shop.worker(2)
    desk = Desk()
    desk.hub.watch(KEY, a_source(redis_server))
    async with running(desk.hub):
        await desk.reading()
        first = desk.hub.evidence(KEY, increase).overall
        assert isinstance(first, Unknown), "one reading is no increase"
        await desk.reading()
        calm = desk.hub.evidence(KEY, increase).overall
        assert isinstance(calm, Reading)
        assert calm.value == 0
        await asyncio.to_thread(worker.start)
        try:
            for _ in range(2):
                shop.fail.send()
            view = await desk.changes.until(lambda: desk.hub.view(KEY), is_so=lambda v: _counts(v)[2] == 2)
        finally:
            await asyncio.to_thread(worker.stop)
        assert _counts(view) == (0, 0, 2)
        seen = desk.hub.evidence(KEY, increase).overall
        assert isinstance(seen, Reading)
        assert seen.value == 2


async def test_a_gauge_guard_gets_the_value_before(redis_server: RedisServer, shop: Shop) -> None:
    last = Guard.model_validate(
        {
            "name": "waiting",
            "metric": {"from": "queue", "name": "waiting"},
            "reduce": "Last",
            "warning": {"above": 1},
        }
    )
    desk = Desk(interval=30)
    desk.hub.watch(KEY, a_source(redis_server))
    async with running(desk.hub):
        await desk.reading()
        first = desk.hub.evidence(KEY, last).overall
        assert isinstance(first, Reading)
        assert (first.value, first.previous) == (0, None)
        shop.sync.send()
        shop.sync.send()
        await desk.reading()
        second = desk.hub.evidence(KEY, last).overall
        assert isinstance(second, Reading)
        assert (second.value, second.previous) == (2, 0)
        before = len(desk.changes.keys)
        await desk.reading()
        third = desk.hub.evidence(KEY, last).overall
        assert isinstance(third, Reading)
        assert (third.value, third.previous) == (2, 2)
        assert len(desk.changes.keys) == before + 1, "the second breach in a row is news to the guard"
        await desk.reading()
        assert len(desk.changes.keys) == before + 1, "the third is not"


async def test_reading_writes_nothing_and_never_lists_keys(redis_server: RedisServer, shop: Shop) -> None:
    shop.sync.send()
    shop.sync.send_with_options(delay=60_000)
    with redis_server.client() as client:
        before = {key: client.dump(key) for key in client.keys("*")}
        client.config_resetstat()
        desk = Desk()
        desk.hub.watch(KEY, a_source(redis_server))
        async with running(desk.hub):
            await desk.reading()
            await desk.reading()
        ours = set(redis_server.commands()) - {"config|resetstat", "info", "ping", "client|setinfo", "hello"}
        assert ours <= {"llen", "hlen", "zcard", "lindex", "hstrlen", "hget", "hscan", "select"}
        assert {key: client.dump(key) for key in client.keys("*")} == before


async def test_a_message_that_is_no_json_has_no_age_and_is_due(redis_server: RedisServer) -> None:
    with redis_server.client() as client:
        client.rpush("test:sync", "a")
        client.hset("test:sync.msgs", "a", b"\x80\x04pickle")
        client.hset("test:sync.DQ.msgs", "b", b"\x80\x04pickle")
    desk = Desk()
    desk.hub.watch(KEY, a_source(redis_server))
    async with running(desk.hub):
        reading = await desk.reading()
    assert (reading.waiting, reading.delayed, reading.due, reading.oldest_age) == (1, 1, 1, None)


async def test_the_same_numbers_are_no_news(redis_server: RedisServer, shop: Shop) -> None:
    shop.sync.send()
    desk = Desk()
    desk.hub.watch(KEY, a_source(redis_server))
    async with running(desk.hub):
        for _ in range(5):
            await desk.reading()
    assert desk.changes.keys == [KEY]


async def test_many_integrations_on_one_broker_share_a_connection(redis_server: RedisServer) -> None:
    desk = Desk()
    keys = [Key("crm", f"i{n}") for n in range(150)]
    for key in keys:
        desk.hub.watch(key, a_source(redis_server, key.name))
    async with running(desk.hub):
        await desk.reading(keys[0])
        assert all(isinstance(desk.hub.view(key).latest, QueueReading) for key in keys)
        with redis_server.client() as client:
            assert len(client.client_list()) == 2  # ours and this test's
            for key in keys:
                desk.hub.forget(key)
            await eventually(lambda: len(client.client_list()), is_so=lambda n: n == 1, step=lambda: asyncio.sleep(0))
    assert isinstance(desk.hub.view(keys[0]).latest, Unknown)


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
                await desk.changes.until(lambda: _counts(desk.hub.view(KEY))[0], is_so=partial(eq, count), within=3)
            assert asyncio.get_running_loop().time() - started < 3, "less than one wait for the frozen one"
            frozen.thaw()
            await desk.when_good(other)


async def test_a_source_that_cannot_be_had_is_passed_on(redis_server: RedisServer) -> None:
    desk = Desk()
    missing = Unknown("spec.queue.urlFrom: Secret redis is not there; create it", "SecretNotFound")
    desk.hub.watch(KEY, missing)
    assert desk.hub.view(KEY).latest == missing
    async with running(desk.hub):
        desk.hub.watch(KEY, a_source(redis_server))
        await desk.reading()
        desk.hub.watch(KEY, missing)
        assert desk.hub.view(KEY).latest == missing


async def test_a_host_that_is_not_allowed_is_never_dialled(redis_server: RedisServer) -> None:
    desk = Desk(policy=AddressPolicy())
    desk.hub.watch(KEY, a_source(redis_server))
    latest = desk.hub.view(KEY).latest
    assert isinstance(latest, Unknown)
    assert latest.reason == "HostNotAllowed"
    with redis_server.client() as client:
        assert len(client.client_list()) == 1


async def test_the_same_source_changes_nothing_and_a_shorter_window_keeps_the_readings(
    redis_server: RedisServer,
) -> None:
    desk = Desk(interval=30)
    desk.hub.watch(KEY, a_source(redis_server))
    async with running(desk.hub):
        await desk.reading()
        since = desk.hub.view(KEY).good_since
        desk.hub.watch(KEY, a_source(redis_server))
        desk.hub.watch(KEY, a_source(redis_server, window=timedelta(seconds=5)))
        assert desk.hub.view(KEY).good_since == since
        desk.hub.watch(KEY, a_source(redis_server, window=timedelta(seconds=50)))
        assert desk.hub.view(KEY).good_since is None, "what a longer window needs was not remembered"


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


def _counts(view: QueueView) -> tuple[int, int, int]:
    """Waiting, running, dead."""
    latest = view.latest
    return (latest.waiting, latest.running, latest.dead) if isinstance(latest, QueueReading) else (-1, -1, -1)
