"""Delayed jobs become due although no key of Redis changes; the hub must say so in time for a worker to start."""

from datetime import timedelta
from typing import Any

import pytest

from crm_operator.domain.world import QueueReading
from crm_operator.sources.queues.delays import START_DELAY
from tests.redisserver import RedisServer
from tests.sources.conftest import eventually, now, running
from tests.sources.desk import KEY, Desk, a_source
from tests.sources.shop import Shop

SOON = timedelta(seconds=2)
HOUR = 3_600_000


def _due(desk: Desk) -> int:
    latest = desk.hub.view(KEY).latest
    return latest.due if isinstance(latest, QueueReading) else -1


def _send_delayed(shop: Shop, count: int, *, delay: int, padding: str = "") -> None:
    """As `send_with_options(delay=...)` does it, in one round trip instead of two per job."""
    broker = shop.broker
    eta = int(now().timestamp() * 1000) + delay
    messages = (shop.take.message_with_options(args=(0, padding), eta=eta, redis_message_id="") for _ in range(count))
    pipeline: Any = broker.client.pipeline(transaction=False)
    for message in messages:
        id_ = message.message_id
        encoded = message.copy(queue_name="sync.DQ", options={"redis_message_id": id_}).encode()
        pipeline.hset("test:sync.DQ.msgs", id_, encoded)
        pipeline.rpush("test:sync.DQ", id_)
    pipeline.execute()


def _state(server: RedisServer) -> dict[bytes, bytes]:
    with server.client() as client:
        keys: Any = client.keys("*")
        return {key: bytes(client.dump(key) or b"") for key in keys}


@pytest.mark.parametrize(
    "others",
    [
        pytest.param(0, id="alone"),
        pytest.param(3_000, id="among three thousand for later"),
        pytest.param(25_000, id="among more than are read in one tick"),
    ],
)
async def test_a_delayed_job_is_told_one_start_delay_ahead(redis_server: RedisServer, shop: Shop, others: int) -> None:
    if others:
        _send_delayed(shop, others, delay=HOUR)
    desk = Desk()
    desk.hub.watch(KEY, a_source(redis_server))
    async with running(desk.hub):
        eta = now() + START_DELAY + SOON
        shop.sync.send_with_options(delay=int((START_DELAY + SOON).total_seconds() * 1000))
        before = _state(redis_server)
        reading = await desk.reading()
        assert reading.delayed == others + 1
        assert reading.due == 0
        await desk.changes.until(lambda: _due(desk), is_so=lambda due: due == 1, within=8)
        told = now()
    assert _state(redis_server) == before
    # The clocks of producer and operator are one here; reading takes a tick or, of so many, a few.
    assert eta - START_DELAY - timedelta(milliseconds=50) <= told <= eta - START_DELAY + timedelta(seconds=3)


async def test_due_jobs_that_are_done_leave_at_once_although_a_long_queue_is_read_seldom(
    redis_server: RedisServer, shop: Shop
) -> None:
    _send_delayed(shop, 1_000, delay=HOUR)
    _send_delayed(shop, 500, delay=0)
    desk = Desk()
    desk.hub.watch(KEY, a_source(redis_server))
    async with running(desk.hub):
        assert (await desk.reading()).due == 500
        with redis_server.client() as client:
            ids: Any = client.lrange("test:sync.DQ", 1_000, 1_299)
            client.hdel("test:sync.DQ.msgs", *ids)
        reading = await desk.reading()
    assert (reading.delayed, reading.due) == (1_200, 200)


async def test_large_delayed_messages_are_read_a_part_per_tick(redis_server: RedisServer, shop: Shop) -> None:
    """Two hundred of 100 KB are 20 MB; a broker that sends all of it at once answers nobody else in time."""
    _send_delayed(shop, 200, delay=HOUR, padding="x" * 100_000)
    desk = Desk(interval=30)
    desk.hub.watch(KEY, a_source(redis_server))
    async with running(desk.hub):
        before = _sent(redis_server)
        await desk.hub.refresh(KEY)
        assert _sent(redis_server) - before < 12_000_000
        await eventually(lambda: _due(desk), is_so=lambda due: due == 0, step=lambda: desk.hub.refresh(KEY))


def _sent(server: RedisServer) -> int:
    """Bytes."""
    with server.client() as client:
        stats: Any = client.info("stats")
    return int(stats["total_net_output_bytes"])
