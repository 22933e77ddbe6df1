"""One write that fails never keeps a bad version running, and the failure that is told of is the one that matters."""

from collections.abc import Callable
from typing import Any

import pytest

from crm_operator.api.v1alpha1 import CrmIntegrationStatus, RolloutPhase
from crm_operator.domain.course import Course
from crm_operator.domain.decide import decide
from crm_operator.domain.plan import (
    Action,
    ApplyTemplate,
    CreatePause,
    DeleteWorkload,
    EmitEvent,
    RecordRevision,
    SetReplicas,
    WriteStatus,
)
from tests.unit.domain.builders import GOOD, NEW, a_rollout, a_status, a_workload, a_world, evidence

RECORD = RecordRevision(revision=NEW, keep=frozenset(), why="")
STATUS = WriteStatus(status=CrmIntegrationStatus(), why="decision")
INTENT = WriteStatus(status=a_status(a_rollout(RolloutPhase.ROLLING_BACK)), why="decision")
PAUSE = CreatePause(name="hubspot-auto", reason="", why="")
STOP = SetReplicas(role="canary", replicas=0, was=3, stops_damage=True, why="")
RESTORE = ApplyTemplate(role="stable", revision=GOOD, replicas=10, urgent=True, why="")
UPDATE = ApplyTemplate(role="stable", revision=NEW, replicas=10, urgent=False, why="")
GROW = SetReplicas(role="stable", replicas=10, was=8, why="")
CLEAN_UP = DeleteWorkload(role="canary", why="")
TELL = EmitEvent(type="Warning", reason="RolledBack", message="")

ROLLBACK = (RECORD, STATUS, PAUSE, STOP, RESTORE, GROW, CLEAN_UP, TELL)


def carried_out(
    actions: tuple[Action, ...], fails: Callable[[Action], bool], *, refused: bool = True
) -> tuple[list[Action], Action | None]:
    """What was done, and whose failure is told of."""
    course, done, told = Course(), list[Action](), None
    for action in actions:
        if not course.goes_on_with(action):
            continue
        if not fails(action):
            done.append(action)
        elif course.failed(action, refused=refused):
            told = action
    return done, told


@pytest.mark.parametrize(
    ("refused", "done", "told"),
    [
        pytest.param([], list(ROLLBACK), None, id="nothing"),
        pytest.param([PAUSE], [RECORD, STATUS, STOP, RESTORE, GROW, CLEAN_UP, TELL], PAUSE, id="a pause ends nothing"),
        pytest.param([PAUSE, RESTORE], [RECORD, STATUS, STOP, TELL], RESTORE, id="a pause, and then the template"),
        pytest.param([PAUSE, STOP], [RECORD, STATUS, RESTORE, TELL], STOP, id="a pause, and then a size"),
        pytest.param([STOP], [RECORD, STATUS, PAUSE, RESTORE, TELL], STOP, id="a size does not keep the template back"),
        pytest.param([STOP, RESTORE], [RECORD, STATUS, PAUSE, TELL], RESTORE, id="the template says more than a size"),
        pytest.param([RESTORE], [RECORD, STATUS, PAUSE, STOP, TELL], RESTORE, id="nothing grows beside the bad ones"),
        pytest.param([GROW], [RECORD, STATUS, PAUSE, STOP, RESTORE, TELL], GROW, id="growth"),
        pytest.param([STATUS], [RECORD, STOP], STATUS, id="not stored: damage is stopped all the same"),
        pytest.param([STATUS, STOP], [RECORD], STATUS, id="that it is not stored counts most"),
        pytest.param([RECORD], [STOP], RECORD, id="nor the template"),
    ],
)
def test_a_rollback_of_which_some_writes_are_refused(
    refused: list[Action], done: list[Action], told: Action | None
) -> None:
    assert carried_out(ROLLBACK, lambda action: action in refused) == (done, told)


@pytest.mark.parametrize(
    ("refused", "done"),
    [
        pytest.param(True, [RECORD, STOP, RESTORE], id="it is refused, and the next pass goes on from it"),
        pytest.param(False, [RECORD, STOP], id="the world has changed: it is decided again"),
    ],
)
def test_a_rollback_whose_record_fails(*, refused: bool, done: list[Action]) -> None:
    plan = tuple(INTENT if action is STATUS else action for action in ROLLBACK)
    assert carried_out(plan, lambda action: action is INTENT, refused=refused) == (done, INTENT)


def test_a_rollback_does_not_go_on_without_the_record_of_a_template() -> None:
    """Its status was not tried, so nobody remembers it."""
    plan = (RECORD, INTENT, STOP, RESTORE)
    assert carried_out(plan, lambda action: action is RECORD) == ([STOP], RECORD)


def test_an_update_as_any_waits_for_the_sizes_before_it() -> None:
    """Nothing grows and nothing is replaced while workers that should go are still there."""
    assert carried_out((STATUS, STOP, UPDATE, GROW, TELL), lambda action: action == STOP) == ([STATUS, TELL], STOP)


BAD: dict[str, Any] = {
    "stable": a_workload(10, revision=NEW),
    "canary": a_workload(3, role="canary", revision=NEW),
}


@pytest.mark.parametrize(
    "world",
    [
        pytest.param(
            a_world(**BAD, status=a_status(a_rollout(RolloutPhase.BAKING)), evidence={"sync-errors": evidence(new=11)}),
            id="it is decided",
        ),
        pytest.param(a_world(**BAD, status=a_status(a_rollout(RolloutPhase.ROLLING_BACK))), id="it is under way"),
    ],
)
def test_the_stable_version_comes_back_although_no_size_can_be_changed(world: Any) -> None:
    plan = decide(world)
    done, told = carried_out(plan.actions, lambda action: isinstance(action, SetReplicas))
    assert plan.status.rollout is not None
    assert plan.status.rollout.phase is RolloutPhase.ROLLING_BACK
    assert [(a.role, a.revision, a.urgent) for a in done if isinstance(a, ApplyTemplate)] == [("stable", GOOD, True)]
    assert isinstance(told, SetReplicas)
    assert told.role == "canary"
