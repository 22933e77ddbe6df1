"""How many workers the backlog needs."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crm_operator.domain.scaling import needed, size
from crm_operator.domain.world import QueueView, Unknown
from tests.unit.domain.builders import NOW, a_queue, a_reading, a_spec, a_status, a_workload, a_world, an_outage

DRAIN = {"maxReplicas": 20, "drainTarget": "60s", "jobDuration": "400ms", "scaleDownAfter": "20s"}


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
    assert needed(backlog, a_spec(scaling=scaling)) == workers


def test_up_at_once() -> None:
    assert size(a_world(status=a_status(desired=1), queue=a_queue(150))).replicas == 15


def test_down_only_to_the_largest_need_of_scale_down_after() -> None:
    assert size(a_world(queue=a_queue(0, peak=60))).replicas == 6


def test_to_zero_when_nothing_was_to_do_for_long_enough() -> None:
    assert size(a_world(queue=a_queue(0, good_for=20))).replicas == 0


def test_nothing_goes_down_before_readings_were_good_for_scale_down_after() -> None:
    """A broker that comes back empty after an outage says nothing about the work to come."""
    assert size(a_world(queue=a_queue(0, good_for=19.9))).replicas == 10


def test_up_even_when_readings_are_young() -> None:
    assert size(a_world(queue=a_queue(150, good_for=0))).replicas == 15


def test_running_and_due_jobs_keep_a_worker() -> None:
    for reading in (a_reading(0, running=1), a_reading(0, delayed=3, due=1)):
        view = QueueView(latest=reading, peak_backlog=1, good_since=NOW - timedelta(hours=1))
        assert size(a_world(queue=view)).replicas == 1


def test_delayed_jobs_that_are_not_due_need_no_worker_yet() -> None:
    view = QueueView(latest=a_reading(0, delayed=3), peak_backlog=0, good_since=NOW - timedelta(hours=1))
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


@given(
    backlog=st.integers(0, 10**9),
    peak=st.integers(0, 10**9),
    good_for=st.floats(0, 10_000),
    desired=st.integers(0, 2000),
    low=st.integers(0, 50),
    spread=st.integers(0, 900),
    outage=st.booleans(),
)
def test_a_size_is_always_within_the_bounds(
    backlog: int, peak: int, good_for: float, desired: int, low: int, spread: int, outage: bool
) -> None:
    scaling = {"minReplicas": low, "maxReplicas": max(low + spread, 1), "backlogPerReplica": 10}
    queue = an_outage() if outage else a_queue(backlog, peak=max(peak, backlog), good_for=good_for)
    found = size(a_world(spec=a_spec(scaling=scaling), status=a_status(desired=desired), queue=queue))
    assert low <= found.replicas <= max(low + spread, 1)


@given(backlog=st.integers(0, 10**6), more=st.integers(0, 10**6), good_for=st.floats(0, 100))
def test_more_work_never_takes_fewer_workers(backlog: int, more: int, good_for: float) -> None:
    less = size(a_world(queue=a_queue(backlog, good_for=good_for)))
    greater = size(a_world(queue=a_queue(backlog + more, good_for=good_for)))
    assert less.replicas <= greater.replicas


@given(backlog=st.integers(1, 10**6), peak=st.integers(0, 10**6), desired=st.integers(0, 100))
def test_never_zero_while_there_is_work(backlog: int, peak: int, desired: int) -> None:
    queue = a_queue(backlog, peak=max(peak, backlog))
    assert size(a_world(status=a_status(desired=desired), queue=queue)).replicas >= 1


@given(desired=st.integers(1, 20), reason=st.text(max_size=20))
def test_a_missing_reading_never_scales_to_zero(desired: int, reason: str) -> None:
    view = QueueView(latest=Unknown("gone", reason or "Gone"))
    assert size(a_world(status=a_status(desired=desired), queue=view)).replicas == desired
