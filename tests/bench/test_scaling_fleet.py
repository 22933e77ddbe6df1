"""The fleet of fake workers on a real Redis with real Dramatiq messages. Time is told to it, so nothing here waits."""

import time
from collections.abc import Iterator

import dramatiq
import pytest
import redis
from dramatiq.brokers.redis import RedisBroker
from hypothesis import given
from hypothesis import strategies as st

from bench.jobs import send
from bench.scaling.fleet import RETRY_AFTER, Fleet, Provider
from bench.scaling.traces import Limit
from tests.redisserver import RedisServer

QUEUE = "crm"


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with RedisServer() as running:
        yield running


@pytest.fixture
def client(server: RedisServer) -> Iterator[redis.Redis]:
    with server.client() as connected:
        connected.flushall()
        yield connected


def a_fleet(client: redis.Redis, limit: Limit | None = None) -> Fleet:
    """Workers of two threads that need half a second for a job."""
    return Fleet(client, QUEUE, concurrency=2, job_seconds=0.5, limit=limit)


def counts(client: redis.Redis) -> tuple[int, int]:
    """Jobs that wait in the list, and all that are not done."""
    listed, messages = client.llen(f"dramatiq:{QUEUE}"), client.hlen(f"dramatiq:{QUEUE}.msgs")
    assert isinstance(listed, int)
    assert isinstance(messages, int)
    return listed, messages


def held(client: redis.Redis) -> list[int]:
    """Jobs in the sets of what each worker has fetched, the fewest first."""
    return sorted(int(client.scard(key)) for key in client.scan_iter("dramatiq:__acks__.*"))


def test_a_job_is_ready_then_fetched_then_done(client: redis.Redis) -> None:
    fleet, now = a_fleet(client), time.time() + 1
    send(client, QUEUE, 7)
    assert counts(client) == (7, 7)
    fleet.step(now, ready=1)
    assert counts(client) == (3, 7), "two are worked on, two fetched ahead"
    assert held(client) == [4]
    fleet.step(now + 0.49, ready=1)
    assert counts(client) == (3, 7)
    fleet.step(now + 0.5, ready=1)
    assert (counts(client), fleet.done) == ((1, 5), 2)
    fleet.step(now + 1.0, ready=1)
    assert (counts(client), fleet.done) == ((0, 3), 4), "the last but one pair was fetched ahead at 0.5"
    fleet.step(now + 2.0, ready=1)
    assert (counts(client), fleet.done, held(client)) == ((0, 0), 7, [])


def test_workers_share_the_work(client: redis.Redis) -> None:
    fleet, now = a_fleet(client), time.time() + 1
    send(client, QUEUE, 20)
    fleet.step(now, ready=3)
    assert counts(client) == (8, 20)
    assert held(client) == [4, 4, 4]


def test_throughput_is_exact_however_late_a_step_is(client: redis.Redis) -> None:
    fleet, now = a_fleet(client), time.time() + 1
    send(client, QUEUE, 100)
    fleet.step(now, ready=5)  # 20 jobs/s
    for step in range(1, 5):
        fleet.step(now + step, ready=5)
        # Between steps a worker has what it fetched ahead: 4 jobs for each worker and step.
        assert fleet.done == 20 * step
    assert counts(client)[1] == 20


def test_waits_are_from_sending_to_beginning(client: redis.Redis) -> None:
    fleet = a_fleet(client)
    send(client, QUEUE, 4)
    now = time.time() + 10
    fleet.step(now, ready=1)
    fleet.step(now + 3, ready=1)
    assert fleet.waits == pytest.approx([10, 10, 10.5, 10.5], abs=0.2), "the next begin when the first end"


def test_no_worker_begins_nothing(client: redis.Redis) -> None:
    fleet = a_fleet(client)
    send(client, QUEUE, 3)
    now = time.time() + 5
    fleet.step(now, ready=0)
    assert counts(client) == (3, 3)
    assert fleet.unbegun(now) == pytest.approx([5, 5, 5], abs=0.2)


def test_a_worker_that_goes_gives_back_what_it_fetched_ahead_and_ends_the_rest(client: redis.Redis) -> None:
    fleet, now = a_fleet(client), time.time() + 1
    send(client, QUEUE, 4)
    fleet.step(now, ready=1)
    fleet.step(now + 0.1, ready=0)
    assert counts(client) == (2, 4)
    assert len(fleet.unbegun(now + 0.1)) == 2
    fleet.step(now + 5, ready=0)
    assert (counts(client), fleet.done) == ((2, 2), 2), "nothing new is begun"
    fleet.step(now + 6, ready=1)
    fleet.step(now + 7, ready=1)
    assert (counts(client), fleet.done, len(fleet.waits)) == ((0, 0), 4, 4)


def test_jobs_beyond_the_limit_are_refused_and_ask_again(client: redis.Redis) -> None:
    fleet, now = a_fleet(client, Limit(3, 10)), time.time() + 1
    send(client, QUEUE, 4)
    fleet.step(now, ready=1)
    fleet.step(now + 0.5, ready=1)
    assert (len(fleet.waits), fleet.provider.refused) == (3, 1), "two at first, one of two when they are done"
    fleet.step(now + 9.9, ready=1)
    assert (fleet.done, fleet.provider.refused) == (3, 10), "it asks once a second"
    assert len(fleet.unbegun(now + 9.9)) == 1
    fleet.step(now + 0.5 + 10 * RETRY_AFTER + 0.5, ready=1)
    assert (fleet.done, counts(client)) == (4, (0, 0)), "the first two are more than ten seconds ago"


@given(
    times=st.lists(st.floats(min_value=0, max_value=100), min_size=1).map(sorted),
    requests=st.integers(min_value=1, max_value=5),
)
def test_a_provider_never_allows_more_than_its_limit_in_any_window(times: list[float], requests: int) -> None:
    provider = Provider(Limit(requests, 10))
    allowed = [at for at in times if provider.allows(at)]
    assert len(allowed) + provider.refused == len(times)
    assert all(sum(at - 10 < other <= at for other in allowed) <= requests for at in allowed)
    assert len(allowed) >= min(requests, len(times)), "and no fewer than it must"


def test_the_fleet_takes_what_a_real_producer_sends(server: RedisServer, client: redis.Redis) -> None:
    broker = RedisBroker(url=server.url)
    actor = dramatiq.actor(lambda: None, broker=broker, queue_name=QUEUE, actor_name="sync")
    for _ in range(3):
        actor.send()
    broker.client.close()
    fleet, now = a_fleet(client), time.time() + 1
    fleet.step(now, ready=1)
    assert counts(client) == (0, 3)
    fleet.step(now + 1, ready=1)
    assert (counts(client), fleet.done) == ((0, 0), 3)


def test_real_workers_take_what_the_replayer_sends(server: RedisServer, client: redis.Redis) -> None:
    broker = RedisBroker(url=server.url)
    seen: list[str] = []
    dramatiq.actor(seen.append, broker=broker, queue_name=QUEUE, actor_name="sync_contact")
    send(client, QUEUE, 5)
    worker = dramatiq.Worker(broker, queues={QUEUE}, worker_threads=2, worker_timeout=50)
    worker.start()
    try:
        broker.join(QUEUE, timeout=20_000)
    finally:
        worker.stop()
        broker.client.close()
    assert seen == ["1"] * 5
