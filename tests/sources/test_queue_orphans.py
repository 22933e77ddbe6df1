"""Jobs held by workers that died, with a real worker process that is killed."""

import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from crm_operator.domain.world import QueueReading
from tests.redisserver import RedisServer
from tests.sources.conftest import eventually, running
from tests.sources.desk import KEY, Desk, a_source
from tests.sources.shop import Shop, a_worker_process

#: Longer than any test.
LONG = 600.0


def _pass(server: RedisServer, seconds: float) -> None:
    """Let so much time pass for every process, as far as heartbeats tell."""
    with server.client() as client:
        beats: Any = client.zrange("test:__heartbeats__", 0, -1, withscores=True)
        client.zadd("test:__heartbeats__", {process: at - 1000 * seconds for process, at in beats})


async def _reading(desk: Desk, is_so: Callable[[QueueReading], bool]) -> QueueReading:
    """The first reading that is so; orphans are looked for every 5 s."""

    def look() -> QueueReading | None:
        latest = desk.hub.view(KEY).latest
        return latest if isinstance(latest, QueueReading) else None

    seen = await eventually(
        look, is_so=lambda seen: seen is not None and is_so(seen), step=lambda: desk.hub.refresh(KEY), within=40
    )
    assert seen is not None
    return seen


async def test_jobs_of_a_killed_worker_are_orphaned_until_a_running_one_takes_them_back(
    redis_server: RedisServer, shop: Shop
) -> None:
    for _ in range(6):
        shop.take.send(LONG)
    for _ in range(2):
        shop.take.send_with_options(args=(LONG,), delay=3_600_000)
    desk = Desk()
    desk.hub.watch(KEY, a_source(redis_server))
    async with running(desk.hub):
        with a_worker_process(redis_server) as kill:
            held = await _reading(desk, lambda seen: seen.running == 4)  # two threads, and as many fetched ahead
            assert (held.waiting, held.delayed, held.orphaned) == (2, 2, 0)
            kill()
        _pass(redis_server, seconds=30)
        assert (await desk.reading()).orphaned == 0, "it may only be slow"
        _pass(redis_server, seconds=31)
        lost = await _reading(desk, lambda seen: seen.orphaned > 0)
        assert (lost.waiting, lost.running, lost.orphaned, lost.backlog) == (2, 4, 4, 6)
        # At every command instead of at one in a thousand.
        with a_worker_process(redis_server, maintenance_chance=1_000_000):
            back = await _reading(desk, lambda seen: seen.orphaned == 0 and seen.running == 4)
        assert back.waiting == 2, "the four came back to the tail of the queue"


async def test_producers_that_ended_hold_nothing(redis_server: RedisServer, shop: Shop) -> None:
    """Dramatiq leaves the heartbeat of whoever sent a job."""
    shop.sync.send()
    with redis_server.client() as client:
        client.hset("test:sync.msgs", "held", b"{}")
        client.sadd("test:__acks__.alive.sync", "held")
        client.zadd("test:__heartbeats__", {"alive": time.time() * 1000})
        client.zadd("test:__heartbeats__", {f"producer-{n}": 1 for n in range(300)})
    desk = Desk()
    desk.hub.watch(KEY, a_source(redis_server))
    async with running(desk.hub):
        reading = await desk.reading()
    assert (reading.running, reading.orphaned) == (1, 0)


async def test_orphans_are_summed_over_queues_and_are_never_more_than_run(redis_server: RedisServer) -> None:
    with redis_server.client() as client:
        long_ago = (time.time() - timedelta(minutes=5).total_seconds()) * 1000
        client.zadd("test:__heartbeats__", {"dead": long_ago, "older": long_ago - 1})
        for queue in ("a", "b"):
            client.hset(f"test:{queue}.msgs", mapping={"1": b"{}", "2": b"{}"})
        client.sadd("test:__acks__.dead.a", "1")
        client.sadd("test:__acks__.older.a", "2")
        client.sadd("test:__acks__.dead.b", "1", "2", "acknowledged by a slow one")
    desk = Desk()
    desk.hub.watch(KEY, a_source(redis_server, "a", "b"))
    async with running(desk.hub):
        reading = await desk.reading()
    assert (reading.running, reading.orphaned) == (4, 4)
