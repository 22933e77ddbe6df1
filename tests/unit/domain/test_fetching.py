"""The drain law on workers that fetch ahead, on the loads that `bench replay` replays."""

import math
import random

import pytest

from bench.scaling.traces import CONCURRENCY, JOB_SECONDS, MAX_REPLICAS, Arrival, trace
from crm_operator.api.v1alpha1 import CrmIntegrationSpec
from tests.unit.domain.builders import a_spec, a_template
from tests.unit.domain.fetching import Score, score

#: Jobs a second that one worker does.
SPEED = CONCURRENCY / JOB_SECONDS


def spec(**scaling: object) -> CrmIntegrationSpec:
    wire = {"maxReplicas": MAX_REPLICAS, "drainTarget": "30s", "jobDuration": "400ms"}
    return a_spec(workers={"template": a_template(), "concurrency": CONCURRENCY}, scaling=wire | scaling)


def steady(rate: float, *, seconds: int, scraped: bool) -> Score:
    dice, at, arrivals = random.Random(1), 0.0, list[Arrival]()
    while (at := at + dice.expovariate(rate)) < seconds:
        arrivals.append(Arrival(at, 1))
    return score(arrivals, spec=spec(), seconds=seconds, job=JOB_SECONDS, scraped=scraped)


def replayed(name: str, *, seed: int, scraped: bool = True) -> Score:
    load = trace(name, seed=seed)
    return score(load.arrivals, spec=spec(), seconds=int(load.seconds), job=JOB_SECONDS, scraped=scraped)


@pytest.mark.parametrize("rate", [12, 25, 80, 120])
def test_what_workers_fetch_ahead_is_no_work_where_they_are_scraped(rate: int) -> None:
    settled = steady(rate, seconds=400, scraped=True).sizes[100:]
    exact = math.ceil(rate / 0.85 / SPEED)
    assert exact <= min(settled)
    assert max(settled) <= exact + max(1, round(0.2 * exact)), "scatter, held for scaleDownAfter"


@pytest.mark.parametrize("rate", [25, 80, 120])
def test_without_a_scrape_it_makes_the_workers_at_most_half_as_many_again(rate: int) -> None:
    settled = steady(rate, seconds=400, scraped=False).sizes[100:]
    exact = math.ceil(rate / 0.85 / SPEED)
    assert exact <= min(settled)
    assert max(settled) <= 1.5 * exact + 1


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_step_is_followed_within_seconds(seed: int) -> None:
    """From 10 to 80 jobs/s at once; a size of 10 from the beginning, 1500 replica-seconds, leaves 4300."""
    found = replayed("step", seed=seed)
    assert found.backlog_seconds < 18_000
    assert found.replica_seconds < 1400
    assert found.p95_wait < 9


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_wave_is_followed(seed: int) -> None:
    """10 to 110 jobs/s and back in 80 s, in steps of up to 30 %: faster than scaleDownAfter and two starts of a pod."""
    found = replayed("wave", seed=seed)
    assert found.backlog_seconds < 32_000
    assert found.replica_seconds < 2000
    assert found.p95_wait < 8


def test_a_batch_keeps_its_target_and_starts_no_worker_more() -> None:
    found = replayed("batch", seed=1)
    assert max(found.sizes) == 20, "6000 jobs / 30 s / 10 jobs/s"
    assert found.p95_wait < 30 + 5
    assert found.sizes[-1] == 0
