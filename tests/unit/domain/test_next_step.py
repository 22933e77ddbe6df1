"""What comes next: in the status, in decisions and in events, and that it is what then happens."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from crm_operator.api.v1alpha1 import AutomaticPauseState, AutomaticPauseStatus, CrmIntegrationStatus, RolloutPhase
from crm_operator.domain.decide import decide
from crm_operator.domain.plan import EmitEvent
from crm_operator.domain.world import JobsDone, OwnPause, Unknown, World
from tests.unit.domain.builders import (
    GOOD,
    NEW,
    NOW,
    a_canary_world,
    a_pause,
    a_rollout,
    a_spec,
    a_status,
    a_workload,
    a_world,
    evidence,
)

MINUTE = timedelta(minutes=1)


def steady(**parts: Any) -> World:
    return a_world(**({"target": GOOD} | parts))


def canary(step: int = 0, *, began: timedelta = timedelta(seconds=20), **parts: Any) -> World:
    """A canary whose step began 20 s ago and holds for 60 s."""
    rollout = a_rollout(RolloutPhase.CANARY, step=step, step_start_time=NOW - began, weight=(20, 50)[step])
    sizes = ((8, 2), (5, 5))[step]
    fields: dict[str, Any] = {
        "status": a_status(rollout),
        "stable": a_workload(sizes[0]),
        "canary": a_workload(sizes[1], role="canary", revision=NEW),
    }
    return a_canary_world(**(fields | parts))


def baking(**parts: Any) -> World:
    fields: dict[str, Any] = {
        "status": a_status(a_rollout(RolloutPhase.BAKING, step_start_time=NOW - MINUTE)),
        "stable": a_workload(10, revision=NEW),
        "evidence": {"sync-errors": evidence(new=0, good=None)},
    }
    return a_world(**(fields | parts))


UNREAD = {"sync-errors": evidence(new=Unknown("connection refused", "ConnectionRefused"), good=0)}
OWN = AutomaticPauseStatus(
    name="hubspot-auto-1", state=AutomaticPauseState.HOLDING, guard="sync-errors", request_time=NOW, reason="a guard"
)


@pytest.mark.parametrize(
    ("world", "what", "seconds"),
    [
        pytest.param(steady(), "workers follow the queue; a new template starts a rollout", None, id="steady"),
        pytest.param(
            steady(evidence={"sync-errors": evidence(good=11)}),
            "somebody looks at guard sync-errors; Healthy when it is clear",
            None,
            id="steady, critical",
        ),
        pytest.param(canary(), "step 2 of 2 at 50 %, if no guard objects", 40, id="a step that holds"),
        pytest.param(canary(1), "all workers get the new version, if no guard objects", 40, id="the last step"),
        pytest.param(
            canary(evidence=UNREAD),
            "step 2 of 2 at 50 %, if by then guard sync-errors is OK; rolled back if it blames the release",
            40,
            id="a guard holds the step",
        ),
        pytest.param(
            canary(evidence=UNREAD, began=MINUTE),
            "step 2 of 2 at 50 % when guard sync-errors is OK; rolled back if it blames the release",
            None,
            id="a guard holds the step, whose time is over",
        ),
        pytest.param(
            canary(evidence=UNREAD, spec=a_spec(onCritical={"rollback": False})),
            "step 2 of 2 at 50 %, if by then guard sync-errors is OK",
            40,
            id="a guard that may only hold",
        ),
        pytest.param(
            canary(
                canary=a_workload(2, role="canary", revision=NEW, ready=0),
                status=a_status(a_rollout(RolloutPhase.CANARY, step_start_time=None, waiting_since=NOW - MINUTE)),
            ),
            "rolled back, unless its workers are Ready before (rollout.progressDeadline 10m)",
            540,
            id="workers that do not start",
        ),
        pytest.param(
            canary(
                began=MINUTE,
                spec=a_spec(
                    rollout={"steps": [{"weight": 20, "hold": "60s"}, {"weight": 50, "hold": "60s"}], "minJobs": 9}
                ),
                jobs_done={NEW: JobsDone(count=3, since=NOW)},
            ),
            "step 2 of 2 at 50 % when the new version has done 9 jobs, if no guard objects",
            None,
            id="too few jobs",
        ),
        pytest.param(baking(), "Stable, if no guard objects", 240, id="baking"),
        pytest.param(
            baking(evidence=UNREAD),
            "Stable, if by then guard sync-errors is OK; rolled back if it blames the release",
            240,
            id="a guard that cannot be read in the bake, whose time runs on",
        ),
        pytest.param(
            baking(
                evidence=UNREAD,
                status=a_status(a_rollout(RolloutPhase.BAKING, step_start_time=NOW - 6 * MINUTE)),
            ),
            "Stable, when guard sync-errors is OK; rolled back if it blames the release",
            None,
            id="a guard that cannot be read when the bake is over",
        ),
        pytest.param(
            baking(evidence={"sync-errors": evidence(new=1, good=None)}),
            "Stable 5m after guard sync-errors is OK; rolled back if it blames the release",
            None,
            id="a warning in the bake",
        ),
        pytest.param(
            a_world(status=a_status(a_rollout(RolloutPhase.ROLLED_BACK))),
            f"{NEW} is not tried again until spec.workers.template changes, or: kubectl crm retry hubspot -n crm",
            None,
            id="rolled back",
        ),
        pytest.param(
            steady(pauses=(a_pause("incident"), a_pause("audit", expires=NOW + MINUTE))),
            "workers start again when nobody holds them: incident",
            None,
            id="paused",
        ),
        pytest.param(
            steady(pauses=(a_pause("a", expires=NOW + MINUTE), a_pause("b", expires=NOW + 2 * MINUTE))),
            "workers start again when the last pause expires",
            120,
            id="paused for a time",
        ),
        pytest.param(
            steady(
                status=a_status(automatic_pause=OWN),
                own_pause=OwnPause.PAUSED,
                pauses=(a_pause(OWN.name),),
            ),
            "workers start again when a person lifts it: kubectl patch syncpause hubspot-auto-1 -n crm --type merge "
            """-p '{"spec":{"paused":false}}'""",
            None,
            id="paused by a guard",
        ),
    ],
)
def test_what_comes_next(world: World, what: str, seconds: float | None) -> None:
    then = decide(world).status.next
    assert then is not None
    assert then.what == what
    assert then.time == (None if seconds is None else NOW + timedelta(seconds=seconds))


def test_what_was_said_of_a_step_happens_at_that_time() -> None:
    world = canary()
    then = decide(world).status.next
    assert then is not None
    assert then.time is not None
    before = decide(replace(world, now=then.time - timedelta(milliseconds=1))).status
    after = decide(replace(world, now=then.time)).status
    assert [_step(before), _step(after)] == [0, 1]


def _step(status: CrmIntegrationStatus) -> int | None:
    return None if status.rollout is None else status.rollout.step


def test_the_sentence_of_the_status_ends_with_it_while_something_is_on_its_way() -> None:
    message = decide(canary()).status.message
    assert message is not None
    assert message.endswith("; next at 03:00:40: step 2 of 2 at 50 %, if no guard objects")
    calm = decide(steady()).status.message
    assert calm is not None
    assert "next" not in calm


def test_a_rollback_carries_its_evidence_and_what_follows() -> None:
    plan = decide(canary(evidence={"sync-errors": evidence(new=11, good=0)}))
    told = {decision.what: decision for decision in plan.status.decisions}
    rolled_back = told["RolledBack"]
    assert rolled_back.evidence is not None
    assert rolled_back.evidence.to_wire() == {
        "guard": "sync-errors",
        "value": "11",
        "stableValue": "0",
        "threshold": "10",
        "window": "5m",
        "samples": 10,
        "blame": "revision",
    }
    assert told["GuardCritical"].evidence == rolled_back.evidence
    (event,) = [a for a in plan.actions if isinstance(a, EmitEvent) and a.reason == "RolledBack"]
    assert "+11 > 10 in 5m on the new version, +0 on stable" in event.message
    assert "[guard sync-errors, 10 samples, the revision is to blame]" in event.message
    assert "; next: RolledBack when no worker of" in event.message


def test_an_event_says_once_what_its_words_say_already() -> None:
    plan = decide(canary(evidence={"sync-errors": evidence(new=11, good=0)}))
    (event,) = [a for a in plan.actions if isinstance(a, EmitEvent) and a.reason == "GuardCritical"]
    assert event.message.count("sync-errors") == event.message.count("the revision is to blame") == 1
    assert "[10 samples]" in event.message


def test_a_decision_that_rests_on_no_guard_has_no_evidence() -> None:
    plan = decide(a_world())
    (started,) = plan.status.decisions
    assert (started.what, started.evidence) == ("RolloutStarted", None)
    assert started.next is not None


def test_a_long_event_keeps_what_follows() -> None:
    reason = "x" * 3000
    plan = decide(steady(pauses=(a_pause(reason=reason),)))
    (event,) = [a for a in plan.actions if isinstance(a, EmitEvent)]
    assert len(event.message) <= 1000
    assert event.message.endswith("; next: workers start again when nobody holds them: hubspot")
