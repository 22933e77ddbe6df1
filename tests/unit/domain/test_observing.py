"""`mode: Observe`: everything is judged and told, and nothing is written but the status."""

import dataclasses
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crm_operator.api.v1alpha1 import (
    AutomaticPauseState,
    AutomaticPauseStatus,
    CrmIntegrationStatus,
    Phase,
    RolloutPhase,
    SyncState,
    SyncStatus,
    Verb,
    VerbResult,
)
from crm_operator.domain.decide import decide
from crm_operator.domain.observing import WOULD
from crm_operator.domain.plan import CountDecision, Plan, WriteStatus
from crm_operator.domain.world import OwnPause, TemplateRefused, World
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
    an_outage,
    evidence,
)

NOTHING: dict[str, Any] = {"status": CrmIntegrationStatus(), "stable": None, "known_revisions": frozenset()}


def observed(**parts: Any) -> World:
    return a_world(**({"spec": a_spec(mode="Observe")} | parts))


def what(plan: Plan) -> list[str]:
    return [decision.what for decision in plan.status.decisions]


def condition(plan: Plan, type_: str) -> tuple[str, str]:
    return next((c.status, c.reason) for c in plan.status.conditions if c.type == type_)


def test_before_it_is_adopted_it_says_what_it_would_do() -> None:
    plan = decide(observed(**NOTHING))
    assert (condition(plan, "Ready"), plan.status.phase) == (("True", "Observing"), Phase.HEALTHY)
    assert plan.status.message is not None
    assert plan.status.message.startswith(
        "mode is Observe, nothing is written; WouldDeploy: first deployment; it would run 10 workers: 100 jobs to do"
    )
    assert what(plan) == ["WouldDeploy"]
    assert plan.status.workers is not None
    assert (plan.status.workers.desired, plan.status.workers.ready) == (10, 0)
    assert [type(action) for action in plan.actions] == [WriteStatus, CountDecision]


PHASES = st.sampled_from(RolloutPhase)


@settings(max_examples=300)
@given(
    phase=PHASES,
    new=st.sampled_from([0, 1, 11]),
    target=st.sampled_from([GOOD, NEW, "cccccccccccccccc"]),
    backlog=st.integers(0, 500),
    paused=st.booleans(),
    verbs=st.dictionaries(st.sampled_from(Verb), st.sampled_from(["step@1", "full@2", "x", ""])),
    blocks=st.booleans(),
)
def test_whatever_happens_only_the_status_is_written_and_nothing_is_told_twice(
    phase: RolloutPhase, new: int, target: str, backlog: int, paused: bool, verbs: dict[Verb, str], blocks: bool
) -> None:
    rollout = a_rollout(phase, step_start_time=NOW - timedelta(hours=1), waiting_since=NOW - timedelta(hours=1))
    world = observed(
        status=a_status(rollout),
        target=target,
        canary=a_workload(2, role="canary", revision=NEW),
        evidence={"sync-errors": evidence(new=new, good=0)},
        queue=an_outage() if blocks else a_queue(backlog),
        pauses=(a_pause(),) if paused else (),
        verbs=verbs,
    )
    plan = decide(world)
    assert all(isinstance(action, WriteStatus | CountDecision) for action in plan.actions)
    assert plan.status.rollout is not None
    assert plan.status.rollout.model_dump(exclude={"step_start_time", "waiting_since", "failing_since"}) == (
        rollout.model_dump(exclude={"step_start_time", "waiting_since", "failing_since"})
    )
    assert (plan.status.rollout.step_start_time, plan.status.rollout.waiting_since) == (None, None)
    assert not {"Scaled", "RolledBack", "Pausing", "Advanced"} & set(what(plan))
    again = decide(dataclasses.replace(world, now=NOW + SECOND, status=plan.status))
    assert again.actions == ()


@pytest.mark.parametrize(
    ("parts", "told"),
    [
        pytest.param({}, "WouldStartRollout", id="a new template"),
        pytest.param({"target": GOOD, "queue": a_queue(150)}, "WouldScale", id="more work"),
        pytest.param({"target": GOOD, "pauses": (a_pause(),)}, "WouldPause", id="a pause"),
        pytest.param(
            {
                "status": a_status(a_rollout(RolloutPhase.BAKING)),
                "stable": a_workload(10, revision=NEW),
                "evidence": {"sync-errors": evidence(new=11)},
            },
            "WouldRollBack",
            id="a bad release",
        ),
        pytest.param({"image_failed_in": "zoho", "image": "worker:v2"}, "WouldHoldRollout", id="a bad image"),
    ],
)
def test_each_decision_has_a_name_of_its_own(parts: dict[str, Any], told: str) -> None:
    plan = decide(observed(**parts))
    assert told in what(plan)
    assert CountDecision(what=told) in plan.actions


def test_the_same_decision_on_another_value_is_told_again() -> None:
    first = decide(observed())
    second = decide(observed(status=first.status, target="cccccccccccccccc"))
    assert what(second).count("WouldStartRollout") == 2


def test_a_pause_is_no_pause() -> None:
    plan = decide(observed(target=GOOD, pauses=(a_pause(),)))
    assert plan.status.sync is not None
    assert plan.status.sync.state is SyncState.RUNNING
    assert condition(plan, "Paused") == ("False", "Observing")
    assert "its workers would be stopped for hubspot (INC-42)" in (plan.status.message or "")
    # One that was in force when the mode was switched: nobody starts the workers either.
    held = SyncStatus(state=SyncState.PAUSED, since_time=NOW)
    status = a_status(sync=held)
    assert decide(observed(target=GOOD, status=status)).status.sync == held


@pytest.mark.parametrize("state", list(AutomaticPauseState))
@pytest.mark.parametrize("own", list(OwnPause))
def test_a_recorded_automatic_pause_does_not_move(state: AutomaticPauseState, own: OwnPause) -> None:
    pause = AutomaticPauseStatus(
        name="hubspot-auto", state=state, guard="sync-errors", request_time=NOW, reason="guard sync-errors"
    )
    world = observed(target=GOOD, own_pause=own, status=a_status(automatic_pause=pause))
    plan = decide(world)
    assert plan.status.automatic_pause == pause
    assert decide(dataclasses.replace(world, status=plan.status, now=NOW + SECOND)).actions == ()


def test_trouble_is_trouble() -> None:
    refused = decide(observed(template=TemplateRefused("image: Required value")))
    assert (condition(refused, "Ready"), condition(refused, "Stalled")) == (
        ("False", "InvalidTemplate"),
        ("True", "InvalidTemplate"),
    )
    critical = decide(observed(target=GOOD, evidence={"sync-errors": evidence(good=11)}))
    assert (condition(critical, "Ready"), critical.status.phase) == (("False", "GuardCritical"), Phase.DEGRADED)


@pytest.mark.parametrize("phase", [RolloutPhase.ROLLING_BACK, RolloutPhase.ROLLED_BACK])
def test_a_rollback_of_before_is_left_as_it_is(phase: RolloutPhase) -> None:
    plan = decide(observed(status=a_status(a_rollout(phase)), stable=a_workload(10, revision=NEW)))
    assert (condition(plan, "RolledBack"), condition(plan, "Stalled")) == (
        ("False", "Observing"),
        ("False", "Observing"),
    )


def test_what_is_asked_by_annotation_is_ignored_for_good() -> None:
    plan = decide(observed(target=GOOD, verbs={Verb.ABORT: "1", Verb.PROMOTE: "full@1", Verb.RETRY: ""}))
    assert {answer.name: answer.result for answer in plan.status.verbs} == {
        Verb.ABORT: VerbResult.IGNORED,
        Verb.PROMOTE: VerbResult.IGNORED,
        Verb.RETRY: VerbResult.REFUSED,
    }
    enforced = a_world(target=GOOD, status=plan.status, verbs={Verb.ABORT: "1"})
    assert decide(enforced).status.verbs == plan.status.verbs


def test_back_in_enforce_a_canary_holds_anew() -> None:
    """Not promoted, and not rolled back for a deadline that ran out while nobody acted."""
    old = a_rollout(RolloutPhase.CANARY, step_start_time=NOW - timedelta(days=1), waiting_since=NOW - timedelta(days=1))
    observing = decide(a_canary_world(spec=a_spec(mode="Observe"), status=a_status(old)))
    back = decide(a_canary_world(status=observing.status)).status.rollout
    assert back is not None
    assert (back.phase, back.step, back.step_start_time) == (RolloutPhase.CANARY, 0, NOW)


def test_all_that_is_carried_out_has_a_name_for_when_it_is_not() -> None:
    """A decision that is not in the table would be told as if it had been carried out."""
    assert set(WOULD.values()) & set(WOULD) == set()
