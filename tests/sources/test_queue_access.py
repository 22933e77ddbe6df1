"""How a broker is entered: user, password, rights, database number, TLS with a private authority."""

from pathlib import Path

import pytest

from crm_operator.domain.world import Unknown
from crm_operator.sources.queues import QueueSource
from crm_operator.sources.secret import Secret
from tests.redisserver import Certificates, RedisServer
from tests.sources.conftest import running
from tests.sources.desk import KEY, WINDOW, Desk, a_source
from tests.sources.shop import Shop

SCALING = (Path(__file__).parents[2] / "docs" / "scaling.md").read_text()
#: What docs/scaling.md tells to grant, `~dramatiq:*` for the default namespace.
GRANT = (
    "ACL SETUSER crm-operator on >PASSWORD resetkeys %R~dramatiq:* resetchannels -@all "
    "+llen +hlen +zcard +lindex +hstrlen +hget +hscan +zrevrangebyscore +scard +select"
)


async def test_the_rights_in_the_docs_are_enough(redis_server: RedisServer, shop: Shop) -> None:
    assert GRANT in SCALING
    grant = GRANT.replace("PASSWORD", "pw").replace("~dramatiq:", "~test:").split()
    with redis_server.client() as client:
        shop.sync.send()
        shop.sync.send_with_options(delay=60_000)
        client.hset("test:sync.msgs", "held", b"{}")
        client.zadd("test:__heartbeats__", {"dead": 1})
        client.sadd("test:__acks__.dead.sync", "held")
        client.execute_command(*grant)
        url = f"redis://crm-operator:pw@127.0.0.1:{redis_server.port}/0"
        desk = Desk()
        desk.hub.watch(KEY, a_source(redis_server, url=url))
        async with running(desk.hub):
            reading = await desk.reading()
        assert (reading.waiting, reading.running, reading.delayed, reading.orphaned) == (1, 1, 1, 1)
        assert reading.oldest_age is not None
        refused = [name for name in client.acl_log() if name["username"] == "crm-operator"]
        assert refused == []


@pytest.mark.parametrize("missing", ["llen", "hlen", "zcard", "hscan", "zrevrangebyscore", "scard"])
async def test_a_right_that_is_missing_is_said_and_nothing_is_taken_for_zero(
    redis_server: RedisServer, shop: Shop, missing: str
) -> None:
    with redis_server.client() as client:
        shop.sync.send_with_options(delay=60_000)
        client.hset("test:sync.msgs", "held", b"{}")
        client.zadd("test:__heartbeats__", {"dead": 1})
        grant = GRANT.replace("PASSWORD", "pw").replace("~dramatiq:", "~test:").split()
        client.execute_command(*(part for part in grant if part != f"+{missing}"))
    desk = Desk()
    url = f"redis://crm-operator:pw@127.0.0.1:{redis_server.port}/0"
    desk.hub.watch(KEY, a_source(redis_server, url=url))
    async with running(desk.hub):
        unknown = await desk.unknown()
    assert unknown.reason == "NotPermitted"
    assert "docs/scaling.md" in unknown.why


async def test_the_database_of_the_url_is_read(redis_server: RedisServer) -> None:
    with redis_server.client() as client:
        client.execute_command("SELECT", 3)
        client.rpush("test:sync", "a")
        client.hset("test:sync.msgs", "a", b"{}")
    desk = Desk()
    async with running(desk.hub):
        for database, waiting in (("3", 1), ("0", 0), ("", 0)):
            url = f"redis://127.0.0.1:{redis_server.port}/{database}"
            desk.hub.watch(KEY, a_source(redis_server, url=url))
            assert (await desk.reading()).waiting == waiting


async def test_a_password_that_changes_is_noticed_when_it_is_used(redis_server: RedisServer) -> None:
    desk = Desk(interval=30)
    desk.hub.watch(KEY, a_source(redis_server))
    async with running(desk.hub):
        await desk.reading()
        with redis_server.client() as client:
            client.config_set("requirepass", "new")
            client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        assert (await desk.unknown()).reason == "AuthenticationFailed"
        desk.hub.watch(KEY, a_source(redis_server, url=f"redis://:new@127.0.0.1:{redis_server.port}/0"))
        await desk.reading()


def _tls(server: RedisServer, ca: str | None) -> QueueSource:
    return QueueSource(Secret(server.url), "test", ("sync",), WINDOW, ca=None if ca is None else Secret(ca))


async def test_tls_with_a_private_authority(tmp_path: Path) -> None:
    certificates = Certificates(tmp_path)
    desk = Desk(timeout=2)
    with RedisServer(certificates=certificates, password="right") as server:
        async with running(desk.hub):
            desk.hub.watch(KEY, _tls(server, None))
            unknown = await desk.unknown()
            assert unknown.reason == "TlsUntrusted"
            assert "queue.tls.caFrom" in unknown.why
            desk.hub.watch(KEY, _tls(server, certificates.ca.read_text()))
            await desk.reading()


async def test_a_certificate_for_another_host_is_refused(tmp_path: Path) -> None:
    certificates = Certificates(tmp_path, host="redis.example.com")
    desk = Desk(timeout=2)
    with RedisServer(certificates=certificates) as server:
        desk.hub.watch(KEY, _tls(server, certificates.ca.read_text()))
        async with running(desk.hub):
            assert (await desk.unknown()).reason == "TlsUntrusted"


@pytest.mark.parametrize(
    ("url", "ca", "reason", "says"),
    [
        pytest.param("rediss://127.0.0.1:1/0", "not a PEM", "CaInvalid", "spec.queue.tls.caFrom", id="no certificate"),
        pytest.param("rediss://127.0.0.1:1/0", "", "CaInvalid", "PEM", id="empty"),
        pytest.param("redis://127.0.0.1:1/0", "not a PEM", "QueueUrlInvalid", "write rediss://", id="not for TLS"),
    ],
)
async def test_a_ca_of_no_use_is_said(url: str, ca: str, reason: str, says: str) -> None:
    desk = Desk()
    desk.hub.watch(KEY, QueueSource(Secret(url), "test", ("sync",), WINDOW, ca=Secret(ca)))
    unknown = desk.hub.view(KEY).latest
    assert isinstance(unknown, Unknown)
    assert unknown.reason == reason
    assert says in unknown.why
