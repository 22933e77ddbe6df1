"""The built-in guard "Ready but not working": when it fires, whom it blames, and all that must not make it fire."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crm_operator.api.v1alpha1 import CrmIntegrationSpec, GuardState, RolloutPhase, ScalingStatus
from crm_operator.domain.decide import decide
from crm_operator.domain.idle import WorkMemory, judge, look_again
from crm_operator.domain.plan import CreatePause
from crm_operator.domain.verdict import Verdict
from crm_operator.domain.world import JobsDone, JobTime, QueueView, Reading, Unknown, World
from tests.unit.domain.builders import (
    GOOD,
    NEW,
    NOW,
    SECOND,
    a_canary_world,
    a_guard,
    a_pause,
    a_reading,
    a_rollout,
    a_spec,
    a_status,
    a_workload,
    a_world,
    an_outage,
    pods,
)

QUIET = {"guards": [a_guard(name="dead", metric={"from": "queue", "name": "dead"}).to_wire()]}


def done(**counts: int) -> dict[str, JobsDone | Unknown]:
    sides = {"new": NEW, "good": GOOD}
    return {sides[side]: JobsDone(count=count, since=NOW) for side, count in counts.items()}


def waiting(jobs: int = 12, **parts: Any) -> dict[str, Any]:
    return {"queue": QueueView(latest=a_reading(jobs, **parts), good_since=NOW - timedelta(hours=1))}


class Watch:
    """Looks at a world that goes on, second by second."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.memory = WorkMemory()
        self.look()

    def look(self, **parts: Any) -> Verdict:
        world = replace(self.world, **parts)
        self.world = replace(world, idle=self.memory.notice(world))
        verdict = judge(self.world)
        assert verdict is not None
        return verdict

    def after(self, seconds: float, **parts: Any) -> Verdict:
        return self.look(now=self.world.now + timedelta(seconds=seconds), **parts)


def steady(**parts: Any) -> World:
    return a_world(**({"target": GOOD, "jobs_done": done(good=5)} | waiting(running=8) | parts))


def canary(**parts: Any) -> World:
    return a_canary_world(**({"jobs_done": done(good=5, new=0)} | waiting(running=8) | parts))


LEARNED = {GOOD: JobTime(mean=timedelta(milliseconds=400), jobs=100)}


def test_workers_that_hold_no_job_for_a_minute_although_some_wait() -> None:
    watch = Watch(steady(**waiting(running=0)))
    assert watch.after(59).state is GuardState.OK
    verdict = watch.after(1)
    assert (verdict.state, verdict.blame, verdict.samples) == (GuardState.CRITICAL, None, 10)
    assert verdict.message == "12 jobs wait and 10 Ready workers finished none for 60 s"
    assert watch.after(5, jobs_done=done(good=6)).state is GuardState.OK


def test_workers_that_hold_jobs_have_as_long_as_their_jobs_take() -> None:
    watch = Watch(steady(job_times=LEARNED))
    assert watch.after(60).state is GuardState.CRITICAL
    slow = {GOOD: JobTime(mean=timedelta(seconds=30), jobs=100)}
    watch = Watch(steady(job_times=slow))
    assert watch.after(299).state is GuardState.OK
    assert watch.after(1).state is GuardState.CRITICAL


@pytest.mark.parametrize(
    ("parts", "patience"),
    [
        pytest.param({}, timedelta(minutes=11), id="nobody knows: Dramatiq's limit of a job, and a minute"),
        pytest.param(
            {"spec": a_spec(scaling={"maxReplicas": 20, "jobDuration": "20s"})},
            timedelta(seconds=200),
            id="the user says how long",
        ),
        pytest.param(
            {"status": a_status(scaling=ScalingStatus(job_duration_milliseconds=15_000, learned_revision=GOOD))},
            timedelta(seconds=150),
            id="learned before a restart",
        ),
        pytest.param({"job_times": {"x": JobTime(mean=7 * SECOND, jobs=20)}}, 70 * SECOND, id="learned of another"),
    ],
)
def test_how_long_a_job_may_take(parts: dict[str, Any], patience: timedelta) -> None:
    watch = Watch(steady(**parts))
    assert watch.after(patience.total_seconds() - 1).state is GuardState.OK
    assert look_again(watch.world) == watch.world.now + SECOND
    assert watch.after(1).state is GuardState.CRITICAL


def test_the_gauge_of_jobs_in_progress_tells_held_from_fetched_ahead() -> None:
    names = [pod.name for pod in a_workload(10).pods]
    fetched = Watch(steady(in_progress=dict.fromkeys(names, 0)))
    assert fetched.after(60).state is GuardState.CRITICAL
    working = Watch(steady(in_progress=dict.fromkeys(names, 0) | {names[0]: 1}))
    assert working.after(60).state is GuardState.OK
    half_known = Watch(steady(in_progress=dict.fromkeys(names[:5], 0)))
    assert half_known.after(60).state is GuardState.OK


@pytest.mark.parametrize(
    ("parts", "state"),
    [
        pytest.param(waiting(0, running=8), GuardState.OK, id="nothing waits"),
        pytest.param({"pauses": (a_pause(),)}, GuardState.INACTIVE, id="paused"),
        pytest.param({"queue": an_outage()}, GuardState.INACTIVE, id="the queue cannot be read"),
        pytest.param({"stable": a_workload(10, ready=0)}, GuardState.INACTIVE, id="no worker is Ready"),
        pytest.param({"stable": None}, GuardState.INACTIVE, id="no worker at all"),
        pytest.param(
            {"stable": a_workload(0, pods=pods(3, terminating=True))}, GuardState.INACTIVE, id="all of them drain"
        ),
        pytest.param({"rate_limit_hits": Reading(1, 1, NOW)}, GuardState.OK, id="the provider refuses requests"),
    ],
)
def test_what_is_no_fault_of_the_workers(parts: dict[str, Any], state: GuardState) -> None:
    trouble = steady(**waiting(running=0))
    watch = Watch(replace(trouble, **parts))
    assert watch.after(3600).state is state
    # And it starts to count when that is over.
    back = {**waiting(running=0), "pauses": (), "stable": a_workload(10), "rate_limit_hits": None}
    assert watch.after(1, **back).state is GuardState.OK
    assert watch.after(59).state is GuardState.OK
    assert watch.after(1).state is GuardState.CRITICAL


def test_without_counters_the_queue_tells() -> None:
    uncounted = {"jobs_done": {}, "job_times": LEARNED}
    watch = Watch(steady(**uncounted, **waiting(12, running=8)))
    assert watch.after(50, **waiting(13, running=8)).state is GuardState.OK  # may be one finished and two new ones
    assert watch.after(59).state is GuardState.OK
    assert watch.after(1).state is GuardState.CRITICAL
    # While nobody holds a job, what arrives is no sign of work.
    growing = Watch(steady(**uncounted, **waiting(12, running=0)))
    assert growing.after(50, **waiting(40, running=0)).state is GuardState.OK
    assert growing.after(10, **waiting(50, running=0)).state is GuardState.CRITICAL
    assert growing.after(1, **waiting(49, running=0)).state is GuardState.OK


def test_jobs_of_dead_workers_are_held_by_nobody() -> None:
    watch = Watch(steady(**waiting(running=8, orphaned=8)))
    assert watch.after(60).state is GuardState.CRITICAL


def test_a_canary_that_idles_alone_is_to_blame_and_rolled_back() -> None:
    watch = Watch(canary(job_times=LEARNED))
    for count in range(6, 13):
        verdict = watch.after(10, jobs_done=done(good=count, new=0))
    assert (verdict.state, verdict.blame) == (GuardState.CRITICAL, "revision")
    rollout = decide(watch.world).status.rollout
    assert rollout is not None
    assert rollout.phase is RolloutPhase.ROLLING_BACK


def test_a_canary_is_not_to_blame_when_stable_idles_as_well() -> None:
    watch = Watch(canary(job_times=LEARNED))
    watch.after(2, jobs_done=done(good=6, new=0))  # stable's last job
    verdict = watch.after(60)
    assert (verdict.state, verdict.blame) == (GuardState.CRITICAL, None)
    assert verdict.message.endswith("; nor did stable's")
    rollout = decide(watch.world).status.rollout
    assert rollout is not None
    assert (rollout.phase, rollout.step) == (RolloutPhase.CANARY, 0)


def test_a_canary_that_works_beside_an_idle_stable_version_is_the_cure() -> None:
    watch = Watch(canary(job_times=LEARNED))
    assert watch.after(61, jobs_done=done(good=5, new=3)).state is GuardState.OK


@pytest.mark.parametrize(
    ("finished", "blame"),
    [
        pytest.param(0, "revision", id="it never finished a job"),
        pytest.param(9, None, id="it worked before, so something else may have stopped it"),
    ],
)
def test_with_no_stable_worker_beside_it(finished: int, blame: str | None) -> None:
    world = a_world(
        status=a_status(a_rollout(RolloutPhase.BAKING, step_start_time=NOW)),
        stable=a_workload(10, revision=NEW),
        jobs_done=done(new=finished),
        job_times=LEARNED,
        **waiting(running=8),
    )
    verdict = Watch(world).after(60)
    assert (verdict.state, verdict.blame) == (GuardState.CRITICAL, blame)


def test_idle_workers_are_not_paused() -> None:
    watch = Watch(steady(spec=a_spec(onCritical={"pause": True}), **waiting(running=0)))
    watch.after(60)
    assert CreatePause not in [type(action) for action in decide(watch.world).actions]


def test_it_is_shown_beside_the_users_guards_and_makes_the_integration_degraded() -> None:
    watch = Watch(steady(spec=a_spec(**QUIET), **waiting(running=0)))
    watch.after(60)
    status = decide(watch.world).status
    assert [(guard.name, guard.state.value) for guard in status.guards] == [
        ("dead", "Unknown"),
        ("ready-but-idle", "Critical"),
    ]
    assert status.phase == "Degraded"
    assert status.guards[1].threshold == "60"


@pytest.mark.parametrize(
    "spec",
    [
        pytest.param(a_spec(guards=[]), id="no guards are wanted"),
        pytest.param(a_spec(guards=[a_guard(name="ready-but-idle").to_wire()]), id="the user has one of this name"),
    ],
)
def test_users_can_do_without_it(spec: CrmIntegrationSpec) -> None:
    world = steady(spec=spec, **waiting(running=0))
    assert judge(world) is None
    assert look_again(replace(world, idle=WorkMemory().notice(world))) is None


def test_a_quiet_integration_is_not_looked_at_for_it() -> None:
    watch = Watch(steady(**waiting(0)))
    assert look_again(watch.world) is None


@given(steps=st.lists(st.tuples(st.integers(1, 59), st.integers(0, 3), st.integers(0, 50)), min_size=1, max_size=30))
def test_workers_that_finish_a_job_a_minute_never_fire(steps: list[tuple[int, int, int]]) -> None:
    """Whatever they hold and whatever waits: the guard speaks of nothing else than finished jobs."""
    watch, count = Watch(steady(job_times=LEARNED)), 5
    for seconds, running, jobs in steps:
        count += 1
        verdict = watch.after(seconds, jobs_done=done(good=count), **waiting(jobs, running=running))
        assert verdict.state is GuardState.OK
