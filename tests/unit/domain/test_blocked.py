"""A rollback that does not get through is loud, and the canary goes to 0 in any case."""

from datetime import timedelta
from typing import Any

import pytest

from crm_operator.api.v1alpha1 import Condition, RolloutPhase
from crm_operator.domain.decide import decide
from crm_operator.domain.plan import ApplyTemplate, CreatePause, DeleteWorkload, EmitEvent, Plan, SetReplicas
from crm_operator.domain.world import World
from tests.unit.domain.builders import (
    GOOD,
    NEW,
    NOW,
    SECOND,
    a_pause,
    a_refusal,
    a_rollout,
    a_spec,
    a_status,
    a_workload,
    a_world,
    evidence,
    pods,
)


def rolling_back(*, since: timedelta = 5 * SECOND, **parts: Any) -> World:
    """A rollback out of the bake, with a canary that still has pods."""
    fields: dict[str, Any] = {
        "status": a_status(a_rollout(RolloutPhase.ROLLING_BACK, step_start_time=NOW - since)),
        "stable": a_workload(10, revision=NEW),
        "canary": a_workload(3, role="canary", revision=NEW),
    }
    return a_world(**(fields | parts))


def condition(plan: Plan, type_: str) -> Condition:
    return next(c for c in plan.status.conditions if c.type == type_)


GONE: dict[str, Any] = {"known_revisions": frozenset({NEW})}
DENIED: dict[str, Any] = {
    "refused": a_refusal(ApplyTemplate(role="stable", revision=GOOD, replicas=10, urgent=True, why=""))
}
NO_CANARY_SIZE: dict[str, Any] = {"refused": a_refusal(SetReplicas(role="canary", replicas=0, was=3, why=""))}
NO_STABLE_SIZE: dict[str, Any] = {"refused": a_refusal(SetReplicas(role="stable", replicas=10, was=0, why=""))}
NO_PAUSE: dict[str, Any] = {"refused": a_refusal(CreatePause(name="hubspot-auto", reason="", why=""))}
#: What has nothing to do with the stable version's return.
BESIDE = [
    pytest.param(NO_PAUSE, id="a SyncPause"),
    pytest.param(
        {"refused": a_refusal(ApplyTemplate(role="stable", revision=NEW, replicas=10, urgent=False, why=""))},
        id="another version's template",
    ),
    pytest.param({"refused": a_refusal(DeleteWorkload(role="canary", why=""))}, id="a deletion"),
]
#: A SyncPause or a size, or the template of another version: the template of this one may be taken.
ANOTHER = [
    *BESIDE,
    pytest.param(NO_CANARY_SIZE, id="the canary's size"),
    pytest.param(NO_STABLE_SIZE, id="the stable size"),
]
#: The template is back; the pods cannot be made, or do not start.
WITHOUT_QUOTA: dict[str, Any] = {
    "stable": a_workload(10, ready=0, pods=(), pods_refused="pods is forbidden: exceeded quota")
}
BROKEN: dict[str, Any] = {
    "stable": a_workload(10, ready=0, pods=pods(10, ready=False, waiting_reason="CreateContainerConfigError"))
}
LATE = timedelta(minutes=10)


@pytest.mark.parametrize(
    ("since", "parts", "words"),
    [
        pytest.param(SECOND, GONE, "the template of aaaaaaaaaaaaaaaa is not stored any more", id="template is gone"),
        pytest.param(SECOND, DENIED, "denied by policy; it is tried again", id="template is denied"),
        pytest.param(SECOND, NO_CANARY_SIZE, "denied by policy; it is tried again", id="the canary stays"),
        pytest.param(SECOND, NO_STABLE_SIZE, "denied by policy; it is tried again", id="stable does not grow"),
        pytest.param(LATE, WITHOUT_QUOTA, "exceeded quota; give it what it needs", id="no pods are made"),
        pytest.param(LATE, BROKEN, "CreateContainerConfigError; give it what it needs", id="pods do not start"),
    ],
)
def test_what_stands_in_the_way_of_a_rollback_is_loud(since: timedelta, parts: dict[str, Any], words: str) -> None:
    plan = decide(rolling_back(since=since, **parts))
    back, stalled = condition(plan, "RolledBack"), condition(plan, "Stalled")
    assert (back.status, back.reason) == ("True", "RollbackBlocked")
    assert words in back.message
    assert "crm_sync_errors_total +12 > 10 in 5m" in back.message, "why it was rolled back is not forgotten"
    assert (stalled.status, stalled.reason) == ("True", "RollbackBlocked")
    assert (condition(plan, "Ready").status, condition(plan, "Ready").reason) == ("False", "RollbackBlocked")
    assert condition(plan, "Reconciling").status == "False", "it does not end by itself"
    (event,) = [a for a in plan.actions if isinstance(a, EmitEvent) and a.reason == "RollbackBlocked"]
    assert event.type == "Warning"
    # Said once.
    again = rolling_back(since=since, **(parts | {"status": plan.status}))
    assert not [a for a in decide(again).actions if isinstance(a, EmitEvent)]


PHASES = [RolloutPhase.ROLLING_BACK, RolloutPhase.ROLLED_BACK]


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("parts", BESIDE)
def test_a_refused_write_that_does_not_hold_up_the_rollback_is_told_of_beside_it(
    phase: RolloutPhase, parts: dict[str, Any]
) -> None:
    before = decide(rolling_back()).status.model_copy(update={"rollout": a_rollout(phase, step_start_time=NOW)})
    plan = decide(rolling_back(status=before, **parts))
    assert condition(plan, "RolledBack").reason != "RollbackBlocked"
    assert (condition(plan, "Ready").status, condition(plan, "Ready").reason) == ("False", "RolledBack")
    assert condition(plan, "Ready").message.startswith(f"{NEW} was rolled back to {GOOD}")
    assert condition(plan, "Ready").message.endswith("; also, the API server refused a write: denied by policy")
    assert "; also, the API server refused a write: denied by policy" in (plan.status.message or "")
    told = [(a.type, a.reason) for a in plan.actions if isinstance(a, EmitEvent)]
    assert told == [("Warning", "WriteRefused")]
    # Said once, also when it was said before the rollback.
    again = decide(rolling_back(status=plan.status, **parts))
    assert not [a for a in again.actions if isinstance(a, EmitEvent)]


@pytest.mark.parametrize("parts", [NO_PAUSE, NO_STABLE_SIZE])
def test_what_is_refused_before_a_rollback_does_not_hold_it_up_and_is_not_told_again(parts: dict[str, Any]) -> None:
    baking = a_status(a_rollout(RolloutPhase.BAKING, step_start_time=NOW))
    refused = decide(rolling_back(status=baking, **parts)).status
    assert [decision.what for decision in refused.decisions] == ["WriteRefused"]
    plan = decide(rolling_back(status=refused, evidence={"sync-errors": evidence(new=11)}, **parts))
    assert [decision.what for decision in plan.status.decisions[1:]] == ["GuardCritical", "RolledBack"]


def test_a_rollback_that_is_late_says_so_although_another_write_is_refused() -> None:
    plan = decide(rolling_back(since=LATE, **BROKEN, **NO_PAUSE))
    assert "is not back after 10m" in condition(plan, "RolledBack").message
    assert condition(plan, "Ready").message.endswith("refused a write: denied by policy")


@pytest.mark.parametrize("parts", [GONE, DENIED, WITHOUT_QUOTA, BROKEN])
def test_the_canary_goes_to_0_all_the_same(parts: dict[str, Any]) -> None:
    scaled = [a for a in decide(rolling_back(**parts)).actions if isinstance(a, SetReplicas) and a.role == "canary"]
    assert [(a.replicas, a.stops_damage) for a in scaled] == [(0, True)]


def test_a_write_that_was_denied_is_tried_again() -> None:
    applied = [a for a in decide(rolling_back(**DENIED)).actions if isinstance(a, ApplyTemplate)]
    assert [(a.role, a.revision, a.urgent) for a in applied] == [("stable", GOOD, True)]


def sizes(plan: Plan) -> list[tuple[int, int, bool]]:
    """Of Deployment NAME: from, to, and whether it is tried whatever else fails."""
    return [
        (a.was, a.replicas, a.stops_damage) for a in plan.actions if isinstance(a, SetReplicas) and a.role == "stable"
    ]


MIXED = pods(5) + pods(5, revision=NEW)


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        pytest.param({}, [], id="not before the template was tried"),
        pytest.param(DENIED, [(10, 0, True)], id="it runs alone"),
        pytest.param(DENIED | {"stable": a_workload(0, revision=NEW)}, [], id="it is at 0 already"),
        pytest.param(DENIED | {"stable": a_workload(10, revision=NEW, pods=MIXED)}, [], id="good ones beside it"),
        pytest.param(DENIED | {"stable": a_workload(10)}, [], id="the template is in, something else was denied"),
        *(pytest.param(*case.values, [], id=f"{case.id} was denied") for case in ANOTHER),
        pytest.param({"stable": a_workload(0)}, [(0, 10, False)], id="and back, once the template is in"),
        pytest.param(GONE, [], id="nothing to go back to: what runs stays"),
    ],
)
def test_a_failed_version_whose_template_cannot_be_replaced_is_stopped(
    parts: dict[str, Any], expected: list[tuple[int, int, bool]]
) -> None:
    plan = decide(rolling_back(canary=None, **parts))
    assert sizes(plan) == expected
    stopped = "no worker runs" in condition(plan, "RolledBack").message
    assert stopped is (
        parts.get("refused") == DENIED["refused"]
        and plan.status.workers is not None
        and plan.status.workers.stable == 0
    )


@pytest.mark.parametrize(
    ("parts", "phase"),
    [
        pytest.param({}, RolloutPhase.PROMOTING, id="nothing to try it beside"),
        pytest.param(
            {"stable": a_workload(10, revision=NEW, pods=MIXED)}, RolloutPhase.CANARY, id="good ones are left"
        ),
        pytest.param(
            {"stable": a_workload(10)}, RolloutPhase.CANARY, id="the template is in, something else was denied"
        ),
        *(pytest.param(*case.values, RolloutPhase.CANARY, id=f"{case.id} was denied") for case in ANOTHER),
        pytest.param({"refused": None}, RolloutPhase.CANARY, id="not before the template was tried"),
    ],
)
@pytest.mark.parametrize("begins", [True, False], ids=["it arrives", "after a restart"])
def test_another_template_is_tried_although_the_way_back_is_denied(
    parts: dict[str, Any], phase: RolloutPhase, *, begins: bool
) -> None:
    """In all workers: a canary would wait for a stable version that never comes."""
    fix = "c" * 16
    status = a_status(a_rollout(RolloutPhase.ROLLING_BACK, step_start_time=NOW))
    if not begins:
        status = a_status(a_rollout(RolloutPhase.CANARY, candidate_revision=fix))
    fields = DENIED | {"stable": a_workload(0, revision=NEW), "known_revisions": frozenset({GOOD, NEW, fix})} | parts
    plan = decide(rolling_back(canary=None, target=fix, status=status, **fields))
    rollout = plan.status.rollout
    assert rollout is not None
    assert (rollout.phase, rollout.stable_revision, rollout.candidate_revision) == (phase, GOOD, fix)
    if phase is RolloutPhase.PROMOTING:
        assert any(f"the template of {GOOD} is refused" in decision.why for decision in plan.status.decisions)
        (template,) = [a for a in plan.actions if isinstance(a, ApplyTemplate)]
        assert (template.role, template.revision) == ("stable", fix)


def test_what_was_stopped_does_not_grow_before_its_template_is_replaced() -> None:
    """A restart forgets the denial. The template comes first in the plan, and what follows a refused write is left."""
    plan = decide(rolling_back(canary=None, stable=a_workload(0, revision=NEW)))
    kinds = [type(a) for a in plan.actions if isinstance(a, ApplyTemplate | SetReplicas)]
    assert kinds == [ApplyTemplate, SetReplicas]
    assert sizes(plan) == [(0, 10, False)]


def test_a_stable_version_that_starts_slowly_has_until_the_deadline() -> None:
    plan = decide(rolling_back(since=LATE - SECOND, **BROKEN, canary=None))
    assert condition(plan, "RolledBack").reason == "RollingBack"
    assert plan.requeue_after is not None
    assert plan.requeue_after <= SECOND


def test_a_pause_is_no_obstacle() -> None:
    plan = decide(rolling_back(since=LATE, **BROKEN, pauses=(a_pause(),)))
    assert condition(plan, "RolledBack").reason == "RollingBack"


def test_without_obstacles_it_is_a_rollback_as_any() -> None:
    plan = decide(rolling_back(since=LATE - SECOND, spec=a_spec()))
    assert condition(plan, "RolledBack").reason == "RollingBack"
    assert condition(plan, "Reconciling").status == "True"
