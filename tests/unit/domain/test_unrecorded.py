"""A rollback whose record is refused goes on from the status that could not be stored."""

from typing import Any

import pytest

from crm_operator.api.v1alpha1 import RolloutPhase, Verb, VerbResult
from crm_operator.domain.decide import decide
from crm_operator.domain.plan import Action, ApplyTemplate, Plan, WriteStatus
from tests.unit.domain.builders import (
    GOOD,
    NEW,
    NOW,
    SECOND,
    a_refusal,
    a_rollout,
    a_status,
    a_workload,
    a_world,
    evidence,
)

FIX = "c" * 16
ON_TRIAL = [RolloutPhase.CANARY, RolloutPhase.PROMOTING, RolloutPhase.BAKING]


def unstored(phase: RolloutPhase = RolloutPhase.ROLLING_BACK, **parts: Any) -> Action:
    """The status of a rollback that began ten seconds ago, of the version that `a_rollout` has on trial."""
    fields = {
        "candidate_revision": None,
        "failed_revision": NEW,
        "reason": "+12 > 10",
        "step_start_time": NOW - 10 * SECOND,
    }
    return WriteStatus(status=a_status(a_rollout(phase, **(fields | parts))), why="decision")


def then(phase: RolloutPhase, refused: Action, **parts: Any) -> Plan:
    """The next look, which sees nothing of the trouble any more: the stable version runs."""
    status = a_status(a_rollout(phase))
    world = {"status": status, "stable": a_workload(10), "evidence": {"sync-errors": evidence()}}
    return decide(a_world(**(world | parts), refused=a_refusal(refused)))


def templates(plan: Plan) -> list[str]:
    return [action.revision for action in plan.actions if isinstance(action, ApplyTemplate)]


@pytest.mark.parametrize("phase", ON_TRIAL)
def test_it_goes_on_although_nothing_shows_the_trouble(phase: RolloutPhase) -> None:
    plan = then(phase, unstored())
    rollout = plan.status.rollout
    assert rollout is not None
    assert (rollout.phase, rollout.stable_revision, rollout.failed_revision) == (RolloutPhase.ROLLING_BACK, GOOD, NEW)
    assert (rollout.reason, rollout.step_start_time) == ("+12 > 10", NOW - 10 * SECOND)
    assert "RolledBack" in [decision.what for decision in plan.status.decisions], "told once it can be stored"
    assert isinstance(plan.actions[0], WriteStatus), "and that is tried"
    assert NEW not in templates(plan)


@pytest.mark.parametrize(
    "refused",
    [
        pytest.param(unstored(RolloutPhase.BAKING, candidate_revision=NEW, failed_revision=None), id="of no rollback"),
        pytest.param(unstored(failed_revision="c" * 16), id="of another version"),
        pytest.param(unstored(start_time=NOW - 9999 * SECOND), id="of an earlier try of this version"),
    ],
)
def test_a_refused_status_says_nothing_of_another_rollout(refused: Action) -> None:
    plan = then(RolloutPhase.BAKING, refused)
    assert plan.status.rollout is not None
    assert plan.status.rollout.phase is RolloutPhase.BAKING
    assert templates(plan) == [NEW]


@pytest.mark.parametrize("phase", ON_TRIAL)
@pytest.mark.parametrize("target", [pytest.param(FIX, id="a third"), pytest.param(GOOD, id="the stable one")])
def test_another_template_waits_until_it_is_stored(phase: RolloutPhase, target: str) -> None:
    """It would begin at once, for the Warning also in a bake; its status be refused in its turn, this one forgotten.

    When the guard was quiet the bad version came back.
    """
    warning = {"sync-errors": evidence(new=1, good=None)}
    plan = then(phase, unstored(), target=target, evidence=warning, known_revisions=frozenset({GOOD, NEW, FIX}))
    rollout = plan.status.rollout
    assert rollout is not None
    assert (rollout.phase, rollout.failed_revision) == (RolloutPhase.ROLLING_BACK, NEW)


def test_an_annotation_that_cannot_be_used_does_not_end_it() -> None:
    plan = then(RolloutPhase.BAKING, unstored(), verbs={Verb.ABORT: " "})
    assert plan.status.rollout is not None
    assert plan.status.rollout.phase is RolloutPhase.ROLLING_BACK
    assert [(verb.name, verb.result) for verb in plan.status.verbs] == [(Verb.ABORT, VerbResult.REFUSED)]


def test_one_that_was_asked_for_is_answered_when_it_can_be_stored() -> None:
    plan = then(RolloutPhase.BAKING, unstored(), verbs={Verb.ABORT: "1"})
    assert plan.status.rollout is not None
    assert plan.status.rollout.phase is RolloutPhase.ROLLING_BACK
    assert [(verb.name, verb.result) for verb in plan.status.verbs] == [(Verb.ABORT, VerbResult.DONE)]
