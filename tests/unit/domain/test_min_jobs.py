"""A guard with too few jobs behind it says nothing, good or bad."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crm_operator.api.v1alpha1 import Guard, GuardState, RolloutPhase
from crm_operator.domain.decide import GUARDS_AGAIN, decide
from crm_operator.domain.fleet import JOBS_METRIC
from crm_operator.domain.guards import evaluate
from crm_operator.domain.min_jobs import JobsWithin, with_enough_jobs
from crm_operator.domain.verdict import Verdict
from crm_operator.domain.world import Evidence, Reading, Unknown, World
from tests.unit.domain.builders import (
    GOOD,
    NEW,
    a_canary_world,
    a_guard,
    a_rollout,
    a_spec,
    a_status,
    a_world,
    evidence,
    was,
)
from tests.unit.domain.fleet import MINUTES_5, Fleet, at

GUARD = a_guard(minJobs=20)
UNREAD = Unknown("connection refused", "ConnectionRefused")


def done(*, new: float | Unknown | None = None, good: float | Unknown | None = None) -> JobsWithin:
    sides = {revision: jobs for revision, jobs in ((NEW, new), (GOOD, good)) if jobs is not None}
    counted = [jobs for jobs in sides.values() if not isinstance(jobs, Unknown)]
    return JobsWithin(by_revision=sides, overall=sum(counted) if counted else UNREAD)


def judged(world: World, found: Evidence, jobs: JobsWithin, *, guard: Guard = GUARD) -> Verdict:
    spec = a_spec(guards=[guard.to_wire()])
    (verdict,) = evaluate(replace(world, spec=spec, evidence={guard.name: with_enough_jobs(guard, found, jobs)}))
    return verdict


@pytest.mark.parametrize(
    ("errors", "jobs", "state", "message"),
    [
        pytest.param(11, 3, GuardState.UNKNOWN, "3 of 20 jobs in 5m (minJobs)", id="a breach of a few jobs"),
        pytest.param(0, 19, GuardState.UNKNOWN, "19 of 20 jobs in 5m (minJobs)", id="nothing wrong with a few jobs"),
        pytest.param(11, 20, GuardState.CRITICAL, None, id="exactly enough"),
        pytest.param(0, 20, GuardState.OK, None, id="enough, and nothing wrong"),
        pytest.param(
            11,
            UNREAD,
            GuardState.UNKNOWN,
            "the jobs for minJobs cannot be counted: connection refused",
            id="nobody can count",
        ),
    ],
)
def test_the_judged_versions_own_jobs_count(
    errors: float, jobs: float | Unknown, state: GuardState, message: str | None
) -> None:
    verdict = judged(a_canary_world(), evidence(new=errors, good=0), done(new=jobs, good=1000))
    assert verdict.state is state
    if message is not None:
        assert verdict.message == message


def test_by_default_an_error_breaches_before_any_job_is_done() -> None:
    plain = a_guard(warning=None, critical={"above": 0})
    assert judged(a_canary_world(), evidence(new=1, good=0), done(new=0), guard=plain).state is GuardState.CRITICAL


@pytest.mark.parametrize(("waited", "blame"), [(9.9, "undecided"), (10, "revision")])
def test_a_stable_version_with_too_few_jobs_is_waited_for_and_is_no_outage(waited: float, blame: str) -> None:
    before = was("undecided", for_seconds=waited)
    world = a_canary_world(status=a_status(a_rollout(RolloutPhase.CANARY), guards=[before]))
    verdict = judged(world, evidence(new=11, good=11), done(new=20, good=3))
    assert (verdict.state, verdict.blame) == (GuardState.CRITICAL, blame)


def test_a_value_of_all_is_held_against_the_jobs_of_all() -> None:
    dead = a_guard(metric={"from": "queue", "name": "dead"}, minJobs=20)
    found = evidence(new=None, good=None, overall=11)
    for jobs, state in ((done(new=3, good=16), GuardState.UNKNOWN), (done(new=3, good=17), GuardState.CRITICAL)):
        assert judged(a_canary_world(), found, jobs, guard=dead).state is state


def test_without_a_worker_there_is_nothing_to_judge() -> None:
    nobody = Unknown("there is no pod to read", "NoPods")
    found = evidence(new=None, good=None, overall=11)
    verdict = judged(a_world(), found, JobsWithin(by_revision={}, overall=nobody))
    assert verdict.state is GuardState.INACTIVE


@pytest.mark.parametrize("phase", [RolloutPhase.CANARY, RolloutPhase.BAKING])
def test_a_rollout_waits_for_enough_jobs(phase: RolloutPhase) -> None:
    found = with_enough_jobs(GUARD, evidence(new=11, good=0), done(new=3))
    world = a_canary_world(
        spec=a_spec(guards=[GUARD.to_wire()]), status=a_status(a_rollout(phase)), evidence={GUARD.name: found}
    )
    rollout = decide(world).status.rollout
    assert rollout is not None
    assert (rollout.phase, rollout.step) == (phase, 0)


@pytest.mark.parametrize(("jobs", "again"), [pytest.param(3, False, id="too few"), pytest.param(99, True, id="enough")])
def test_only_news_of_more_jobs_ends_it_so_nobody_looks_again(jobs: float, again: bool) -> None:
    """Many integrations have little to do at night."""
    found = with_enough_jobs(GUARD, evidence(good=5), done(good=jobs))
    world = a_world(target=GOOD, spec=a_spec(guards=[GUARD.to_wire()]), evidence={GUARD.name: found})
    assert (decide(world).requeue_after == GUARDS_AGAIN) == again


# -- what is counted --------------------------------------------------------------------------------------------------


def counted(fleet: Fleet, second: float) -> JobsWithin:
    return fleet.fleet.jobs_within(MINUTES_5, at(second))


def test_jobs_of_pods_that_left_count_and_those_before_the_window_do_not() -> None:
    fleet = Fleet(a1=-5, a2=-999, b1=-999)
    for second, jobs in ((0, 5), (10, 9)):
        for pod in ("a1", "a2", "b1"):
            fleet.says(second, pod, jobs, metric=JOBS_METRIC)
    fleet.there(11, a2=-999, b1=-999)
    assert counted(fleet, 12) == JobsWithin(by_revision={"a": 9 + 4, "b": 4}, overall=9 + 4 + 4)
    for pod in ("a2", "b1"):
        fleet.says(311, pod, 9, metric=JOBS_METRIC)
    assert counted(fleet, 311).overall == 0


def test_workers_that_do_not_count_are_no_zero() -> None:
    fleet = Fleet(a1=0)
    fleet.fails(1, "a1")
    found = counted(fleet, 2)
    assert found.by_revision == {"a": found.overall}
    assert found.overall == Unknown(f"{JOBS_METRIC}: connection refused (1 of 1 pods)", "ConnectionRefused")
    gone = counted(Fleet(), 2)
    assert isinstance(gone.overall, Unknown)
    assert gone.overall.reason == "NoPods"


numbers: Any = st.none() | st.floats(0, 1e6) | st.just(UNREAD)


@given(new=numbers, good=numbers, errors=st.tuples(st.floats(0, 1e6), st.floats(0, 1e6)), least=st.integers(1, 10**6))
def test_no_value_is_left_that_has_too_few_jobs_behind_it(
    new: float | Unknown | None, good: float | Unknown | None, errors: tuple[float, float], least: int
) -> None:
    jobs, before = done(new=new, good=good), evidence(new=errors[0], good=errors[1])
    after = with_enough_jobs(a_guard(minJobs=least), before, jobs)
    sides: list[tuple[Any, Any, Any]] = [(after.overall, before.overall, jobs.overall)]
    sides += [(after.by_revision[side], before.by_revision[side], jobs.by_revision.get(side)) for side in (NEW, GOOD)]
    for found, unfiltered, count in sides:
        assert found == unfiltered if isinstance(count, float | int) and count >= least else isinstance(found, Unknown)
    assert isinstance(before.overall, Reading)
