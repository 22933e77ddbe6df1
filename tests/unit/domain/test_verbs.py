"""What people ask of a rollout by annotation: every verb in every phase, answered once; what a bad value is told."""

import dataclasses
from datetime import timedelta
from typing import Any

import pytest

from crm_operator.api.v1alpha1 import CrmIntegrationStatus, RolloutPhase, Verb, VerbResult, VerbStatus
from crm_operator.domain.decide import decide
from crm_operator.domain.guards import evaluate
from crm_operator.domain.plan import EmitEvent, WriteStatus
from crm_operator.domain.rollout import Move, advance
from crm_operator.domain.world import TemplateRefused, Unknown, World
from tests.unit.domain.builders import (
    GOOD,
    NEW,
    NOW,
    SECOND,
    a_canary_world,
    a_pause,
    a_rollout,
    a_spec,
    a_status,
    a_workload,
    a_world,
    evidence,
)

STABLE, CANARY, PROMOTING = RolloutPhase.STABLE, RolloutPhase.CANARY, RolloutPhase.PROMOTING
BAKING, ROLLING_BACK, ROLLED_BACK = RolloutPhase.BAKING, RolloutPhase.ROLLING_BACK, RolloutPhase.ROLLED_BACK

STEP = {Verb.PROMOTE: "step@1"}
FULL = {Verb.PROMOTE: "full@1"}
ABORT = {Verb.ABORT: "INC-42"}
RETRY = {Verb.RETRY: "1"}


def in_phase(phase: RolloutPhase, **parts: Any) -> World:
    """Nothing moves by itself: two canary pods hold, a promotion rolls, a bake bakes, a rollback rolls."""
    held = {CANARY: {"step_start_time": NOW}, BAKING: {"step_start_time": NOW}}.get(phase, {})
    fields: dict[str, Any] = {
        "status": a_status(a_rollout(phase, **held)),
        "target": GOOD if phase is STABLE else NEW,
        "evidence": {"sync-errors": evidence(new=0, good=0)},
    }
    if phase is CANARY:
        fields |= {"stable": a_workload(8), "canary": a_workload(2, role="canary", revision=NEW)}
    elif phase is PROMOTING:
        fields |= {"stable": a_workload(10, revision=NEW, ready=5)}
    elif phase in (BAKING, ROLLING_BACK):
        fields |= {"stable": a_workload(10, revision=NEW)}
    return a_world(**(fields | parts))


def moved(world: World) -> Move:
    return advance(world, evaluate(world))


def what(move: Move) -> list[str]:
    return [decision.what for decision in move.decisions]


@pytest.mark.parametrize(
    ("phase", "verbs", "to", "decided"),
    [
        (STABLE, STEP, STABLE, None),
        (STABLE, FULL, STABLE, None),
        (STABLE, ABORT, STABLE, None),
        (STABLE, RETRY, STABLE, None),
        (CANARY, STEP, CANARY, "Advanced"),
        (CANARY, FULL, PROMOTING, "Promoted"),
        (CANARY, ABORT, ROLLING_BACK, "RolledBack"),
        (CANARY, RETRY, CANARY, None),
        (PROMOTING, STEP, PROMOTING, None),
        (PROMOTING, FULL, PROMOTING, None),
        (PROMOTING, ABORT, ROLLING_BACK, "RolledBack"),
        (PROMOTING, RETRY, PROMOTING, None),
        (BAKING, STEP, BAKING, None),
        (BAKING, FULL, BAKING, None),
        (BAKING, ABORT, ROLLING_BACK, "RolledBack"),
        (BAKING, RETRY, BAKING, None),
        (ROLLING_BACK, STEP, ROLLING_BACK, None),
        (ROLLING_BACK, FULL, ROLLING_BACK, None),
        (ROLLING_BACK, ABORT, ROLLING_BACK, None),
        (ROLLING_BACK, RETRY, CANARY, "RolloutStarted"),
        (ROLLED_BACK, STEP, ROLLED_BACK, None),
        (ROLLED_BACK, FULL, ROLLED_BACK, None),
        (ROLLED_BACK, ABORT, ROLLED_BACK, None),
        (ROLLED_BACK, RETRY, CANARY, "RolloutStarted"),
    ],
)
@pytest.mark.parametrize("paused", [False, True])
def test_each_verb_in_each_phase(
    phase: RolloutPhase, verbs: dict[Verb, str], to: RolloutPhase, decided: str | None, paused: bool
) -> None:
    move = moved(in_phase(phase, verbs=verbs, pauses=(a_pause(),) if paused else ()))
    assert move.rollout.phase is to
    assert what(move) == [decided or "VerbIgnored"]
    ((verb, value),) = verbs.items()
    (answer,) = move.verbs
    assert (answer.name, answer.value, answer.time) == (verb, value, NOW)
    if decided is None:
        assert answer.result is VerbResult.IGNORED
        assert answer.message
    else:
        assert (answer.result, answer.message) == (VerbResult.DONE, decided)


def test_an_answered_value_is_not_answered_again_and_a_new_one_is() -> None:
    world = in_phase(CANARY, verbs=STEP)
    after = decide(world).status
    again = dataclasses.replace(world, status=after, now=NOW + SECOND)
    assert after.rollout is not None
    assert after.rollout.step == 1
    assert moved(again).verbs == ()
    assert moved(again).rollout.step == 1
    further = dataclasses.replace(again, verbs={Verb.PROMOTE: "step@2"})
    assert moved(further).rollout.phase is PROMOTING


def test_answer_and_effect_are_one_write_before_anything_else_is_done() -> None:
    plan = decide(in_phase(CANARY, verbs=ABORT))
    first = next(action for action in plan.actions if not isinstance(action, EmitEvent))
    assert isinstance(first, WriteStatus)
    assert first.status.rollout is not None
    assert first.status.rollout.phase is ROLLING_BACK
    assert [(verb.name, verb.result) for verb in first.status.verbs] == [(Verb.ABORT, VerbResult.DONE)]
    assert "aborted by annotation crm.agoralia.app/abort (INC-42)" in (first.status.rollout.reason or "")


def test_what_came_to_nothing_is_told_in_an_event() -> None:
    plan = decide(in_phase(STABLE, verbs=ABORT))
    (event,) = [action for action in plan.actions if isinstance(action, EmitEvent)]
    assert (event.type, event.reason) == ("Warning", "VerbIgnored")
    assert "crm.agoralia.app/abort (INC-42) changes nothing: no rollout is on its way" in event.message


def test_a_first_version_cannot_be_aborted() -> None:
    first = a_status(a_rollout(PROMOTING, stable_revision=None))
    move = moved(in_phase(PROMOTING, status=first, verbs=ABORT))
    assert move.rollout.phase is PROMOTING
    assert "no earlier one" in (move.verbs[0].message or "")


def test_a_promoted_step_does_not_wait_for_anything() -> None:
    """Not Ready, a guard that warns, a minimum of jobs: a person has decided."""
    world = in_phase(
        CANARY,
        verbs=STEP,
        canary=a_workload(2, role="canary", revision=NEW, ready=0),
        evidence={"sync-errors": evidence(new=1, good=0)},
        spec=a_spec(rollout=a_spec().rollout.to_wire() | {"minJobs": 20}),
    )
    move = moved(world)
    assert (move.rollout.step, move.rollout.weight) == (1, 50)


def test_the_last_step_that_is_promoted_leads_to_all_workers() -> None:
    last = a_status(a_rollout(CANARY, step=1, weight=50, step_start_time=NOW))
    move = moved(in_phase(CANARY, status=last, verbs=STEP))
    assert (move.rollout.phase, move.rollout.weight) == (PROMOTING, 50)


def test_a_guard_that_blames_the_release_comes_before_a_promotion() -> None:
    bad = in_phase(CANARY, verbs=FULL, evidence={"sync-errors": evidence(new=11, good=0)})
    move = moved(bad)
    assert (move.rollout.phase, move.verbs) == (ROLLING_BACK, ())
    after = dataclasses.replace(bad, status=decide(bad).status)
    (answer,) = moved(after).verbs
    assert (answer.result, moved(after).rollout.phase) == (VerbResult.IGNORED, ROLLING_BACK)
    assert "crm.agoralia.app/retry" in (answer.message or "")


def test_abort_works_while_rollback_is_switched_off_and_while_the_template_is_refused() -> None:
    for parts in ({"spec": a_spec(onCritical={"rollback": False})}, {"template": TemplateRefused("no"), "target": "c"}):
        assert moved(in_phase(BAKING, verbs=ABORT, **parts)).rollout.phase is ROLLING_BACK


@pytest.mark.parametrize("verbs", [STEP, FULL, RETRY])
def test_a_refused_template_is_not_promoted_or_tried_again(verbs: dict[Verb, str]) -> None:
    move = moved(in_phase(CANARY, verbs=verbs, template=TemplateRefused("no"), target="c"))
    assert move.verbs[0].result is VerbResult.IGNORED
    assert move.rollout.phase is CANARY


@pytest.mark.parametrize("verbs", [STEP, FULL, RETRY])
def test_while_the_template_cannot_be_checked_the_question_stays_open(verbs: dict[Verb, str]) -> None:
    world = in_phase(CANARY, verbs=verbs, template=Unknown("the API server is away"), target="c")
    assert moved(world).verbs == ()
    assert moved(dataclasses.replace(world, template=None, target=NEW)).verbs != ()


@pytest.mark.parametrize(
    "parts",
    [
        pytest.param({"target": "cccccccccccccccc"}, id="another template"),
        pytest.param({"spec": a_spec(rollout={"steps": [{"weight": 30, "hold": "1m"}]})}, id="other steps"),
    ],
)
def test_a_promotion_is_not_for_a_version_that_arrives_with_it(parts: dict[str, Any]) -> None:
    move = moved(in_phase(CANARY, verbs=FULL, **parts))
    assert (move.rollout.phase, move.rollout.step) == (CANARY, 0)
    assert [answer.result for answer in move.verbs] == [VerbResult.IGNORED]


@pytest.mark.parametrize("phase", [STABLE, CANARY, PROMOTING, ROLLED_BACK])
def test_a_retry_is_not_for_a_version_that_arrives_with_it(phase: RolloutPhase) -> None:
    """It would be tried a second time as soon as it fails."""
    move = moved(in_phase(phase, verbs=RETRY, target="cccccccccccccccc"))
    assert (move.rollout.phase, move.rollout.candidate_revision) == (CANARY, "cccccccccccccccc")
    assert [(answer.name, answer.result) for answer in move.verbs] == [(Verb.RETRY, VerbResult.IGNORED)]


def test_a_retry_is_for_an_image_that_waits_and_arrives_with_it() -> None:
    world = in_phase(STABLE, verbs=RETRY, target="cccccccccccccccc", image="worker:2", image_failed_in="zoho")
    move = moved(world)
    assert (what(move), move.verbs, move.look_again) == (["RolloutHeld"], (), NOW)
    assert moved(dataclasses.replace(world, status=decide(world).status)).rollout.phase is CANARY


def test_a_retry_from_before_a_rollback_does_not_undo_it() -> None:
    world = in_phase(CANARY, verbs=RETRY, evidence={"sync-errors": evidence(new=11, good=0)})
    move = moved(world)
    assert move.rollout.phase is ROLLING_BACK
    assert [(answer.name, answer.result) for answer in move.verbs] == [(Verb.RETRY, VerbResult.IGNORED)]


def test_an_abort_is_for_a_version_that_arrives_with_it_too() -> None:
    world = in_phase(CANARY, verbs=ABORT, target="cccccccccccccccc")
    move = moved(world)
    assert (move.rollout.phase, move.verbs, move.look_again) == (CANARY, (), NOW)
    after = moved(dataclasses.replace(world, status=decide(world).status))
    assert (after.rollout.phase, after.rollout.failed_revision) == (ROLLING_BACK, "cccccccccccccccc")


def test_of_several_the_careful_one_is_first_and_the_others_see_what_it_led_to() -> None:
    world = in_phase(CANARY, verbs=FULL | ABORT)
    assert [answer.name for answer in moved(world).verbs] == [Verb.ABORT]
    assert moved(world).look_again == NOW
    after = dataclasses.replace(world, status=decide(world).status)
    assert [(answer.name, answer.result) for answer in moved(after).verbs] == [(Verb.PROMOTE, VerbResult.IGNORED)]


def test_what_was_there_before_the_first_look_is_not_carried_out() -> None:
    for stable in (None, a_workload(10)):
        move = moved(a_world(status=CrmIntegrationStatus(), stable=stable, verbs=FULL | ABORT | RETRY))
        assert [answer.result for answer in move.verbs] == [VerbResult.IGNORED] * 3
        assert move.rollout.phase is (PROMOTING if stable is None else CANARY)


LONG = "x" * 65


@pytest.mark.parametrize(
    ("verb", "value", "words", "shown"),
    [
        pytest.param(Verb.PROMOTE, "step", '"step" must be step@ or full@', "step", id="no word"),
        pytest.param(Verb.PROMOTE, "all@1", '"all@1" must be step@ or full@', "all@1", id="no such promotion"),
        pytest.param(Verb.PROMOTE, "step@", "e.g. step@2026", "step@", id="an empty word"),
        pytest.param(Verb.PROMOTE, "step@a b", "must be step@", "step@a b", id="two words"),
        pytest.param(Verb.PROMOTE, "", '"" must be step@', "", id="empty promote"),
        pytest.param(Verb.ABORT, "", '"" is empty', "", id="empty"),
        pytest.param(Verb.RETRY, "  ", '"  " is empty', "  ", id="blank"),
        pytest.param(Verb.ABORT, LONG, "at most 64 characters", "sha256:", id="too long"),
        pytest.param(Verb.ABORT, "a\nb", "one line", "sha256:", id="two lines"),
    ],
)
def test_a_bad_value_is_named_with_its_remedy(verb: Verb, value: str, words: str, shown: str) -> None:
    world = in_phase(CANARY, verbs={verb: value})
    plan = decide(world)
    (answer,) = plan.status.verbs
    assert answer.result is VerbResult.REFUSED
    assert answer.value.startswith(shown)
    condition = next(c for c in plan.status.conditions if c.type == "VerbsAccepted")
    assert (condition.status, condition.reason) == ("False", "InvalidValue")
    assert words in condition.message
    assert f"crm.agoralia.app/{verb}" in condition.message
    assert LONG not in str(plan.status)
    assert [a.reason for a in plan.actions if isinstance(a, EmitEvent)] == ["VerbRefused"]
    CrmIntegrationStatus.model_validate(plan.status.to_wire())
    # Said once, and still true.
    after = decide(dataclasses.replace(world, status=plan.status))
    assert after.actions == ()
    assert next(c for c in after.status.conditions if c.type == "VerbsAccepted").status == "False"


def test_an_annotation_that_is_gone_leaves_its_answer() -> None:
    answered = VerbStatus(name=Verb.ABORT, value="INC-42", time=NOW - timedelta(hours=1), result=VerbResult.DONE)
    world = in_phase(CANARY, status=a_status(a_rollout(CANARY, step_start_time=NOW), verbs=[answered]))
    assert decide(world).status.verbs == [answered]
    assert decide(dataclasses.replace(world, verbs=ABORT)).status.verbs == [answered]


def test_the_same_template_after_a_retry_goes_from_the_first_step() -> None:
    rollout = moved(in_phase(ROLLED_BACK, verbs=RETRY)).rollout
    assert (rollout.stable_revision, rollout.candidate_revision, rollout.failed_revision) == (GOOD, NEW, None)
    assert (rollout.step, rollout.weight, rollout.start_time) == (0, 20, NOW)


def test_a_canary_that_nobody_asks_about_is_as_before() -> None:
    assert moved(a_canary_world()).verbs == ()
