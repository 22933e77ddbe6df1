"""Redis behind Sentinel: the master is found, a failover is followed, and what Sentinel tells is checked."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from crm_operator.domain.world import QueueReading, QueueView, Unknown
from crm_operator.sources.address import AddressPolicy
from crm_operator.sources.queues import QueueSource
from crm_operator.sources.secret import Secret
from tests.redisserver import Certificates, RedisServer, SentinelServer
from tests.sources.conftest import eventually, now, running
from tests.sources.desk import KEY, WINDOW, Desk, a_source


@dataclass(frozen=True)
class Group:
    """A master with ten waiting jobs, and a replica."""

    master: RedisServer
    replica: RedisServer
    sentinel: SentinelServer


@pytest.fixture
def group(tmp_path: Path) -> Iterator[Group]:
    with RedisServer() as master, RedisServer(options=("--replicaof", "127.0.0.1", str(master.port))) as replica:
        with master.client() as client:
            client.rpush("test:sync", *range(10))
            client.hset("test:sync.msgs", mapping={str(n): b"{}" for n in range(10)})
            client.wait(1, 5_000)
        with SentinelServer(master, tmp_path) as sentinel:
            sentinel.wait_for_replica()
            yield Group(master, replica, sentinel)


def _readers(server: RedisServer) -> int:
    """Connections whose last command is one of a reading's."""
    with server.client() as client:
        return sum(seen["cmd"] in ("zcard", "lindex", "hget", "hstrlen") for seen in client.client_list())


async def _reads(desk: Desk, waiting: int) -> QueueView:
    """The view, once so many jobs wait in it."""

    def is_so(view: QueueView) -> bool:
        return isinstance(view.latest, QueueReading) and view.latest.waiting == waiting

    return await desk.changes.until(lambda: desk.hub.view(KEY), is_so=is_so, within=30)


async def test_the_master_is_read_not_the_replica(group: Group) -> None:
    desk = Desk(timeout=2)
    desk.hub.watch(KEY, a_source(group.master, url=group.sentinel.url()))
    async with running(desk.hub):
        assert (await desk.reading()).waiting == 10
        assert (_readers(group.master), _readers(group.replica)) == (1, 0)


async def test_a_master_that_dies_is_followed_and_lost_writes_do_not_look_like_done_work(group: Group) -> None:
    desk = Desk(timeout=2)
    desk.hub.watch(KEY, a_source(group.master, url=group.sentinel.url()))
    async with running(desk.hub):
        with group.replica.client() as replica, group.master.client() as master:
            replica.execute_command("REPLICAOF", "127.0.0.1", "1")  # what follows never reaches it
            master.rpush("test:sync", *range(10, 30))
            master.hset("test:sync.msgs", mapping={str(n): b"{}" for n in range(10, 30)})
        assert (await desk.reading()).waiting == 30
        killed = now()
        group.master.stop()
        lost = await desk.when_bad()
        assert isinstance(lost.latest, Unknown)
        assert f"127.0.0.1:{group.sentinel.port}/mymaster" in lost.latest.why
        view = await _reads(desk, waiting=10)
    assert view.good_since is not None
    assert view.good_since > killed, "nothing goes down before readings were good for scaleDownAfter"


async def test_a_master_that_is_demoted_alive_is_left(group: Group) -> None:
    desk = Desk(timeout=2)
    desk.hub.watch(KEY, a_source(group.master, url=group.sentinel.url()))
    async with running(desk.hub):
        await desk.reading()
        with group.sentinel.client() as sentinel:
            sentinel.execute_command("SENTINEL", "FAILOVER", "mymaster")
        await asyncio.to_thread(group.sentinel.wait_for_master, lambda seen: int(seen["port"]) == group.replica.port)
        with group.replica.client() as client:
            client.rpush("test:sync", "only here")
            client.hset("test:sync.msgs", "only here", b"{}")
        await _reads(desk, waiting=11)
        await eventually(
            lambda: (_readers(group.master), _readers(group.replica)),
            is_so=lambda seen: seen == (0, 1),
            step=lambda: desk.hub.refresh(KEY),
            within=30,
        )


@pytest.mark.parametrize(
    ("url", "reason", "remedy"),
    [
        pytest.param("redis+sentinel://127.0.0.1:{port}/another/0", "MasterUnknown", "part after the host", id="name"),
        pytest.param("redis+sentinel://127.0.0.1:1/mymaster/0", "ConnectionRefused", "port", id="nobody listens"),
        pytest.param("redis+sentinel://127.0.0.1:{port}", "QueueUrlInvalid", "MASTER", id="no master"),
        pytest.param("redis+sentinel://127.0.0.1:{port}/mymaster/one", "QueueUrlInvalid", "number", id="no number"),
        pytest.param("redis://127.0.0.1:{port}/0", "BrokerError", "sentinel", id="a Sentinel taken for a Redis"),
    ],
)
async def test_what_is_wrong_with_a_sentinel_is_said(group: Group, url: str, reason: str, remedy: str) -> None:
    desk = Desk(timeout=2)
    desk.hub.watch(KEY, a_source(group.master, url=url.format(port=group.sentinel.port)))
    async with running(desk.hub):
        unknown = await desk.unknown()
    assert unknown.reason == reason
    assert remedy in unknown.why


async def test_a_master_at_an_address_that_is_reserved_is_never_dialled(group: Group) -> None:
    """Whoever runs the operator named the Sentinel, not what it says: it may say anything."""
    desk = Desk(policy=AddressPolicy(("localhost",)), timeout=2)
    url = group.sentinel.url().replace("127.0.0.1", "localhost")
    desk.hub.watch(KEY, a_source(group.master, url=url))
    async with running(desk.hub):
        unknown = await desk.unknown()
        assert _readers(group.master) == 0
    assert unknown.reason == "HostNotAllowed"
    assert "Sentinel names the master: address 127.0.0.1 is reserved" in unknown.why
    assert "--allow-host=127.0.0.1" in unknown.why


@pytest.mark.parametrize("sentinel_password", [None, "right"], ids=["an open Sentinel", "a Sentinel with it too"])
async def test_the_password_is_for_the_master_and_for_a_sentinel_that_asks(
    tmp_path: Path, sentinel_password: str | None
) -> None:
    with (
        RedisServer(password="right") as master,
        SentinelServer(master, tmp_path, password=sentinel_password) as sentinel,
    ):
        sentinel.wait_for_master()
        desk = Desk(timeout=2)
        desk.hub.watch(KEY, a_source(master, url=sentinel.url(password="right")))
        async with running(desk.hub):
            await desk.reading()
            desk.hub.watch(KEY, a_source(master, url=sentinel.url(password="wr0ng")))
            unknown = await desk.unknown()
    assert unknown.reason == "AuthenticationFailed"
    assert "wr0ng" not in unknown.why


async def test_tls_is_spoken_with_sentinel_and_master(tmp_path: Path) -> None:
    certificates = Certificates(tmp_path)
    with (
        RedisServer(certificates=certificates) as master,
        SentinelServer(master, tmp_path, certificates=certificates) as sentinel,
    ):
        sentinel.wait_for_master()
        ca = Secret(certificates.ca.read_text())
        desk = Desk(timeout=2)
        desk.hub.watch(KEY, QueueSource(Secret(sentinel.url()), "test", ("sync",), WINDOW, ca=ca))
        async with running(desk.hub):
            await desk.reading()
