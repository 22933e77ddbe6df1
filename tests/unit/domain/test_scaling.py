"""How many workers the backlog needs."""

import math
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crm_operator.domain.scaling import demand, size
from crm_operator.domain.world import Load, QueueReading, QueueView, Unknown, World
from tests.unit.domain.builders import NOW, a_queue, a_reading, a_spec, a_status, a_workload, a_world, an_outage

DRAIN = {"maxReplicas": 20, "drainTarget": "60s", "jobDuration": "400ms", "scaleDownAfter": "20s"}


def wanted(world: World, reading: QueueReading, *, rate: float) -> float:
    return demand(world, reading)(rate).workers


@pytest.mark.parametrize(
    ("backlog", "scaling", "workers"),
    [
        pytest.param(0, DRAIN, 0, id="no work, no workers"),
        pytest.param(1, DRAIN, 1, id="one job needs a worker"),
        pytest.param(300, DRAIN, 1, id="one worker drains 300 jobs of 0.4 s by two in 60 s"),
        pytest.param(301, DRAIN, 2, id="one more job needs one more worker"),
        pytest.param(3000, DRAIN, 10, id="ten times the jobs"),
        pytest.param(100, {"maxReplicas": 9, "backlogPerReplica": 50}, 2, id="backlogPerReplica divides"),
        pytest.param(101, {"maxReplicas": 9, "backlogPerReplica": 50}, 3, id="backlogPerReplica rounds up"),
        pytest.param(120, {"maxReplicas": 9}, 1, id="defaults: 60 s, one second a job"),
        pytest.param(10**9, DRAIN, 3_333_334, id="a billion jobs"),
    ],
)
def test_needed(backlog: int, scaling: dict[str, object], workers: int) -> None:
    world = a_world(spec=a_spec(scaling=scaling), queue=a_queue(backlog), stable=None)
    assert math.ceil(round(wanted(world, a_reading(backlog), rate=0), 6)) == workers


def test_what_arrives_is_kept_up_with_at_85_percent_of_the_workers_time() -> None:
    world = a_world(spec=a_spec(scaling=DRAIN))
    # One worker does 5 jobs a second.
    assert wanted(world, a_reading(0), rate=17) == pytest.approx(4)
    assert wanted(world, a_reading(300), rate=17) == pytest.approx(5)


def test_jobs_that_are_worked_on_are_in_the_rate_already() -> None:
    world = a_world(spec=a_spec(scaling=DRAIN), stable=a_workload(10))
    assert wanted(world, a_reading(0, running=20), rate=17) == pytest.approx(4)
    # Ten workers run 20 at once; what else they have fetched waits.
    assert wanted(world, a_reading(0, running=320), rate=17) == pytest.approx(5)


def test_backlog_per_replica_knows_no_rate() -> None:
    assert wanted(a_world(), a_reading(40, running=20), rate=1000) == pytest.approx(6)


def test_up_at_once() -> None:
    assert size(a_world(status=a_status(desired=1), queue=a_queue(150))).replicas == 15


def test_down_only_to_the_largest_need_of_scale_down_after() -> None:
    assert size(a_world(queue=a_queue(0), load=Load(peak=5.2))).replicas == 6


def test_to_zero_when_nothing_was_to_do_for_long_enough() -> None:
    assert size(a_world(queue=a_queue(0, good_for=20))).replicas == 0


def test_nothing_goes_down_before_readings_were_good_for_scale_down_after() -> None:
    """A broker that comes back empty after an outage says nothing about the work to come."""
    assert size(a_world(queue=a_queue(0, good_for=19.9))).replicas == 10


def test_up_even_when_readings_are_young() -> None:
    assert size(a_world(queue=a_queue(150, good_for=0))).replicas == 15


def test_running_and_due_jobs_keep_a_worker() -> None:
    for reading in (a_reading(0, running=1), a_reading(0, delayed=3, due=1)):
        view = QueueView(latest=reading, good_since=NOW - timedelta(hours=1))
        assert size(a_world(queue=view)).replicas == 1


def test_delayed_jobs_that_are_not_due_need_no_worker_yet() -> None:
    view = QueueView(latest=a_reading(0, delayed=3), good_since=NOW - timedelta(hours=1))
    assert size(a_world(queue=view)).replicas == 0


def test_an_unread_queue_holds_and_says_why() -> None:
    found = size(a_world(queue=an_outage("redis refused")))
    assert (found.replicas, found.known, found.reason) == (10, False, "QueueUnread")
    assert "redis refused" in found.why


def test_a_hand_made_change_does_not_become_what_is_held() -> None:
    assert size(a_world(queue=an_outage(), stable=a_workload(3))).replicas == 10


def test_at_the_maximum_it_says_what_would_be_needed() -> None:
    found = size(a_world(queue=a_queue(1000)))
    assert (found.replicas, found.reason) == (20, "AtMaximum")
    assert "100 workers" in found.why


@pytest.mark.parametrize(
    ("held", "peak", "replicas"),
    [
        pytest.param(3, 1.85, 2, id="3: enough below 2"),
        pytest.param(3, 1.86, 3, id="3: too close to 2"),
        pytest.param(1, 0.01, 1, id="1: something to do"),
        pytest.param(20, 18.85, 19, id="20: enough below 19"),
        pytest.param(20, 19, 20, id="20: too close to 19"),
        pytest.param(21, 20, 21, id="21: one less is less"),
        pytest.param(40, 38, 38, id="40: two less"),
        pytest.param(200, 191, 200, id="200: nine less"),
        pytest.param(200, 190, 190, id="200: ten less"),
        pytest.param(200, 0, 0, id="all the way"),
        pytest.param(200, 201, 201, id="one more, at once"),
    ],
)
def test_a_size_is_not_lowered_for_little(held: int, peak: float, replicas: int) -> None:
    spec = a_spec(scaling={"maxReplicas": 500})
    world = a_world(spec=spec, status=a_status(desired=held), queue=a_queue(0), load=Load(peak=peak))
    assert size(world).replicas == replicas


def test_backlog_per_replica_is_kept_to_the_job() -> None:
    spec = a_spec(scaling={"maxReplicas": 500, "backlogPerReplica": 10})
    world = a_world(spec=spec, status=a_status(desired=3), queue=a_queue(20), load=Load(peak=2))
    assert size(world).replicas == 2


def test_the_last_worker_but_one_goes_when_little_is_left() -> None:
    """100 jobs of 0.1 s, 8 at once, in 60 s: a 50th of a worker, which is one, and no reason to keep two."""
    spec = a_spec(scaling={"maxReplicas": 20, "drainTarget": "60s", "jobDuration": "100ms"})
    world = a_world(spec=spec, status=a_status(desired=2), queue=a_queue(100), load=Load(arrival_rate=0, peak=0.02))
    assert size(world).replicas == 1


def test_a_step_down_to_the_rate_limit_is_none_too_small() -> None:
    spec = a_spec(scaling={"maxReplicas": 500, "rateLimit": {"requests": 190, "per": "10s"}})
    world = a_world(spec=spec, status=a_status(desired=10), queue=a_queue(20_000), load=Load())
    found = size(world)
    assert (found.replicas, found.reason) == (9, "RateLimited")


#: Everything that scaling looks at.
LOADS = st.builds(
    Load, arrival_rate=st.none() | st.floats(0, 1e6), peak=st.none() | st.floats(0, 1e6), look_again=st.none()
)
SCALINGS = st.builds(
    lambda low, spread, others: {"minReplicas": low, "maxReplicas": max(low + spread, 1), **others},
    low=st.integers(0, 50),
    spread=st.integers(0, 900),
    others=st.fixed_dictionaries({}, optional={"backlogPerReplica": st.integers(1, 1000)}),
)


@given(
    scaling=SCALINGS,
    load=LOADS,
    waiting=st.integers(0, 10**9),
    running=st.integers(0, 10**6),
    good_for=st.floats(0, 10_000),
    desired=st.integers(0, 2000),
    outage=st.booleans(),
)
def test_a_size_is_always_within_the_bounds(
    scaling: dict[str, int], load: Load, waiting: int, running: int, good_for: float, desired: int, outage: bool
) -> None:
    reading = a_reading(waiting, running=running)
    queue = an_outage() if outage else QueueView(latest=reading, good_since=NOW - timedelta(seconds=good_for))
    found = size(a_world(spec=a_spec(scaling=scaling), status=a_status(desired=desired), queue=queue, load=load))
    assert scaling["minReplicas"] <= found.replicas <= scaling["maxReplicas"]


@given(
    scaling=SCALINGS, load=LOADS, backlog=st.integers(0, 10**6), more=st.integers(0, 10**6), good_for=st.floats(0, 100)
)
def test_more_work_never_takes_fewer_workers(
    scaling: dict[str, int], load: Load, backlog: int, more: int, good_for: float
) -> None:
    spec = a_spec(scaling=scaling)
    less = size(a_world(spec=spec, load=load, queue=a_queue(backlog, good_for=good_for)))
    greater = size(a_world(spec=spec, load=load, queue=a_queue(backlog + more, good_for=good_for)))
    assert less.replicas <= greater.replicas


@given(
    scaling=SCALINGS,
    load=LOADS,
    counts=st.tuples(st.integers(0, 9), st.integers(0, 9), st.integers(0, 9)).filter(any),
    desired=st.integers(0, 100),
)
def test_never_zero_while_anything_waits_runs_or_is_due(
    scaling: dict[str, int], load: Load, counts: tuple[int, int, int], desired: int
) -> None:
    waiting, running, due = counts
    reading = a_reading(waiting, running=running, delayed=due, due=due)
    view = QueueView(latest=reading, good_since=NOW - timedelta(hours=1))
    spec = a_spec(scaling=scaling)
    assert size(a_world(spec=spec, status=a_status(desired=desired), queue=view, load=load)).replicas >= 1


@given(orphaned=st.integers(1, 10**6), more=st.integers(0, 10**6), desired=st.integers(0, 100), load=LOADS)
def test_never_zero_while_dead_workers_hold_jobs(orphaned: int, more: int, desired: int, load: Load) -> None:
    """Only a running worker takes them back."""
    reading = a_reading(0, running=orphaned + more, orphaned=orphaned)
    view = QueueView(latest=reading, good_since=NOW - timedelta(hours=1))
    assert size(a_world(status=a_status(desired=desired), queue=view, load=load)).replicas >= 1


@given(desired=st.integers(1, 20), reason=st.text(max_size=20), load=LOADS)
def test_a_missing_reading_holds(desired: int, reason: str, load: Load) -> None:
    view = QueueView(latest=Unknown("gone", reason or "Gone"))
    assert size(a_world(status=a_status(desired=desired), queue=view, load=load)).replicas == desired


@given(desired=st.integers(0, 20), load=LOADS, backlog=st.integers(0, 1000), good_for=st.floats(0, 19.9))
def test_nothing_goes_down_on_young_readings(desired: int, load: Load, backlog: int, good_for: float) -> None:
    queue = a_queue(backlog, good_for=good_for)
    assert size(a_world(status=a_status(desired=desired), queue=queue, load=load)).replicas >= desired
