"""The load and the tables of `bench many`. A real Redis, no cluster."""

import asyncio
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from bench.many.load import BURSTS, JOBS_PER_WORKER, RUNNING, USUAL, Load
from bench.many.report import many_table, section
from bench.records import Json, Series
from tests.redisserver import RedisServer


@pytest.fixture
def broker() -> Iterator["redis.Redis"]:
    with RedisServer() as server, server.client() as client:
        yield client


def lengths(broker: "redis.Redis", name: str) -> tuple[int, int]:
    """Jobs that wait, and that are fetched."""
    waiting, whole = int(broker.llen(f"dramatiq:{name}")), int(broker.hlen(f"dramatiq:{name}.msgs"))
    return waiting, whole - waiting


@pytest.mark.parametrize("seed", range(5))
def test_a_queue_is_as_long_as_it_was_made_and_the_oldest_jobs_leave(broker: "redis.Redis", seed: int) -> None:
    dice = random.Random(seed)
    load = Load(broker, ["q"], dice)
    (queue,) = load.queues
    for _ in range(50):
        before = list(queue.jobs)
        wanted = dice.randrange(0, 40)
        load.burst(0, wanted)
        assert lengths(broker, "q") == (max(0, wanted - RUNNING), min(wanted, RUNNING))
        stayed = [job for job in before if job in set(queue.jobs)]
        assert stayed == before[len(before) - len(stayed) :]
        waiting = set(broker.lrange("dramatiq:q", 0, -1))
        assert waiting == {job.encode() for job in list(queue.jobs)[RUNNING:]}


def test_a_burst_is_stamped_by_the_broker_and_says_what_it_needs(broker: "redis.Redis") -> None:
    load = Load(broker, ["a", "b"], random.Random(1))
    load.fill()
    seconds, _ = broker.time()
    burst = load.burst(1, 2 * JOBS_PER_WORKER + 1)
    assert (burst.number, burst.workers) == (1, 3)
    assert 0 <= burst.at - seconds < 5
    assert sum(lengths(broker, "b")) == 2 * JOBS_PER_WORKER + 1


def test_only_who_is_at_rest_gets_bursts_and_all_of_them_end(broker: "redis.Redis") -> None:
    load = Load(broker, [f"q{n}" for n in range(4)], random.Random(1))
    load.fill()
    bursts = asyncio.run(load.run(6.0, at_rest=lambda number: number % 2 == 1))
    assert bursts
    assert {burst.number for burst in bursts} <= {1, 3}
    assert max(BURSTS) >= max(sum(lengths(broker, queue.name)) for queue in load.queues) > max(USUAL)
    load.calm()
    assert all(sum(lengths(broker, queue.name)) in USUAL for queue in load.queues)


def a_run(count: int, lag: float, **quiet: int) -> Json:
    requests = {"watch": 9, "lease": 9, "patch crmintegrations": 30, "patch deployments": 20, "create events": 10}
    return {
        "integrations": count,
        "busy": {
            "seconds": 30.0,
            "bursts": 3,
            "lags_s": [0.25, 0.5, lag],
            "cpu_s_per_min": 12.34,
            "rss_mib": 140.4,
            "rss_peak_mib": 141.0,
            "requests": requests,
            "means_ms": {"request PATCH": [12.3, 30]},
        },
        "quiet": {"seconds": 30.0, "cpu_s_per_min": 1.0, "requests": {"lease": 15, **quiet}},
        "restart": {
            "ready_s": 2.0,
            "sizes_s": [3.0, 4.0, 9.0],
            "rss_mib": 150.0,
            "rss_peak_mib": 160.0,
            "cpu_s": 5.0,
            "requests": {"patch crmintegrations": 7},
        },
    }


def a_series(run: Json, *, every: float = 200.0) -> Series:
    return Series({"settings": {"integrations": run["integrations"], "burst_every_s": every}}, (run,))


def test_the_tables_count_a_minute_and_leave_upkeep_out() -> None:
    text = many_table([a_series(a_run(100, 1.5))])
    assert "| 100 | 200 s | 3 | 0.50 s | 1.50 s | 1.50 s | 12.3 | 140 | 120 | create 20, patch 100 | 12 ms |" in text
    assert "| 100 | 1.00 | 0 | 0 | 2.0 s | 4.0 s | 9.0 s | 5.0 | 150 | 160 | 7 |" in text
    assert "missed" not in text


def test_the_aims_are_judged_at_the_largest_number_and_quiet_ones_at_all() -> None:
    small, large = a_run(10, 5.0, **{"patch crmintegrations": 1}), a_run(1000, 1.5)
    text = many_table([a_series(small), a_series(large)])
    assert "Aims with 1000 integrations and a burst every 200 s: p99 lag below 2 s (met)" in text
    assert "no status write while quiet (**missed**)" in text
    assert "p99 lag below 2 s (**missed**)" in many_table([a_series(a_run(1000, 2.0))])


def test_the_largest_number_is_judged_at_each_rate_of_bursts() -> None:
    text = many_table([a_series(a_run(9, 1.5)), a_series(a_run(9, 1.5), every=500), a_series(a_run(9, 2.5))])
    assert text.count("Aims with 9 integrations") == 3
    assert "a burst every 500 s: p99 lag below 2 s (met)" in text


def test_there_is_no_section_without_raw_data(tmp_path: Path) -> None:
    assert section(tmp_path) == ""
