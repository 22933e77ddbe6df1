"""The queue hub against a real Redis and real Dramatiq messages: what is counted, and what is news."""

import asyncio
from datetime import timedelta

from crm_operator.api.v1alpha1 import Guard
from crm_operator.domain.key import Key
from crm_operator.domain.world import QueueReading, Reading, Unknown
from crm_operator.sources.queues.history import QueueHistory
from tests.redisserver import RedisServer
from tests.sources.conftest import eventually, now, running
from tests.sources.desk import KEY, Desk, a_source, counts_of
from tests.sources.shop import Shop
from tests.unit.domain.builders import a_reading

#: All that is ever asked, `SELECT` of a database other than 0 left out.
READS = {"llen", "hlen", "zcard", "lindex", "hstrlen", "hget", "hscan", "zrevrangebyscore", "scard"}


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
            view = await desk.changes.until(lambda: desk.hub.view(KEY), is_so=lambda v: counts_of(v)[1] == 4)
            assert counts_of(view) == (0, 4, 0)
            shop.go.set()
            await desk.changes.until(lambda: desk.hub.view(KEY), is_so=lambda v: counts_of(v) == (0, 0, 0))
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
        assert calm.lower_bound is not None, "nobody knows what died in the minute before the first reading"
        await asyncio.to_thread(worker.start)
        try:
            for _ in range(2):
                shop.fail.send()
            view = await desk.changes.until(lambda: desk.hub.view(KEY), is_so=lambda v: counts_of(v)[2] == 2)
        finally:
            await asyncio.to_thread(worker.stop)
        assert counts_of(view) == (0, 0, 2)
        seen = desk.hub.evidence(KEY, increase).overall
        assert isinstance(seen, Reading)
        assert seen.value == 2


def test_how_much_a_queue_grew_is_known_once_it_was_read_for_the_window() -> None:
    guard = Guard.model_validate(
        {
            "name": "waiting",
            "metric": {"from": "queue", "name": "waiting"},
            "reduce": "Increase",
            "window": "1m",
            "critical": {"above": 100},
        }
    )
    history, begin = QueueHistory(window=timedelta(seconds=20)), now()

    def read(second: int, waiting: int) -> Reading | Unknown:
        history.record(a_reading(waiting, at=begin + timedelta(seconds=second)))
        return history.evidence(guard).overall

    early = [read(second, 500) for second in range(60)]
    assert {found.reason for found in early if isinstance(found, Unknown)} == {"WindowNotFilled"}
    assert len(early) == 60
    found = read(60, 530)
    assert isinstance(found, Reading)
    assert found.value == 30


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
        shop.broker.client.rpop("test:sync")
        await desk.reading()
        assert len(desk.changes.keys) == before + 2, "less is news"
        await desk.reading()
        assert len(desk.changes.keys) == before + 2, "twice not above the limit is none"


async def test_reading_writes_nothing_and_never_lists_keys(redis_server: RedisServer, shop: Shop) -> None:
    shop.sync.send()
    shop.sync.send_with_options(delay=60_000)
    with redis_server.client() as client:
        client.hset("test:sync.msgs", "held", b"{}")
        client.sadd("test:__acks__.dead.sync", "held")
        client.zadd("test:__heartbeats__", {"dead": 1})
        before = {key: client.dump(key) for key in client.keys("*")}
        client.config_resetstat()
        desk = Desk()
        desk.hub.watch(KEY, a_source(redis_server))
        async with running(desk.hub):
            await desk.reading()
            await desk.reading()
        ours = set(redis_server.commands()) - {"config|resetstat", "info", "ping", "client|setinfo", "hello"}
        assert ours == READS
        assert {key: client.dump(key) for key in client.keys("*")} == before


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
