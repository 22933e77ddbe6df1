"""Every edge of the rollout's state machine, one row or test each."""

from datetime import timedelta
from typing import Any

import pytest

from crm_operator.api.v1alpha1 import (
    CrmIntegrationSpec,
    CrmIntegrationStatus,
    RolloutPhase,
    RolloutStatus,
    SyncState,
    SyncStatus,
)
from crm_operator.domain.decide import decide
from crm_operator.domain.guards import evaluate
from crm_operator.domain.rollout import Move, advance, steps_hash
from crm_operator.domain.world import Evidence, JobsDone, TemplateRefused, Unknown, World
from tests.unit.domain.builders import (
    GOOD,
    NEW,
    NOW,
    SECOND,
    a_canary_world,
    a_pause,
    a_queue,
    a_rollout,
    a_spec,
    a_status,
    a_workload,
    a_world,
    evidence,
    pods,
    read,
)

OTHER = "cccccccccccccccc"


def moved(world: World) -> Move:
    return advance(world, evaluate(world))


def in_phase(phase: RolloutPhase, **rollout: Any) -> RolloutStatus:
    return a_rollout(phase, **rollout)


def twenty_jobs() -> CrmIntegrationSpec:
    return a_spec(rollout=a_spec().rollout.to_wire() | {"minJobs": 20})


def what(move: Move) -> list[str]:
    return [decision.what for decision in move.decisions]


# --- a template arrives ----------------------------------------------------------------------------------------------


def test_the_first_deployment_goes_straight_to_promoting() -> None:
    move = moved(a_world(status=a_status(RolloutStatus(phase=RolloutPhase.STABLE)), stable=None))
    assert (move.rollout.phase, move.rollout.candidate_revision, move.rollout.stable_revision) == (
        RolloutPhase.PROMOTING,
        NEW,
        None,
    )
    assert what(move) == ["Deployed"]


def test_a_lost_status_trusts_what_runs() -> None:
    move = moved(a_world(status=CrmIntegrationStatus()))
    assert (move.rollout.phase, move.rollout.stable_revision, move.rollout.candidate_revision) == (
        RolloutPhase.CANARY,
        GOOD,
        NEW,
    )


def test_a_new_template_starts_a_canary_at_the_first_weight() -> None:
    move = moved(a_world())
    assert (move.rollout.phase, move.rollout.step, move.rollout.weight) == (RolloutPhase.CANARY, 0, 20)
    assert move.rollout.start_time == NOW
    assert what(move) == ["RolloutStarted"]


def test_without_steps_a_new_template_is_a_guarded_rolling_update() -> None:
    move = moved(a_world(spec=a_spec(rollout={"steps": [], "bake": "5m"})))
    assert (move.rollout.phase, move.rollout.weight) == (RolloutPhase.PROMOTING, 0)


@pytest.mark.parametrize(
    ("phase", "target", "to", "stable", "candidate"),
    [
        pytest.param(RolloutPhase.STABLE, GOOD, RolloutPhase.STABLE, GOOD, None, id="nothing new"),
        pytest.param(RolloutPhase.CANARY, GOOD, RolloutPhase.STABLE, GOOD, None, id="canary abandoned"),
        pytest.param(RolloutPhase.PROMOTING, GOOD, RolloutPhase.STABLE, GOOD, None, id="promotion abandoned"),
        pytest.param(RolloutPhase.BAKING, GOOD, RolloutPhase.STABLE, GOOD, None, id="bake abandoned"),
        pytest.param(RolloutPhase.ROLLED_BACK, GOOD, RolloutPhase.STABLE, GOOD, None, id="reverted after a rollback"),
        pytest.param(RolloutPhase.ROLLING_BACK, GOOD, RolloutPhase.STABLE, GOOD, None, id="reverted in mid-rollback"),
        pytest.param(RolloutPhase.CANARY, OTHER, RolloutPhase.CANARY, GOOD, OTHER, id="third template in the canary"),
        pytest.param(RolloutPhase.PROMOTING, OTHER, RolloutPhase.CANARY, GOOD, OTHER, id="third while promoting"),
        pytest.param(RolloutPhase.BAKING, OTHER, RolloutPhase.BAKING, GOOD, NEW, id="third in the bake: it waits"),
        pytest.param(RolloutPhase.ROLLED_BACK, OTHER, RolloutPhase.CANARY, GOOD, OTHER, id="a fix after a rollback"),
        pytest.param(RolloutPhase.ROLLED_BACK, NEW, RolloutPhase.ROLLED_BACK, GOOD, None, id="a failed one stays out"),
    ],
)
def test_a_template_in_each_phase(
    phase: RolloutPhase, target: str, to: RolloutPhase, stable: str, candidate: str | None
) -> None:
    rollout = moved(a_world(target=target, status=a_status(in_phase(phase)))).rollout
    assert (rollout.phase, rollout.stable_revision, rollout.candidate_revision) == (to, stable, candidate)
    assert rollout.step == 0


def test_edited_steps_start_again() -> None:
    world = a_canary_world(
        spec=a_spec(rollout={"steps": [{"weight": 30, "hold": "1s"}], "bake": "5m"}),
        status=a_status(in_phase(RolloutPhase.CANARY, step=1, weight=50)),
    )
    move = moved(world)
    assert (move.rollout.step, move.rollout.weight) == (0, 30)
    assert what(move) == ["RolloutRestarted"]


@pytest.mark.parametrize("phase", [RolloutPhase.STABLE, RolloutPhase.CANARY, RolloutPhase.ROLLED_BACK])
def test_a_refused_template_changes_nothing(phase: RolloutPhase) -> None:
    was = in_phase(phase)
    world = a_world(target=OTHER, template=TemplateRefused("no"), status=a_status(was))
    assert moved(world).rollout == was


def test_damage_is_stopped_although_the_template_was_refused() -> None:
    world = a_canary_world(
        target=OTHER, template=TemplateRefused("no"), evidence={"sync-errors": evidence(new=11, good=0)}
    )
    assert moved(world).rollout.phase is RolloutPhase.ROLLING_BACK


# --- the canary ------------------------------------------------------------------------------------------------------


def test_a_step_that_is_done_leads_to_the_next() -> None:
    move = moved(a_canary_world())
    assert (move.rollout.step, move.rollout.weight, move.rollout.step_start_time) == (1, 50, None)
    assert what(move) == ["Advanced"]


def test_the_last_step_leads_to_promotion() -> None:
    steps = a_rollout(RolloutPhase.CANARY, step=1, weight=50)
    move = moved(a_canary_world(status=a_status(steps)))
    assert (move.rollout.phase, move.rollout.weight) == (RolloutPhase.PROMOTING, 50)
    assert what(move) == ["Promoted"]


@pytest.mark.parametrize(
    ("world", "reason"),
    [
        pytest.param(
            {"status": a_status(a_rollout(RolloutPhase.CANARY, step_start_time=NOW - 59 * SECOND))},
            "holding at 20 %",
            id="hold",
        ),
        pytest.param({"canary": a_workload(2, role="canary", revision=NEW, ready=1)}, "1 of 2 workers", id="not ready"),
        pytest.param({"canary": None}, "being created", id="no canary yet"),
        pytest.param(
            {"canary": a_workload(2, role="canary", revision=NEW, observed=False)}, "of 2 workers", id="not observed"
        ),
        pytest.param({"evidence": {"sync-errors": evidence(new=1)}}, "guard sync-errors is Warning", id="warning"),
        pytest.param(
            {"evidence": {"sync-errors": evidence(new=Unknown("stale", "Stale"))}}, "is Unknown: stale", id="unknown"
        ),
        pytest.param(
            {"evidence": {"sync-errors": evidence(new=12, good=12)}}, "provider is to blame", id="the provider is down"
        ),
        pytest.param({"spec": twenty_jobs()}, "cannot be counted", id="jobs"),
        pytest.param(
            {
                "spec": twenty_jobs(),
                "jobs_done": {NEW: JobsDone(count=19, since=NOW)},
            },
            "19 of 20 jobs",
            id="too few jobs",
        ),
        pytest.param({"stable": a_workload(8, revision=OTHER)}, "not at the stable version", id="stable is elsewhere"),
    ],
)
def test_a_step_does_not_end_while_something_objects(world: dict[str, Any], reason: str) -> None:
    move = moved(a_canary_world(**world))
    assert (move.rollout.phase, move.rollout.step) == (RolloutPhase.CANARY, 0)
    assert reason in (move.rollout.reason or "")
    assert not move.decisions


def test_enough_jobs_let_a_step_end() -> None:
    world = a_canary_world(
        spec=twenty_jobs(),
        jobs_done={NEW: JobsDone(count=20, since=NOW)},
    )
    assert moved(world).rollout.step == 1


def test_a_step_does_not_end_while_half_of_the_canary_cannot_be_read() -> None:
    sides = Evidence(by_revision={NEW: read(0), GOOD: read(0, samples=8)}, overall=read(0, samples=9))
    move = moved(a_canary_world(evidence={"sync-errors": sides}))
    assert what(move) == []
    assert move.rollout.reason == "guard sync-errors rests on 1 of 2 Ready workers of the new version"


def test_the_hold_counts_from_when_the_pods_were_ready() -> None:
    started = a_rollout(RolloutPhase.CANARY, step_start_time=None, waiting_since=NOW - 90 * SECOND)
    move = moved(a_canary_world(status=a_status(started)))
    assert (move.rollout.step, move.rollout.step_start_time, move.rollout.waiting_since) == (0, NOW, None)
    assert move.look_again == NOW + 60 * SECOND


def test_a_pause_stops_the_clocks() -> None:
    world = a_canary_world(pauses=(a_pause(),), status=a_status(a_rollout(RolloutPhase.CANARY, waiting_since=NOW)))
    rollout = moved(world).rollout
    assert (rollout.phase, rollout.step_start_time, rollout.waiting_since) == (RolloutPhase.CANARY, None, None)


@pytest.mark.parametrize("phase", [RolloutPhase.CANARY, RolloutPhase.PROMOTING, RolloutPhase.BAKING])
def test_a_pause_in_each_phase_stops_the_clocks_and_they_start_again_after_it(phase: RolloutPhase) -> None:
    long_ago = NOW - timedelta(hours=1)
    running = a_rollout(phase, step_start_time=long_ago, waiting_since=long_ago, failing_since=long_ago)
    workers: dict[str, Any] = {"stable": a_workload(10, revision=NEW, ready=5)}
    if phase is RolloutPhase.CANARY:
        workers = {"stable": a_workload(8), "canary": a_workload(2, role="canary", revision=NEW, ready=1)}
    quiet = {"sync-errors": evidence(new=0, good=0)}
    paused = moved(a_world(status=a_status(running), pauses=(a_pause(),), evidence=quiet, **workers))
    assert (paused.rollout.phase, paused.decisions) == (phase, ())
    clocks = (paused.rollout.step_start_time, paused.rollout.waiting_since, paused.rollout.failing_since)
    assert clocks == (None, None, None)
    assert paused.rollout.reason == "paused; holds, bakes and deadlines begin again after it"
    later = NOW + timedelta(hours=1)
    resumed = moved(a_world(now=later, status=a_status(paused.rollout), evidence=quiet, **workers)).rollout
    assert resumed.phase is phase
    assert (resumed.step_start_time if phase is RolloutPhase.BAKING else resumed.waiting_since) == later


@pytest.mark.parametrize("phase", [RolloutPhase.CANARY, RolloutPhase.PROMOTING, RolloutPhase.BAKING])
def test_a_pause_does_not_protect_a_bad_version(phase: RolloutPhase) -> None:
    world = a_canary_world(
        status=a_status(in_phase(phase)), pauses=(a_pause(),), evidence={"sync-errors": evidence(new=11, good=0)}
    )
    assert moved(world).rollout.phase is RolloutPhase.ROLLING_BACK


def test_a_rollback_ends_in_a_pause_too_when_the_bad_workers_are_gone() -> None:
    """The stable ones are not meant to run now."""
    rolling = a_status(a_rollout(RolloutPhase.ROLLING_BACK))
    assert moved(a_world(status=rolling, stable=a_workload(0), pauses=(a_pause(),))).rollout.phase is (
        RolloutPhase.ROLLED_BACK
    )


@pytest.mark.parametrize("phase", [RolloutPhase.STABLE, RolloutPhase.ROLLED_BACK])
def test_a_version_that_arrives_in_a_pause_waits_for_its_end(phase: RolloutPhase) -> None:
    """Without a worker, and without a deadline."""
    paused = {"pauses": (a_pause(),), "target": OTHER, "stable": a_workload(0)}
    plan = decide(a_world(status=a_status(in_phase(phase)), known_revisions=frozenset({GOOD, OTHER}), **paused))
    assert plan.status.rollout is not None
    assert plan.status.rollout.phase is RolloutPhase.CANARY
    assert plan.status.workers is not None
    assert (plan.status.workers.stable, plan.status.workers.canary) == (0, 0)
    again = moved(a_world(now=NOW + timedelta(days=1), status=plan.status, **paused))
    assert (again.rollout.phase, again.rollout.waiting_since) == (RolloutPhase.CANARY, None)


@pytest.mark.parametrize(
    ("bounds", "jobs", "sizes"),
    [
        pytest.param({"minReplicas": 20, "maxReplicas": 20}, 100, (16, 4), id="twenty at once"),
        pytest.param({"maxReplicas": 1}, 100, (1, 1), id="one worker is one and one"),
        pytest.param({"maxReplicas": 5}, 0, (0, 1), id="without work one canary must start"),
    ],
)
def test_template_and_scaling_edited_together_are_one_split(
    bounds: dict[str, int], jobs: int, sizes: tuple[int, int]
) -> None:
    spec = a_spec(scaling={"backlogPerReplica": 10, "scaleDownAfter": "0s", **bounds})
    status = decide(a_world(spec=spec, queue=a_queue(jobs))).status
    assert status.workers is not None
    assert (status.workers.stable, status.workers.canary) == sizes


def test_a_promotion_is_not_over_because_a_pause_took_all_workers() -> None:
    promoting = a_rollout(RolloutPhase.PROMOTING, waiting_since=None)
    paused = SyncStatus(state=SyncState.PAUSED, since_time=NOW)
    resuming = a_world(status=a_status(promoting, sync=paused), stable=a_workload(0, revision=NEW))
    assert moved(resuming).rollout.phase is RolloutPhase.PROMOTING


def test_waiting_for_work_is_no_lack_of_progress() -> None:
    world = a_canary_world(
        spec=twenty_jobs(),
        jobs_done={NEW: JobsDone(count=0, since=NOW)},
        status=a_status(a_rollout(RolloutPhase.CANARY, step_start_time=NOW - timedelta(days=1))),
    )
    assert moved(world).rollout.phase is RolloutPhase.CANARY


# --- rollback --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("phase", [RolloutPhase.CANARY, RolloutPhase.PROMOTING, RolloutPhase.BAKING])
def test_a_critical_guard_that_blames_the_release_rolls_back(phase: RolloutPhase) -> None:
    world = a_canary_world(status=a_status(in_phase(phase)), evidence={"sync-errors": evidence(new=11, good=0)})
    move = moved(world)
    assert (move.rollout.phase, move.rollout.failed_revision, move.rollout.stable_revision) == (
        RolloutPhase.ROLLING_BACK,
        NEW,
        GOOD,
    )
    assert what(move) == ["RolledBack"]
    assert "+11 > 10 in 5m" in (move.rollout.reason or "")


@pytest.mark.parametrize("phase", [RolloutPhase.CANARY, RolloutPhase.PROMOTING, RolloutPhase.BAKING])
def test_rollback_can_be_switched_off(phase: RolloutPhase) -> None:
    world = a_canary_world(
        spec=a_spec(onCritical={"rollback": False}),
        status=a_status(in_phase(phase)),
        evidence={"sync-errors": evidence(new=11, good=0)},
    )
    assert moved(world).rollout.phase in (phase, RolloutPhase.BAKING)
    assert moved(world).rollout.failed_revision is None


def test_a_first_deployment_has_nothing_to_go_back_to() -> None:
    first = a_rollout(RolloutPhase.PROMOTING, stable_revision=None)
    world = a_world(
        status=a_status(first),
        stable=a_workload(10, revision=NEW, ready=0),
        evidence={"sync-errors": evidence(new=99)},
    )
    assert moved(world).rollout.phase is RolloutPhase.PROMOTING


def test_a_rollback_is_over_when_no_bad_pod_is_left_and_stable_is_back() -> None:
    rolling = a_status(a_rollout(RolloutPhase.ROLLING_BACK, step_start_time=NOW - 3 * SECOND))
    bad = pods(1, role="canary", revision=NEW, terminating=True)
    still = a_workload(0, role="canary", revision=NEW, pods=bad)
    hanging = moved(a_world(status=rolling, canary=still))
    assert hanging.rollout.phase is RolloutPhase.ROLLING_BACK
    assert hanging.look_again == NOW - 3 * SECOND + timedelta(minutes=10), "then it is said that it does not end"
    assert moved(a_world(status=rolling, stable=a_workload(10, ready=4))).rollout.phase is RolloutPhase.ROLLING_BACK
    move = moved(a_world(status=rolling))
    assert move.rollout.phase is RolloutPhase.ROLLED_BACK
    assert "3.0 s after the decision" in move.decisions[0].why


def test_a_fix_for_a_rollback_whose_template_is_gone_goes_into_all_workers() -> None:
    """There is nothing to compare it with, and nothing to go back to; a canary would wait for ever."""
    for phase in (RolloutPhase.ROLLING_BACK, RolloutPhase.ROLLED_BACK):
        world = a_world(
            target=OTHER,
            status=a_status(a_rollout(phase)),
            stable=a_workload(10, revision=NEW),
            known_revisions=frozenset({NEW, OTHER}),
        )
        move = moved(world)
        assert (move.rollout.phase, move.rollout.stable_revision) == (RolloutPhase.PROMOTING, None)
        assert "the template of aaaaaaaaaaaaaaaa is gone" in move.decisions[0].why


def test_steps_hash_is_stable() -> None:
    """A golden value: when it changes, every running canary starts again after an upgrade of the operator."""
    assert steps_hash(a_spec().rollout.steps) == "682863302c32c922"
