"""The drain law in a closed loop: bursts, waves, batches and steady loads, jobs of another duration than said."""

import math
from collections.abc import Callable
from random import Random

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from crm_operator.api.v1alpha1 import CrmIntegrationSpec
from tests.unit.domain.builders import a_spec, a_template
from tests.unit.domain.traffic import drive

#: One worker does 10 jobs a second.
CONCURRENCY = 10


def spec(**scaling: object) -> CrmIntegrationSpec:
    wire = {"maxReplicas": 500, "drainTarget": "60s", "jobDuration": "1s", "scaleDownAfter": "20s"}
    return a_spec(
        workers={"template": a_template(), "concurrency": CONCURRENCY},
        scaling=wire | scaling,
    )


def batch(jobs: float, *, at: int = 30, over: int = 1, base: float = 0) -> Callable[[int], float]:
    """`jobs` within `over` seconds, on top of `base` a second."""
    return lambda second: base + (jobs / over if at <= second < at + over else 0)


def scattered(mean: Callable[[int], float], *, seed: int = 1) -> Callable[[int], float]:
    """Poisson arrivals, by their normal approximation."""
    random = Random(seed)
    return lambda second: max(0, round(random.gauss(mean(second), math.sqrt(mean(second)))))


def wave(second: int) -> float:
    return 60 + 50 * math.sin(2 * math.pi * second / 1200)


@pytest.mark.parametrize("start", [1, 3, 10, 30])
@pytest.mark.parametrize("jobs", [300, 3000, 20_000])
def test_a_batch_is_sized_by_its_backlog_alone(jobs: int, start: int) -> None:
    """It must not be taken for a lasting rate, whenever the workers for it become Ready."""
    course = drive(batch(jobs), spec=spec(), seconds=400, start=start)
    assert course.most == math.ceil(jobs / 600)
    assert course.ticks[-1].wanted == 0


@pytest.mark.parametrize("start", [3, 10])
def test_a_batch_on_top_of_a_load_adds_its_share(start: int) -> None:
    course = drive(batch(3000, at=300, base=35), spec=spec(), seconds=900, start=start)
    ideal = 35 / 0.85 / 10 + 3000 / 600
    assert ideal <= course.most <= 1.35 * ideal
    assert course.ticks[-1].wanted == 5


def test_a_batch_that_is_sent_for_seconds_overshoots_less_than_twofold() -> None:
    course = drive(batch(20_000, over=7), spec=spec(), seconds=400, start=10)
    assert course.most <= 36
    course = drive(batch(20_000, over=15), spec=spec(), seconds=400, start=10)
    assert course.most <= 2 * 34


@pytest.mark.parametrize("rate", [1, 7, 35, 100, 500])
@pytest.mark.parametrize("workers", [0, 60])
def test_a_steady_load_settles_at_its_size_and_stays_there(rate: int, workers: int) -> None:
    course = drive(lambda _: rate, spec=spec(), seconds=600, workers=workers)
    settled = course.ticks[-200:]
    exact = math.ceil(rate / 0.85 / 10)
    [wanted] = {tick.wanted for tick in settled}
    assert exact <= wanted <= 1.05 * exact, "exact up to 20; from above, a twentieth more may stay"
    # One second of work each; nobody waits.
    assert max(tick.backlog for tick in settled) <= rate + 1
    assert course.mean_wait < 15, "a quarter of drainTarget, the rise from nothing included"


def test_a_load_that_begins_at_once_is_followed_within_a_minute_and_overshoots_little() -> None:
    course = drive(lambda _: 100, spec=spec(), seconds=300)
    assert next(n for n, tick in enumerate(course.ticks) if tick.ready >= 12) <= 60
    assert course.most <= 1.4 * math.ceil(100 / 8.5)


def test_scatter_moves_the_size_by_a_worker_or_two() -> None:
    course = drive(scattered(lambda _: 35), spec=spec(), seconds=3600)
    settled = course.ticks[600:]
    assert {tick.wanted for tick in settled} <= {4, 5, 6}
    assert course.changes <= 20
    assert course.mean_wait < 5


def test_waves_are_followed() -> None:
    course = drive(scattered(wave), spec=spec(maxReplicas=50), seconds=3600)
    assert course.mean_wait < 5
    # What the law asks for, held for 20 s: a tenth above the wave itself.
    assert course.replica_seconds <= 1.2 * sum(wave(n) for n in range(3600)) / 8.5


def test_the_oldest_jobs_wait_keeps_the_end_of_a_batch_short() -> None:
    """As the backlog shrinks so do the workers; without a look at the ages the end would take for ever."""
    without = drive(batch(3000), spec=spec(), seconds=400)
    course = drive(batch(3000), spec=spec(), seconds=400, ages=True)
    assert without.drained(after=30) > 85
    assert course.drained(after=30) <= 80, "60 s, 10 s for the workers to start, and what the steps are too short"
    assert course.most <= 6
    assert course.replica_seconds <= 1.25 * without.replica_seconds


def test_bursts_on_a_trickle() -> None:
    arrivals = scattered(lambda n: 2 + (3000 if n % 600 == 60 else 0))
    course = drive(arrivals, spec=spec(), seconds=3600, ages=True)
    assert course.most <= 7
    assert course.mean_wait < 45


@pytest.mark.parametrize("guess", ["100ms", "250ms", "500ms", "2s", "10s"])
def test_a_wrong_duration_does_not_move_a_steady_load(guess: str) -> None:
    """Busy threads say what is finished; the guess cancels out. It takes longer to get there, no more."""
    course = drive(lambda _: 35, spec=spec(jobDuration=guess), seconds=1800)
    assert {tick.wanted for tick in course.ticks[-300:]} == {5}


@pytest.mark.parametrize("guess", ["100ms", "250ms", "500ms"])
def test_a_guess_that_is_too_short_does_not_run_away_on_a_batch(guess: str) -> None:
    course = drive(batch(3000), spec=spec(jobDuration=guess), seconds=1200)
    assert course.most <= 8, "no more than half above what the true duration asks for"
    assert course.ticks[-1].wanted == 0


# Without shrinking: one run takes a tenth of a second, and the drawn numbers are telling as they are.
@settings(max_examples=25, deadline=None, phases=(Phase.explicit, Phase.reuse, Phase.generate))
@given(
    rate=st.integers(2, 200),
    job=st.floats(1, 5),
    start=st.integers(0, 40),
    target=st.integers(30, 600),
    workers=st.integers(0, 100),
)
def test_a_constant_input_leads_to_a_constant_size(
    rate: int, job: float, start: int, target: int, workers: int
) -> None:
    made = spec(jobDuration=f"{round(1000 * job)}ms", drainTarget=f"{target}s")
    course = drive(lambda _: rate, spec=made, seconds=1000, job=round(job, 3), start=start, workers=workers)
    settled = course.ticks[-200:]
    assert len({tick.wanted for tick in settled}) == 1
    assert settled[-1].backlog < rate * (job + target / 2), "a job waits less than half of the target"
