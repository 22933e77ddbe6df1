"""An image that another integration of the namespace rolled back does not begin by itself."""

import dataclasses
from datetime import timedelta
from typing import Any

import pytest

from crm_operator.api.v1alpha1 import GoodRevision, RolloutPhase, RolloutStatus, Verb
from crm_operator.domain.decide import decide
from crm_operator.domain.guards import evaluate
from crm_operator.domain.plan import EmitEvent, WriteStatus
from crm_operator.domain.rollout import Move, advance
from crm_operator.domain.world import TemplateRefused, World
from tests.unit.domain.builders import (
    GOOD,
    NEW,
    NOW,
    SECOND,
    a_canary_world,
    a_rollout,
    a_spec,
    a_status,
    a_workload,
    a_world,
    evidence,
)

OTHER = "cccccccccccccccc"
STABLE, CANARY, PROMOTING = RolloutPhase.STABLE, RolloutPhase.CANARY, RolloutPhase.PROMOTING


def a_world_where_it_failed(**parts: Any) -> World:
    """GOOD is stable; zoho rolled back the image of NEW."""
    return a_world(**({"image": "worker:v2", "image_failed_in": "zoho"} | parts))


def moved(world: World) -> Move:
    return advance(world, evaluate(world))


def held(**parts: Any) -> World:
    """It was said already."""
    status = decide(a_world_where_it_failed()).status
    return a_world_where_it_failed(**({"status": status, "now": NOW + SECOND} | parts))


def test_it_does_not_begin_and_says_where_it_failed_and_what_helps() -> None:
    plan = decide(a_world_where_it_failed())
    rollout = plan.status.rollout
    assert rollout is not None
    assert (rollout.phase, rollout.stable_revision, rollout.held_revision) == (STABLE, GOOD, NEW)
    conditions = {c.type: c for c in plan.status.conditions}
    for type_, status in (("Ready", "False"), ("Stalled", "True")):
        assert (conditions[type_].status, conditions[type_].reason) == (status, "ImageFailedElsewhere")
        assert "image worker:v2 was rolled back in integration zoho" in conditions[type_].message
        assert "set crm.agoralia.app/retry or crm.agoralia.app/promote" in conditions[type_].message
    assert conditions["Reconciling"].status == "False"
    assert [(a.type, a.reason) for a in plan.actions if isinstance(a, EmitEvent)] == [("Warning", "RolloutHeld")]
    assert not [a for a in plan.actions if not isinstance(a, EmitEvent | WriteStatus)], "what runs goes on"


def test_it_is_said_once_and_looked_at_again() -> None:
    plan = decide(held())
    assert plan.actions == ()
    assert plan.requeue_after is not None
    assert plan.requeue_after <= 30 * SECOND


def test_it_begins_when_the_other_gets_along_with_it() -> None:
    move = moved(held(image_failed_in=None))
    assert (move.rollout.phase, move.rollout.candidate_revision, move.rollout.held_revision) == (CANARY, NEW, None)
    assert move.rollout.candidate_image == "worker:v2"


@pytest.mark.parametrize(
    ("verbs", "phase"),
    [
        pytest.param({Verb.RETRY: "1"}, CANARY, id="retry"),
        pytest.param({Verb.PROMOTE: "step@1"}, CANARY, id="step"),
        pytest.param({Verb.PROMOTE: "full@1"}, PROMOTING, id="full"),
        pytest.param({Verb.ABORT: "1"}, STABLE, id="abort has nothing to do"),
    ],
)
def test_a_person_lets_it_go_ahead(verbs: dict[Verb, str], phase: RolloutPhase) -> None:
    move = moved(held(verbs=verbs))
    assert move.rollout.phase is phase
    if phase is PROMOTING:
        assert move.rollout.weight == 0, "there is no canary to keep"
    again = dataclasses.replace(held(verbs=verbs), status=decide(held(verbs=verbs)).status)
    assert moved(again).rollout.phase is phase, "and it stays so, though the image still failed there"


@pytest.mark.parametrize(
    ("parts", "phase", "held_revision"),
    [
        pytest.param({"target": OTHER}, STABLE, OTHER, id="another bad one"),
        pytest.param({"target": OTHER, "image_failed_in": None}, CANARY, None, id="another"),
        pytest.param({"target": GOOD, "image_failed_in": None}, STABLE, None, id="back to stable"),
        pytest.param({"target": OTHER, "template": TemplateRefused("no")}, STABLE, NEW, id="a refused one"),
    ],
)
def test_another_template_while_one_is_held(
    parts: dict[str, Any], phase: RolloutPhase, held_revision: str | None
) -> None:
    rollout = moved(held(**parts)).rollout
    assert (rollout.phase, rollout.held_revision) == (phase, held_revision)


@pytest.mark.parametrize(
    ("was", "to", "stable"),
    [
        pytest.param(RolloutPhase.CANARY, STABLE, GOOD, id="the canary before it goes"),
        pytest.param(RolloutPhase.PROMOTING, STABLE, GOOD, id="the promotion before it is taken back"),
        pytest.param(RolloutPhase.BAKING, RolloutPhase.BAKING, GOOD, id="the bake before it is finished"),
        pytest.param(RolloutPhase.ROLLING_BACK, RolloutPhase.ROLLING_BACK, GOOD, id="the rollback is finished"),
        pytest.param(RolloutPhase.ROLLED_BACK, STABLE, GOOD, id="after a rollback"),
    ],
)
def test_it_arrives_in_each_phase(was: RolloutPhase, to: RolloutPhase, stable: str) -> None:
    world = a_world_where_it_failed(
        target=OTHER,
        status=a_status(a_rollout(was, step_start_time=NOW)),
        stable=a_workload(10, revision=NEW),
        evidence={"sync-errors": evidence(new=0, good=0)},
    )
    rollout = moved(world).rollout
    assert (rollout.phase, rollout.stable_revision) == (to, stable)
    assert rollout.held_revision == (OTHER if to is STABLE else None)


def test_the_guards_of_a_bake_stay_on_while_the_next_version_cannot_begin() -> None:
    world = a_world_where_it_failed(
        target=OTHER,
        status=a_status(a_rollout(RolloutPhase.BAKING, step_start_time=NOW)),
        stable=a_workload(10, revision=NEW),
        evidence={"sync-errors": evidence(new=11)},
    )
    assert moved(world).rollout.phase is RolloutPhase.ROLLING_BACK


def test_a_first_version_does_not_wait() -> None:
    first = a_status(RolloutStatus(phase=STABLE))
    assert moved(a_world_where_it_failed(status=first, stable=None)).rollout.phase is PROMOTING


def test_what_served_well_here_does_not_wait() -> None:
    served = [GoodRevision(revision=NEW, stopped_time=NOW - timedelta(minutes=5)), GoodRevision(revision=GOOD)]
    assert moved(a_world_where_it_failed(status=a_status(a_rollout(good_revisions=served)))).rollout.phase is PROMOTING


def test_a_canary_that_has_begun_goes_on() -> None:
    assert moved(a_canary_world(image="worker:v2", image_failed_in="zoho")).rollout.step == 1


# --- what others are told ---------------------------------------------------------------------------------------------


def on_trial(**parts: Any) -> World:
    rollout = a_rollout(CANARY, candidate_image="worker:v2", failed_images=["worker:v1"])
    return a_canary_world(**({"status": a_status(rollout)} | parts))


def test_a_rollback_remembers_the_image() -> None:
    for parts in ({"evidence": {"sync-errors": evidence(new=11, good=0)}}, {"verbs": {Verb.ABORT: "1"}}):
        assert moved(on_trial(**parts)).rollout.failed_images == ["worker:v1", "worker:v2"]


def test_an_image_that_comes_to_the_end_of_its_rollout_is_forgiven() -> None:
    rollout = a_rollout(PROMOTING, candidate_image="worker:v2", failed_images=["worker:v2", "worker:v1"])
    world = a_world(spec=a_spec(rollout={"bake": "0s"}), status=a_status(rollout), stable=a_workload(10, revision=NEW))
    assert moved(world).rollout.failed_images == ["worker:v1"]


def test_what_is_neither_does_not_change_the_memory() -> None:
    assert moved(on_trial(target=GOOD)).rollout.failed_images == ["worker:v1"]
    assert moved(on_trial(target=OTHER, image="worker:v3")).rollout.failed_images == ["worker:v1"]


def test_the_memory_is_short() -> None:
    many = a_rollout(CANARY, candidate_image="worker:v2", failed_images=[f"worker:{n}" for n in range(5)])
    move = moved(on_trial(status=a_status(many), verbs={Verb.ABORT: "1"}))
    assert move.rollout.failed_images == ["worker:1", "worker:2", "worker:3", "worker:4", "worker:v2"]
