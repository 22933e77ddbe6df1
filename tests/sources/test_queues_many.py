"""What many integrations on one broker cost: commands, but no round trips; and whoever is new costs only its own."""

import asyncio
import time
from collections.abc import Collection
from typing import Any

import pytest

from crm_operator.domain.key import Key
from crm_operator.domain.world import QueueReading, Unknown
from crm_operator.sources.queues.address import BrokerAddress
from crm_operator.sources.queues.brokers import address_of
from crm_operator.sources.queues.connection import BrokerConnection
from crm_operator.sources.queues.dramatiq import DramatiqReader
from crm_operator.sources.queues.layout import QueueId
from crm_operator.sources.queues.reader import QueueCounts
from tests.redisserver import RedisServer
from tests.sources.conftest import now, running
from tests.sources.desk import LOCAL, Desk, a_source

BODY = b'{"message_timestamp": 1700000000000, "options": {"eta": 4000000000000}}'


class Counted(BrokerConnection):
    """A real connection that counts its exchanges."""

    exchanges = 0

    async def ask_packed(self, request: bytes, count: int) -> list[Any]:
        self.exchanges += 1
        return await super().ask_packed(request, count)


def connection(server: RedisServer) -> Counted:
    address = address_of(a_source(server), namespace="crm", policy=LOCAL)
    assert isinstance(address, BrokerAddress)
    return Counted(address, policy=LOCAL, timeout_seconds=10)


def fill(server: RedisServer, names: Collection[str], *, delayed: bool = False) -> list[QueueId]:
    """One job that waits and one that runs in each queue, and one for later if asked for."""
    with server.client() as client:
        pipeline = client.pipeline(transaction=False)
        for name in names:
            pipeline.rpush(f"test:{name}", "waits")
            pipeline.hset(f"test:{name}.msgs", mapping={"waits": BODY, "runs": BODY})
            if delayed:
                pipeline.hset(f"test:{name}.DQ.msgs", "later", BODY)
        pipeline.execute()
    return [QueueId("test", name) for name in names]


async def exchanges(reader: DramatiqReader, link: Counted, queues: Collection[QueueId]) -> int:
    """Of one more reading, in which all queues are read."""
    before = link.exchanges
    found = await reader.read(link, queues)
    assert [queue for queue, counts in found.items() if isinstance(counts, QueueCounts)] == list(queues)
    return link.exchanges - before


async def test_a_thousand_queues_are_read_in_one_exchange(redis_server: RedisServer) -> None:
    queues = fill(redis_server, [f"q{n}" for n in range(1000)])
    reader, link = DramatiqReader(now), connection(redis_server)
    # Counts, the ends of the lists, sizes and texts of the messages there, and who died with jobs in hand.
    assert await exchanges(reader, link, queues) <= 6
    assert [await exchanges(reader, link, queues) for _ in range(3)] == [1, 1, 1]
    fill(redis_server, ["new"])
    assert await exchanges(reader, link, [*queues, QueueId("test", "new")]) <= 6, "what is new is asked for apart"
    await link.close()


async def test_delayed_jobs_of_a_thousand_queues_are_read_in_few_exchanges(redis_server: RedisServer) -> None:
    queues = fill(redis_server, [f"q{n}" for n in range(1000)], delayed=True)
    reader, link = DramatiqReader(now), connection(redis_server)
    assert await exchanges(reader, link, queues) <= 6 + 10, "a hundred delay queues in each"
    found = await reader.read(link, queues)
    assert {(counts.delayed, counts.due) for counts in found.values() if isinstance(counts, QueueCounts)} == {(1, 0)}
    await link.close()


async def test_what_nobody_asks_for_any_more_is_forgotten(redis_server: RedisServer) -> None:
    queues = fill(redis_server, ["stays", "goes"])
    reader, link = DramatiqReader(now), connection(redis_server)
    await exchanges(reader, link, queues)
    reader.keep({queues[0]})
    before = link.exchanges
    await reader.read(link, queues[:1])
    assert link.exchanges - before == 1, "what stays is remembered"
    await reader.read(link, queues[1:])
    assert link.exchanges - before >= 4, "what went is new again"
    await link.close()


async def test_integrations_cost_commands_in_proportion(redis_server: RedisServer) -> None:
    """Two hundred integrations with work in all states, over five ticks."""
    names = [f"q{n}" for n in range(200)]
    fill(redis_server, names, delayed=True)
    desk = Desk(interval=30, timeout=3)
    keys = [Key("crm", name) for name in names]
    for key in keys:
        desk.hub.watch(key, a_source(redis_server, key.name))
    async with running(desk.hub):
        await desk.reading(keys[0])  # the first one fetches messages and delays
        before = sum(redis_server.commands().values())
        for _ in range(5):
            reading = await desk.reading(keys[-1])
        after = sum(redis_server.commands().values())
    assert (reading.waiting, reading.running, reading.delayed) == (1, 1, 1)
    assert after - before <= 5 * 200 * 6 + 10, "four counts and both ends of the list, per integration and tick"


async def test_a_new_integration_is_read_soon_and_makes_no_other_be_read(redis_server: RedisServer) -> None:
    names = [f"q{n}" for n in range(200)]
    fill(redis_server, [*names, "late"])
    desk, late = Desk(interval=30, timeout=3), Key("crm", "late")
    for name in names:
        desk.hub.watch(Key("crm", name), a_source(redis_server, name))
    async with running(desk.hub):
        await desk.reading(Key("crm", names[0]))
        others = [desk.hub.view(Key("crm", name)) for name in names]
        before = sum(redis_server.commands().values())
        desk.hub.watch(late, a_source(redis_server, "late"))
        await desk.when_good(late, within=5)  # of an interval of 30 s
        after = sum(redis_server.commands().values())
        assert [desk.hub.view(Key("crm", name)) for name in names] == others
    assert after - before < 20


@pytest.mark.parametrize("empty", [False, True])
async def test_a_connection_that_a_new_one_made_again_is_a_gap_for_all(redis_server: RedisServer, empty: bool) -> None:
    first, late = Key("crm", "first"), Key("crm", "late")
    fill(redis_server, ["first"])
    desk = Desk(interval=30, timeout=3)
    desk.hub.watch(first, a_source(redis_server, "first"))
    async with running(desk.hub):
        await desk.reading(first)
        good = desk.hub.view(first).good_since
        with redis_server.client() as client:
            if empty:
                client.flushall()
            client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        desk.hub.watch(late, a_source(redis_server, "late"))
        await desk.when_good(late)
        assert desk.hub.view(first).good_since == good, "it was not read yet"
        again = await desk.reading(first)
        assert desk.hub.view(first).good_since == again.at != good, "who knows what happened in between"


async def test_a_new_integration_that_leaves_at_once_is_not_read(redis_server: RedisServer) -> None:
    first, late = Key("crm", "first"), Key("crm", "late")
    desk = Desk(interval=30)
    desk.hub.watch(first, a_source(redis_server, "first"))
    async with running(desk.hub):
        await desk.reading(first)
        desk.hub.watch(late, a_source(redis_server, "late"))
        desk.hub.forget(late)
        await desk.reading(first)
        assert isinstance(desk.hub.view(late).latest, Unknown)
        assert isinstance(desk.hub.view(first).latest, QueueReading)
    assert late not in desk.changes.keys


async def test_a_large_answer_does_not_keep_our_own_loop(redis_server: RedisServer) -> None:
    queues = fill(redis_server, [f"q{n}" for n in range(2000)])
    reader, link = DramatiqReader(now), connection(redis_server)
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    await exchanges(reader, link, queues)
    beside = asyncio.create_task(others())
    await exchanges(reader, link, queues)
    beside.cancel()
    await asyncio.gather(beside, return_exceptions=True)
    await link.close()
    assert turns > 20, "12,000 answers are not read in one go"


async def test_a_busy_operator_does_not_take_its_own_slowness_for_the_brokers(redis_server: RedisServer) -> None:
    queues = fill(redis_server, [f"q{n}" for n in range(2000)])
    address = address_of(a_source(redis_server), namespace="crm", policy=LOCAL)
    assert isinstance(address, BrokerAddress)
    reader, link = DramatiqReader(now), Counted(address, policy=LOCAL, timeout_seconds=0.5)
    worked = 0.0

    async def others() -> None:
        nonlocal worked
        while True:
            began = time.process_time()
            while time.process_time() - began < 0.03:
                pass
            worked += 0.03
            await asyncio.sleep(0)

    beside = asyncio.create_task(others())
    assert len(await reader.read(link, queues)) == 2000
    beside.cancel()
    await asyncio.gather(beside, return_exceptions=True)
    await link.close()
    assert worked > 2 * 0.5, "it took longer than a broker may be silent"
