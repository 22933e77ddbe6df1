"""Conditions, phase and message, and when a status is worth a write."""

import dataclasses
from datetime import datetime, timedelta
from typing import Any

import pytest

from crm_operator.api.duration import render
from crm_operator.api.v1alpha1 import CrmIntegrationStatus, Phase, RolloutPhase, SyncState, SyncStatus
from crm_operator.domain.decide import decide
from crm_operator.domain.invalid import invalid_spec_status
from crm_operator.domain.plan import ApplyTemplate, CreatePause, RecordRevision, SetReplicas, WriteStatus
from crm_operator.domain.report import worth_writing
from crm_operator.domain.world import Load, QueueView, TemplateRefused, Unknown, World
from tests.unit.domain.builders import (
    GOOD,
    NEW,
    NOW,
    SECOND,
    a_canary_world,
    a_pause,
    a_queue,
    a_reading,
    a_refusal,
    a_rollout,
    a_status,
    a_workload,
    a_world,
    an_outage,
    evidence,
)


def steady(**parts: Any) -> World:
    return a_world(**({"target": GOOD} | parts))


FAILING = steady(evidence={"sync-errors": evidence(good=11)})
PAUSE = CreatePause(name="hubspot-auto", reason="", why="")
#: Ten workers were needed a moment ago.
HELD = Load(peak=10)
REFUSED = steady(refused=a_refusal(SetReplicas(role="stable", replicas=12, was=10, why=""), "quota"))


def status(world: World) -> CrmIntegrationStatus:
    return decide(world).status


def condition(world: World, type_: str) -> tuple[str, str, str]:
    found = next(c for c in status(world).conditions if c.type == type_)
    return found.status, found.reason, found.message


@pytest.mark.parametrize(
    ("world", "phase", "ready", "reconciling", "stalled"),
    [
        pytest.param(steady(), Phase.HEALTHY, "True", "False", "False", id="steady"),
        pytest.param(a_canary_world(), Phase.PROGRESSING, "True", "True", "False", id="canary: stable serves"),
        pytest.param(
            a_world(status=a_status(a_rollout(RolloutPhase.ROLLED_BACK))),
            Phase.ROLLED_BACK,
            "False",
            "False",
            "True",
            id="rolled back fails the pipeline",
        ),
        pytest.param(
            a_world(template=TemplateRefused("image: Required value"), known_revisions=frozenset({GOOD})),
            Phase.DEGRADED,
            "False",
            "False",
            "True",
            id="refused template",
        ),
        pytest.param(
            steady(evidence={"sync-errors": evidence(good=11)}),
            Phase.DEGRADED,
            "False",
            "False",
            "False",
            id="critical",
        ),
        pytest.param(steady(pauses=(a_pause(),)), Phase.PAUSED, "False", "True", "False", id="pausing"),
        pytest.param(
            REFUSED,
            Phase.DEGRADED,
            "False",
            "False",
            "False",
            id="write refused",
        ),
        pytest.param(
            a_world(
                status=a_status(a_rollout(RolloutPhase.PROMOTING, stable_revision=None, waiting_since=NOW)),
                stable=a_workload(10, revision=NEW, ready=0),
            ),
            Phase.PROGRESSING,
            "False",
            "True",
            "False",
            id="first deployment",
        ),
        pytest.param(
            a_world(
                status=a_status(
                    a_rollout(RolloutPhase.PROMOTING, stable_revision=None, waiting_since=NOW - timedelta(minutes=10))
                ),
                stable=a_workload(10, revision=NEW, ready=0),
            ),
            Phase.DEGRADED,
            "False",
            "False",
            "True",
            id="first deployment stuck",
        ),
    ],
)
def test_the_kstatus_trio_and_the_phase(world: World, phase: Phase, ready: str, reconciling: str, stalled: str) -> None:
    found = status(world)
    conditions = {c.type: c.status for c in found.conditions}
    assert found.phase is phase
    assert (conditions["Ready"], conditions["Reconciling"], conditions["Stalled"]) == (ready, reconciling, stalled)


def test_all_conditions_are_always_there() -> None:
    names = [
        "Ready",
        "Reconciling",
        "Stalled",
        "QueueReachable",
        "MetricsAvailable",
        "Scaled",
        "Paused",
        "RolledBack",
        "VerbsAccepted",
    ]
    for world in (steady(), a_canary_world(), a_world(status=CrmIntegrationStatus(), stable=None)):
        assert [c.type for c in status(world).conditions] == names


def test_an_unread_queue_is_said_with_its_field() -> None:
    state, reason, message = condition(steady(queue=an_outage()), "QueueReachable")
    assert (state, reason) == ("False", "Refused")
    assert "spec.queue.url" in message
    assert condition(steady(queue=an_outage()), "Scaled")[0] == "Unknown"


@pytest.mark.parametrize(
    ("orphaned", "says"),
    [
        pytest.param(1, "; 1 job is held by workers that died; a running worker takes them back", id="one"),
        pytest.param(3, "; 3 jobs are held by workers that died; a running worker takes them back", id="some"),
        pytest.param(0, "1 queue(s) read; 4 jobs to do", id="none"),
    ],
)
def test_jobs_of_dead_workers_are_said(orphaned: int, says: str) -> None:
    view = QueueView(latest=a_reading(0, running=4, orphaned=orphaned), good_since=NOW)
    state, _, message = condition(steady(queue=view), "QueueReachable")
    assert state == "True"
    assert says in message
    assert ("died" in message) == (orphaned > 0)


def test_a_refused_template_says_field_value_and_remedy() -> None:
    world = a_world(template=TemplateRefused("spec.workers.template.spec.containers[0].image: Required value"))
    assert "spec.workers.template was refused" in condition(world, "Stalled")[2]
    assert "image: Required value" in condition(world, "Stalled")[2]
    assert not any(isinstance(action, (ApplyTemplate, RecordRevision)) for action in decide(world).actions)


def test_transition_times_move_only_with_the_status() -> None:
    first = status(steady())
    later = status(steady(now=NOW + timedelta(minutes=5), status=first, queue=a_queue(100, now=NOW)))
    assert [c.last_transition_time for c in first.conditions] == [c.last_transition_time for c in later.conditions]


def written(before: World, **changes: Any) -> str | None:
    """Why a write happens when `changes` come to a world whose status is stored."""
    fields: dict[str, Any] = {"status": status(before), "now": NOW + SECOND}
    after = dataclasses.replace(before, **(fields | changes))
    action = next((a for a in decide(after).actions if isinstance(a, WriteStatus)), None)
    return None if action is None else action.why


def test_the_same_world_is_not_written_twice() -> None:
    assert written(steady()) is None
    assert written(steady(), now=NOW + timedelta(days=1)) is None


def test_a_decision_is_written_at_once() -> None:
    assert written(steady(), queue=a_queue(150)) == "decision"
    assert written(steady(), queue=an_outage()) == "decision"
    assert written(steady(), evidence={"sync-errors": evidence(good=11)}) == "decision"


def test_what_a_step_waits_for_is_said_at_once_and_how_far_it_is_is_not() -> None:
    """Else `holding until 03:00:10` stands there at 03:00:20."""
    blind = {"sync-errors": evidence(new=Unknown("connection refused", "ConnectionRefused"), good=0)}
    begun = a_status(a_rollout(RolloutPhase.CANARY, step_start_time=NOW - 58 * SECOND))
    holding = a_canary_world(status=begun, evidence=blind)
    assert written(holding) is None
    assert written(holding, now=NOW + 2 * SECOND) == "decision"
    waiting = a_status(a_rollout(RolloutPhase.CANARY, step_start_time=None, waiting_since=NOW))
    starting = a_canary_world(status=waiting, canary=a_workload(2, role="canary", revision=NEW, ready=0))
    assert written(starting, canary=a_workload(2, role="canary", revision=NEW, ready=1)) is None


def test_workers_that_are_all_there_are_said_at_once() -> None:
    waiting = steady(stable=a_workload(10, ready=9))
    assert written(waiting, stable=a_workload(10)) == "decision"


def test_live_numbers_wait_for_their_turn() -> None:
    assert written(steady(), queue=a_queue(50), load=HELD) is None
    assert written(steady(), queue=a_queue(50), load=HELD, now=NOW + 15 * SECOND) == "live numbers"


def test_live_numbers_that_hardly_moved_are_not_written() -> None:
    assert written(steady(), queue=a_queue(95), load=HELD, now=NOW + 60 * SECOND) is None


def aged(seconds: float, at: datetime, waiting: int = 50) -> QueueView:
    """Jobs of which the oldest has waited so long."""
    reading = a_reading(waiting, at=at, oldest_age=timedelta(seconds=seconds))
    return QueueView(latest=reading, good_since=NOW - timedelta(hours=1))


LATER = NOW + 60 * SECOND


@pytest.mark.parametrize(
    ("queue", "why"),
    [
        pytest.param(aged(100, LATER), None, id="the same job, a minute older"),
        pytest.param(aged(98, LATER), None, id="the same job, seen at another part of a second"),
        pytest.param(aged(41, LATER), None, id="another job as old as that one was"),
        pytest.param(aged(60, LATER), "live numbers", id="another job, older than that one was"),
        pytest.param(aged(5, LATER), "live numbers", id="a younger job"),
        pytest.param(aged(900, LATER), "live numbers", id="a job that was not seen before"),
        pytest.param(a_queue(50, now=LATER), "live numbers", id="its age cannot be read any more"),
    ],
)
def test_an_age_that_only_time_moved_is_not_written(queue: QueueView, why: str | None) -> None:
    before = steady(queue=aged(40, NOW), load=HELD)
    assert written(before, queue=queue, load=HELD, now=LATER) == why


@pytest.mark.parametrize("seconds", [15, 59, 60, 61, 3600, 86400])
def test_a_sentence_with_another_duration_is_the_same_sentence(seconds: int) -> None:
    stored = status(steady())
    one = stored.model_copy(update={"message": "the oldest job waits 45s, 3 of 10 Ready, 2.5 jobs/s"})
    text = f"the oldest job waits {render(timedelta(seconds=seconds))}, 2 of 10 Ready, 14 jobs/s"
    assert worth_writing(one, stored.model_copy(update={"message": text}), NOW + 60 * SECOND) is None
    other = stored.model_copy(update={"message": "the oldest job waits 45s, 3 of 10 Ready, 2.5 s"})
    assert worth_writing(one, other, NOW + 60 * SECOND) == "live numbers"


def test_numbers_that_wait_are_looked_at_again_in_time() -> None:
    stored = status(steady())
    plan = decide(steady(status=stored, queue=a_queue(50), load=HELD, now=NOW + 5 * SECOND))
    assert plan.requeue_after == 10 * SECOND


def test_a_new_generation_is_always_written() -> None:
    assert written(steady(), generation=3) == "decision"


def test_scaling_in_a_row_is_three_of_the_last_decisions() -> None:
    stored = status(steady())
    for backlog in range(110, 200, 10):
        stored = status(steady(status=stored, queue=a_queue(backlog)))
    assert [(d.what, d.from_, d.to) for d in stored.decisions] == [
        ("Scaled", "16", "17"),
        ("Scaled", "17", "18"),
        ("Scaled", "18", "19"),
    ]


def test_warnings_that_come_and_go_between_them_do_not_push_others_out() -> None:
    stored = status(steady(evidence={"sync-errors": evidence(good=11)}))
    for n in range(20):
        errors = evidence(good=n % 2)
        stored = status(steady(status=stored, queue=a_queue(100 + 10 * n % 90), evidence={"sync-errors": errors}))
    assert stored.decisions[0].what == "GuardCritical"
    assert len(stored.decisions) == 4


def test_a_status_always_fits_its_own_schema() -> None:
    long = "x" * 5000
    for world in (
        steady(queue=an_outage(long)),
        a_world(template=TemplateRefused(long)),
        steady(refused=a_refusal(PAUSE, long)),
        steady(refused=a_refusal(PAUSE, long), pauses=(a_pause(),)),
        steady(pauses=(a_pause(reason="y" * 200),), status=a_status(sync=None)),
    ):
        CrmIntegrationStatus.model_validate(status(world).to_wire())


def test_an_invalid_spec_keeps_the_rollouts_memory() -> None:
    before = a_status(a_rollout(RolloutPhase.CANARY))
    found = invalid_spec_status(before, generation=7, why="spec.scaling: Field required", now=NOW)
    assert found.rollout == before.rollout
    assert (found.observed_generation, found.phase) == (7, Phase.DEGRADED)
    assert invalid_spec_status(found, generation=7, why="spec.scaling: Field required", now=NOW + SECOND) == found


def test_worth_writing_sees_a_pause() -> None:
    one = a_status(sync=SyncStatus(state=SyncState.PAUSING, since_time=NOW))
    other = a_status(sync=SyncStatus(state=SyncState.PAUSED, since_time=NOW, took_seconds=1.0))
    assert worth_writing(one, other, NOW) == "decision"
