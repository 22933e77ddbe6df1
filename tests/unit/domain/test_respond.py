"""The automatic pause: when it is asked for, that it is made once, and that a person's word wins."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from crm_operator.api.v1alpha1 import (
    Answer,
    AutomaticPauseState,
    AutomaticPauseStatus,
    Condition,
    CrmIntegrationStatus,
    GuardState,
    GuardStatus,
    RolloutPhase,
    SyncState,
    SyncStatus,
)
from crm_operator.domain.decide import decide
from crm_operator.domain.plan import CreatePause, Plan, SetReplicas, WriteStatus
from crm_operator.domain.world import Evidence, OwnPause, Unknown, World
from tests.unit.domain.builders import (
    GOOD,
    NEW,
    NOW,
    SECOND,
    a_canary_world,
    a_guard,
    a_pause,
    a_rollout,
    a_spec,
    a_status,
    a_workload,
    a_world,
    evidence,
    read,
)

OWN = "hubspot-auto-20261124-025900"
UNREAD = Unknown("connection refused", "ConnectionRefused")
MINUTE = timedelta(minutes=1)


def asked(state: AutomaticPauseState) -> AutomaticPauseStatus:
    return AutomaticPauseStatus(
        name=OWN, state=state, guard="sync-errors", request_time=NOW - MINUTE, reason="guard sync-errors: +11 > 10"
    )


def was(state: GuardState = GuardState.CRITICAL, *, since: timedelta = MINUTE, answer: Answer | None = None) -> Any:
    return [GuardStatus(name="sync-errors", state=state, since=NOW - since, answer=answer)]


def steady(**parts: Any) -> World:
    """Stable, with `onCritical.pause`; every worker fails unless told otherwise."""
    fields: dict[str, Any] = {
        "target": GOOD,
        "spec": a_spec(onCritical={"pause": True}),
        "evidence": {"sync-errors": evidence(good=11)},
    }
    return a_world(**(fields | parts))


def recorded(state: AutomaticPauseState | None, **parts: Any) -> CrmIntegrationStatus:
    return a_status(automatic_pause=None if state is None else asked(state), **parts)


def made(plan: Plan) -> list[str]:
    return [action.name for action in plan.actions if isinstance(action, CreatePause)]


def told(plan: Plan) -> list[str]:
    return [decision.what for decision in plan.status.decisions]


def state_of(plan: Plan) -> str | None:
    pause = plan.status.automatic_pause
    return None if pause is None else pause.state.value


def test_a_critical_guard_in_steady_state_asks_for_a_pause() -> None:
    plan = decide(steady())
    (pause,) = [action for action in plan.actions if isinstance(action, CreatePause)]
    assert pause.name == "hubspot-auto-20261124-030000"
    assert pause.reason == ("guard sync-errors: crm_sync_errors_total +11 > 10 in 5m; the provider is to blame")
    assert told(plan) == ["GuardCritical", "PauseRequested"]
    command = (
        'kubectl patch syncpause hubspot-auto-20261124-030000 -n crm --type merge -p \'{"spec":{"paused":false}}\''
    )
    assert command in plan.status.decisions[-1].why
    # No worker is taken away before the SyncPause is there: without it nobody could lift anything.
    assert not [action for action in plan.actions if isinstance(action, SetReplicas)]


def test_the_request_is_recorded_before_the_pause_is_made() -> None:
    plan = decide(steady())
    kinds = [type(action) for action in plan.actions]
    assert kinds.index(WriteStatus) < kinds.index(CreatePause)
    assert state_of(plan) == "Requested"


def test_without_on_critical_pause_nothing_is_paused() -> None:
    plan = decide(steady(spec=a_spec()))
    assert made(plan) == []
    assert state_of(plan) is None


def test_a_reason_is_one_line_of_at_most_200_characters() -> None:
    guard = a_guard(metric={"from": "pods", "name": "x" * 190}, warning=None)
    plan = decide(steady(spec=a_spec(guards=[guard.to_wire()], onCritical={"pause": True})))
    (pause,) = [action for action in plan.actions if isinstance(action, CreatePause)]
    assert len(pause.reason) == 200
    assert pause.reason.endswith("…")


@pytest.mark.parametrize(
    ("state", "own", "good", "after", "makes", "tells"),
    [
        pytest.param("Requested", "ABSENT", 11, "Requested", True, [], id="a crash before it was made: made again"),
        pytest.param("Requested", "ABSENT", UNREAD, "Requested", False, [], id="not read since the crash: waits"),
        pytest.param("Requested", "ABSENT", 0, None, False, ["PauseWithdrawn"], id="clear before it was made"),
        pytest.param("Requested", "PAUSED", 11, "Holding", False, [], id="made"),
        pytest.param("Requested", "LIFTED", 11, "Lifted", False, ["PauseLifted"], id="lifted before it was noted"),
        pytest.param("Requested", "FOREIGN", 11, "Requested", False, [], id="the name is taken"),
        pytest.param("Holding", "PAUSED", 11, "Holding", False, [], id="it holds"),
        pytest.param("Holding", "LIFTED", 11, "Lifted", False, ["PauseLifted"], id="lifted"),
        pytest.param("Holding", "ABSENT", 11, "Lifted", False, ["PauseLifted"], id="deleted"),
        pytest.param("Holding", "FOREIGN", 11, "Lifted", False, ["PauseLifted"], id="deleted, and the name taken"),
        pytest.param("Lifted", "LIFTED", 11, "Lifted", False, [], id="still critical: a person's word stands"),
        pytest.param("Lifted", "ABSENT", 11, "Lifted", False, [], id="deleted, still critical"),
        pytest.param("Lifted", "PAUSED", 11, "Holding", False, [], id="a person sets it again"),
    ],
)
def test_what_becomes_of_a_pause(
    state: str, own: str, good: float | Unknown, after: str | None, makes: bool, tells: list[str]
) -> None:
    recorded_state = AutomaticPauseState(state)
    own_pause = OwnPause[own]
    answer = None if recorded_state is AutomaticPauseState.REQUESTED and own != "LIFTED" else Answer.PAUSE
    plan = decide(
        steady(
            status=recorded(recorded_state, guards=was(answer=answer)),
            own_pause=own_pause,
            pauses=(a_pause(OWN),) if own_pause is OwnPause.PAUSED else (),
            evidence={"sync-errors": evidence(good=good)},
        )
    )
    assert state_of(plan) == after
    assert made(plan) == ([OWN] if makes else [])
    assert [what for what in told(plan) if what.startswith("PauseW") or what == "PauseLifted"] == tells


def test_a_request_is_dropped_when_the_user_takes_the_wish_back() -> None:
    plan = decide(steady(spec=a_spec(), status=recorded(AutomaticPauseState.REQUESTED, guards=was())))
    assert (made(plan), state_of(plan)) == ([], None)


def test_while_somebody_elses_pause_holds_none_is_made_and_lifting_it_makes_none() -> None:
    plan = decide(steady(pauses=(a_pause(),), status=a_status(guards=was())))
    assert made(plan) == []
    assert plan.status.guards[0].answer is Answer.PAUSE
    lifted = decide(steady(status=plan.status))
    assert made(lifted) == []


def test_another_guards_trouble_is_another_pause() -> None:
    dead = a_guard(name="dead", metric={"from": "queue", "name": "dead"}, reduce="Last", window=None, warning=None)
    spec = a_spec(guards=[a_guard().to_wire(), dead.to_wire()], onCritical={"pause": True})
    plan = decide(
        steady(
            spec=spec,
            status=recorded(AutomaticPauseState.LIFTED, guards=was(answer=Answer.PAUSE)),
            own_pause=OwnPause.LIFTED,
            evidence={
                "sync-errors": evidence(good=11),
                "dead": Evidence(overall=read(12, previous=12)),
            },
        )
    )
    assert made(plan) == ["hubspot-auto-20261124-030000"]
    assert plan.status.automatic_pause is not None
    assert plan.status.automatic_pause.guard == "dead"


@pytest.mark.parametrize(
    ("state", "since", "answer"),
    [
        pytest.param(GuardState.OK, timedelta(minutes=4, seconds=59), Answer.PAUSE, id="OK, not for a whole window"),
        pytest.param(GuardState.OK, timedelta(minutes=5), None, id="OK for its window"),
        pytest.param(GuardState.WARNING, timedelta(hours=1), Answer.PAUSE, id="a warning is not clear"),
        pytest.param(GuardState.UNKNOWN, timedelta(hours=1), Answer.PAUSE, id="unread is not clear"),
    ],
)
def test_a_guard_is_clear_when_it_was_ok_for_its_window(
    state: GuardState, since: timedelta, answer: Answer | None
) -> None:
    value: dict[GuardState, float | Unknown] = {GuardState.OK: 0, GuardState.WARNING: 1, GuardState.UNKNOWN: UNREAD}
    plan = decide(
        steady(
            status=recorded(AutomaticPauseState.LIFTED, guards=was(state, since=since, answer=Answer.PAUSE)),
            own_pause=OwnPause.LIFTED,
            evidence={"sync-errors": evidence(good=value[state])},
        )
    )
    assert plan.status.guards[0].answer is answer
    assert state_of(plan) == ("Lifted" if answer else None)


def test_the_operator_looks_again_when_a_guard_may_be_clear() -> None:
    plan = decide(
        steady(
            status=recorded(
                AutomaticPauseState.LIFTED,
                guards=was(GuardState.OK, since=timedelta(minutes=4), answer=Answer.PAUSE),
            ),
            own_pause=OwnPause.LIFTED,
            evidence={"sync-errors": evidence(good=0)},
        )
    )
    assert plan.requeue_after == MINUTE


def test_a_held_pause_says_how_it_ends() -> None:
    plan = decide(
        steady(
            status=recorded(
                AutomaticPauseState.HOLDING,
                sync=SyncStatus(state=SyncState.PAUSED, since_time=NOW, took_seconds=1.0, pauses=[OWN]),
            ),
            own_pause=OwnPause.PAUSED,
            pauses=(a_pause(OWN, reason="guard sync-errors: +11 > 10"),),
            stable=a_workload(0),
            evidence={"sync-errors": Evidence(overall=Unknown("no pods", "NoPods"))},
        )
    )
    assert plan.status.message is not None
    assert f"lift it with kubectl patch syncpause {OWN} -n crm" in plan.status.message


def test_a_name_that_somebody_else_has_is_said() -> None:
    plan = decide(steady(status=recorded(AutomaticPauseState.REQUESTED, guards=was()), own_pause=OwnPause.FOREIGN))
    assert plan.status.message is not None
    assert f"SyncPause {OWN} exists and is not this integration's" in plan.status.message


def left_by(answer: Answer | None, **parts: Any) -> World:
    """Rolled back; the bad version's dead letters are still there."""
    dead = a_guard(name="sync-errors", metric={"from": "queue", "name": "dead"}, warning=None, critical={"above": 0})
    fields: dict[str, Any] = {
        "target": "anything",
        "spec": a_spec(guards=[dead.to_wire()], onCritical={"pause": True}),
        "status": a_status(a_rollout(RolloutPhase.ROLLED_BACK), guards=was(answer=answer)),
        "evidence": {"sync-errors": Evidence(overall=read(3))},
    }
    return a_world(**(fields | parts))


def rolled_back(status: str, *, since: datetime) -> Condition:
    """The condition."""
    return Condition.model_validate(
        {
            "type": "RolledBack",
            "status": status,
            "observedGeneration": 1,
            "lastTransitionTime": since,
            "reason": "RolledBack" if status == "True" else "NotRolledBack",
            "message": "",
        }
    )


def test_what_a_rolled_back_version_left_behind_does_not_pause() -> None:
    plan = decide(left_by(Answer.ROLLBACK))
    assert made(plan) == []
    assert (plan.status.guards[0].answer, plan.status.guards[0].blame) == (Answer.ROLLBACK, "revision")


@pytest.mark.parametrize(
    ("phase", "decided", "came", "pauses"),
    [
        pytest.param(RolloutPhase.ROLLING_BACK, 10, 0, 0, id="just now"),
        pytest.param(RolloutPhase.ROLLING_BACK, 600, 0, 0, id="while the last of its workers end"),
        pytest.param(RolloutPhase.ROLLED_BACK, 30, 0, 0, id="the last of them was read when it was over"),
        pytest.param(RolloutPhase.ROLLED_BACK, 400, 200, 0, id="it came in time, and stays"),
        pytest.param(RolloutPhase.ROLLED_BACK, 400, 0, 1, id="too late to be of that version"),
        pytest.param(RolloutPhase.ROLLING_BACK, 10, 60, 1, id="it was there before"),
        pytest.param(RolloutPhase.STABLE, None, 0, 1, id="nothing was rolled back"),
    ],
)
def test_dead_letters_that_come_after_a_rollback_was_decided(
    phase: RolloutPhase, decided: float | None, came: float, pauses: int
) -> None:
    """`decided` and `came`: so many seconds ago."""
    seen = [] if not came else was(since=came * SECOND)
    status = a_status(a_rollout(phase), guards=seen)
    if decided is not None:
        time = NOW - decided * SECOND
        back = rolled_back("True", since=time)
        status = status.model_copy(update={"conditions": [back]})
    plan = decide(left_by(None, status=status))
    assert len(made(plan)) == pauses
    (dead, _) = plan.status.guards
    assert (dead.blame, dead.answer) == (("provider", None) if pauses else ("revision", Answer.ROLLBACK))


@pytest.mark.parametrize(
    ("ended", "pauses"),
    [
        pytest.param(2, 0, id="the version before was rolled back"),
        pytest.param(600, 1, id="the version before was not"),
    ],
)
def test_dead_letters_that_come_before_a_worker_of_the_fix_does(ended: float, pauses: int) -> None:
    """`ended`: so many seconds ago the condition RolledBack became False; the rollout began 2 s ago."""
    rollout = a_rollout(RolloutPhase.CANARY, start_time=NOW - 1.5 * SECOND)
    status = a_status(rollout).model_copy(update={"conditions": [rolled_back("False", since=NOW - ended * SECOND)]})
    canary = a_workload(1, role="canary", revision=NEW, pods=())
    plan = decide(left_by(None, status=status, canary=canary))
    assert len(made(plan)) == pauses
    assert plan.status.rollout is not None
    assert plan.status.rollout.phase is RolloutPhase.CANARY
    assert plan.status.guards[0].answer is (None if pauses else Answer.ROLLBACK)


def test_a_fix_without_a_worker_hours_after_the_rollback_hides_no_outage() -> None:
    """Its only worker starts anew, say."""
    began = NOW - timedelta(hours=5)
    status = a_status(a_rollout(RolloutPhase.CANARY, start_time=began))
    status = status.model_copy(update={"conditions": [rolled_back("False", since=began)]})
    canary = a_workload(1, role="canary", revision=NEW, pods=())
    assert len(made(decide(left_by(None, status=status, canary=canary)))) == 1


def test_a_rollback_in_the_bake_pauses_nothing_while_only_the_bad_version_is_there() -> None:
    bad = read(20, samples=10)
    world = a_world(
        spec=a_spec(onCritical={"pause": True}),
        status=a_status(a_rollout(RolloutPhase.BAKING)),
        stable=a_workload(10, revision=NEW),
        evidence={"sync-errors": Evidence(by_revision={NEW: bad}, overall=bad)},
    )
    phases = []
    for second in range(3):
        plan = decide(replace(world, now=NOW + second * SECOND))
        assert made(plan) == []
        assert plan.status.rollout is not None
        phases.append(plan.status.rollout.phase)
        world = replace(world, status=plan.status)
    assert set(phases) == {RolloutPhase.ROLLING_BACK}
    assert world.status.guards[0].answer is Answer.ROLLBACK


def test_a_stable_version_that_fails_after_the_rollback_does() -> None:
    world = a_world(
        spec=a_spec(onCritical={"pause": True}),
        status=a_status(a_rollout(RolloutPhase.ROLLED_BACK), guards=was(answer=Answer.ROLLBACK)),
        evidence={"sync-errors": evidence(good=11)},
    )
    assert len(made(decide(world))) == 1


def test_a_rollback_is_noted_at_the_guard_that_asked_for_it() -> None:
    world = a_canary_world(spec=a_spec(onCritical={"pause": True}), evidence={"sync-errors": evidence(new=11, good=0)})
    plan = decide(world)
    assert made(plan) == []
    assert plan.status.guards[0].answer is Answer.ROLLBACK


@pytest.mark.parametrize(
    "world",
    [
        pytest.param(
            a_canary_world(
                spec=a_spec(onCritical={"pause": True, "rollback": False}),
                evidence={"sync-errors": evidence(new=11, good=0)},
            ),
            id="rollbacks are switched off",
        ),
        pytest.param(
            a_world(
                spec=a_spec(onCritical={"pause": True}),
                status=a_status(a_rollout(RolloutPhase.PROMOTING, stable_revision=None)),
                evidence={"sync-errors": evidence(new=11)},
            ),
            id="a first deployment has nothing to go back to",
        ),
    ],
)
def test_a_bad_release_that_cannot_be_rolled_back_is_paused(world: World) -> None:
    assert len(made(decide(world))) == 1
