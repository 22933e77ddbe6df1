"""Promotion and bake: what ends them, and when the bake's clock runs."""

from datetime import timedelta
from typing import Any

import pytest

from crm_operator.api.v1alpha1 import RolloutPhase
from crm_operator.domain.decide import decide
from crm_operator.domain.plan import ApplyTemplate, SetReplicas
from crm_operator.domain.world import Evidence, Unknown, World
from tests.unit.domain.builders import (
    GOOD,
    NEW,
    NOW,
    a_queue,
    a_refusal,
    a_rollout,
    a_status,
    a_workload,
    a_world,
    an_outage,
    evidence,
    read,
)
from tests.unit.domain.test_rollout import moved, what


def test_promotion_waits_for_every_worker() -> None:
    promoting = a_status(a_rollout(RolloutPhase.PROMOTING))
    half = a_workload(10, revision=NEW, updated=5, pods=())
    assert moved(a_world(status=promoting, stable=half)).rollout.phase is RolloutPhase.PROMOTING
    move = moved(a_world(status=promoting, stable=a_workload(10, revision=NEW)))
    assert (move.rollout.phase, move.rollout.step_start_time) == (RolloutPhase.BAKING, NOW)


def test_a_first_deployment_does_not_bake() -> None:
    first = a_status(a_rollout(RolloutPhase.PROMOTING, stable_revision=None))
    move = moved(a_world(status=first, stable=a_workload(10, revision=NEW)))
    assert (move.rollout.phase, move.rollout.stable_revision) == (RolloutPhase.STABLE, NEW)


def test_a_promotion_that_sticks_rolls_back_at_the_deadline() -> None:
    late = a_rollout(RolloutPhase.PROMOTING, waiting_since=NOW - timedelta(minutes=10))
    world = a_world(status=a_status(late), stable=a_workload(10, revision=NEW, ready=0))
    assert moved(world).rollout.phase is RolloutPhase.ROLLING_BACK


def baking(**parts: Any) -> World:
    started: timedelta = parts.pop("started", timedelta(minutes=5))
    rollout = a_rollout(RolloutPhase.BAKING, step_start_time=NOW - started)
    return a_world(**({"status": a_status(rollout), "stable": a_workload(10, revision=NEW)} | parts))


def test_a_bake_that_is_over_makes_the_version_stable() -> None:
    move = moved(baking(evidence={"sync-errors": evidence(new=0)}))
    assert (move.rollout.phase, move.rollout.stable_revision) == (RolloutPhase.STABLE, NEW)
    assert what(move) == ["Completed"]


@pytest.mark.parametrize(
    ("samples", "phase"),
    [pytest.param(8, RolloutPhase.BAKING, id="too few"), pytest.param(9, RolloutPhase.STABLE, id="enough")],
)
def test_a_bake_ends_on_what_nearly_all_workers_say(samples: int, phase: RolloutPhase) -> None:
    sides = Evidence(by_revision={NEW: read(0, samples=samples)}, overall=read(0))
    assert moved(baking(evidence={"sync-errors": sides})).rollout.phase is phase


def test_a_bake_lasts_as_long_as_asked() -> None:
    move = moved(baking(started=timedelta(minutes=4), evidence={"sync-errors": evidence(new=0)}))
    assert move.rollout.phase is RolloutPhase.BAKING
    assert move.look_again == NOW + timedelta(minutes=1)


def test_a_bake_does_not_count_while_no_worker_of_the_version_is_up() -> None:
    """Promoted at 0 workers for lack of work, and when work comes it does not start."""
    none_up = {"stable": a_workload(10, revision=NEW, ready=0), "evidence": {"sync-errors": evidence(good=None)}}
    move = moved(baking(**none_up))
    assert (move.rollout.phase, move.rollout.step_start_time, move.rollout.waiting_since) == (
        RolloutPhase.BAKING,
        None,
        NOW,
    )
    assert "0 of 10 workers of the new version are Ready" in (move.rollout.reason or "")
    late = moved(baking(**none_up, status=a_status(move.rollout), now=NOW + timedelta(minutes=10)))
    assert late.rollout.phase is RolloutPhase.ROLLING_BACK
    up = moved(baking(status=a_status(move.rollout), evidence={"sync-errors": evidence(new=0)}))
    assert (up.rollout.step_start_time, up.rollout.waiting_since) == (NOW, None)


def test_a_bake_counts_without_work() -> None:
    move = moved(baking(stable=a_workload(0, revision=NEW), evidence={"sync-errors": evidence(good=None)}))
    assert move.rollout.phase is RolloutPhase.STABLE


def test_a_bake_does_not_count_while_nobody_knows_whether_there_is_work() -> None:
    """A bad version became stable: promoted by hand in an outage of the queue, at 0 workers."""
    move = moved(
        baking(stable=a_workload(0, revision=NEW), evidence={"sync-errors": evidence(good=None)}, queue=an_outage())
    )
    assert (move.rollout.phase, move.rollout.step_start_time) == (RolloutPhase.BAKING, None)
    assert move.rollout.reason == (
        "no worker of the new version runs, and the queue cannot be read: "
        "spec.queue.url: redis:6379 refused the connection"
    )


def test_a_bake_does_not_count_while_workers_are_wanted_and_their_size_is_refused() -> None:
    """A bad version became stable: promoted without work, and when there was some a policy let no worker be made."""
    refused = a_refusal(SetReplicas(role="stable", replicas=2, was=0, why=""))
    move = moved(
        baking(stable=a_workload(0, revision=NEW), evidence={"sync-errors": evidence(good=None)}, refused=refused)
    )
    assert (move.rollout.phase, move.rollout.step_start_time) == (RolloutPhase.BAKING, None)
    assert move.rollout.reason == (
        "no worker of the new version runs, and its size is refused: the API server refused a write: denied by policy"
    )


def test_a_bake_does_not_count_while_another_version_is_deployed_without_a_worker() -> None:
    """A bad version became stable: its rollback could not be recorded, and a restart without work forgot it."""
    gone = baking(stable=a_workload(0), evidence={"sync-errors": evidence(good=None)})
    move = moved(gone)
    assert (move.rollout.phase, move.rollout.step_start_time) == (RolloutPhase.BAKING, None)
    assert move.rollout.reason == (
        f"no worker of the new version runs, and Deployment hubspot has the template of {GOOD}"
    )
    assert [action.revision for action in decide(gone).actions if isinstance(action, ApplyTemplate)] == [NEW]


def test_workers_that_were_waited_for_before_an_outage_at_0_have_their_whole_time_after_it() -> None:
    """Scaled to 0 while one was starting, and the queue was lost with that. What nobody waited for is not overdue."""
    one = {"stable": a_workload(1, revision=NEW, ready=0), "evidence": {"sync-errors": evidence(good=None)}}
    waiting = moved(baking(**one)).rollout
    assert waiting.waiting_since == NOW
    held = moved(baking(**one | {"stable": a_workload(0, revision=NEW)}, status=a_status(waiting), queue=an_outage()))
    later = NOW + timedelta(hours=1)
    back = moved(baking(**one, status=a_status(held.rollout), queue=a_queue(100, now=later), now=later))
    assert (back.rollout.phase, back.rollout.waiting_since) == (RolloutPhase.BAKING, later)


def test_a_warning_stops_the_bakes_clock_and_quiet_starts_it_again() -> None:
    warned = moved(baking(evidence={"sync-errors": evidence(new=1)})).rollout
    assert (warned.phase, warned.step_start_time) == (RolloutPhase.BAKING, None)
    again = moved(baking(status=a_status(warned), evidence={"sync-errors": evidence(new=0)})).rollout
    assert again.step_start_time == NOW


def test_a_bake_waits_for_what_cannot_be_read() -> None:
    move = moved(baking(evidence={"sync-errors": evidence(new=Unknown("stale", "Stale"))}))
    assert move.rollout.phase is RolloutPhase.BAKING
