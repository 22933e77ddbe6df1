"""An automatic pause stops the workers that tell whom to blame; what comes later of its trouble is no release's."""

from datetime import datetime, timedelta

import pytest

from crm_operator.api.v1alpha1 import (
    Answer,
    AutomaticPauseState,
    AutomaticPauseStatus,
    GuardState,
    GuardStatus,
    RolloutPhase,
    SyncState,
    SyncStatus,
)
from crm_operator.domain.decide import decide
from crm_operator.domain.plan import CreatePause, Plan
from crm_operator.domain.world import Evidence, OwnPause, World
from tests.unit.domain.builders import (
    NOW,
    a_canary_world,
    a_guard,
    a_pause,
    a_rollout,
    a_spec,
    a_status,
    a_world,
    evidence,
    read,
)

AUTO = "hubspot-auto-20261124-025000"
#: Of five minutes.
DEAD = a_guard(name="dead", metric={"from": "queue", "name": "dead"}, warning=None, critical={"above": 0})
SPEC = a_spec(guards=[DEAD.to_wire(), a_guard().to_wire()], onCritical={"pause": True})


def ago(seconds: float) -> datetime:
    return NOW - timedelta(seconds=seconds)


def with_dead_letters(resumed: float | None, came: float, phase: RolloutPhase = RolloutPhase.CANARY) -> World:
    """The workers started again `resumed` seconds ago, None: the pause holds; the dead letters came `came` seconds ago.

    The errors that led to the pause are forgotten.
    """
    seen = [GuardStatus(name="dead", state=GuardState.CRITICAL, blame="undecided", since=ago(came))] if came else []
    holds = resumed is None
    status = a_status(
        a_rollout(phase),
        guards=seen,
        sync=SyncStatus(state=SyncState.PAUSING if holds else SyncState.RUNNING, since_time=ago(resumed or 20)),
        automatic_pause=AutomaticPauseStatus(
            name=AUTO,
            state=AutomaticPauseState.HOLDING if holds else AutomaticPauseState.LIFTED,
            guard="sync-errors",
            request_time=ago((resumed or 0) + 30),
            reason="errors on both",
        ),
    )
    make = a_world if phase is RolloutPhase.STABLE else a_canary_world
    return make(
        spec=SPEC,
        status=status,
        pauses=(a_pause(AUTO),) if holds else (),
        own_pause=OwnPause.PAUSED if holds else OwnPause.LIFTED,
        evidence={"sync-errors": evidence(new=0, good=0), "dead": Evidence(overall=read(3))},
    )


def phase_of(plan: Plan) -> RolloutPhase | None:
    return None if plan.status.rollout is None else plan.status.rollout.phase


@pytest.mark.parametrize(
    ("resumed", "came", "blames"),
    [
        pytest.param(None, 0, "provider", id="the workers are stopped"),
        pytest.param(10, 0, "provider", id="they have just started again"),
        pytest.param(400, 200, "provider", id="it came in time, and stays"),
        pytest.param(400, 0, "revision", id="too late to be of the outage"),
    ],
)
def test_dead_letters_after_an_automatic_pause_are_the_outages_for_one_window(
    resumed: float | None, came: float, blames: str
) -> None:
    plan = decide(with_dead_letters(resumed, came))
    dead = plan.status.guards[0]
    assert (dead.state, dead.blame) == (GuardState.CRITICAL, blames)
    assert phase_of(plan) is (RolloutPhase.ROLLING_BACK if blames == "revision" else RolloutPhase.CANARY)
    assert not [action for action in plan.actions if isinstance(action, CreatePause)]
    assert dead.answer is (Answer.ROLLBACK if blames == "revision" else Answer.PAUSE)


@pytest.mark.parametrize(("resumed", "pauses"), [(10, 0), (400, 1)])
def test_nor_do_they_pause_what_works_without_a_release(resumed: float, pauses: int) -> None:
    plan = decide(with_dead_letters(resumed, 0, RolloutPhase.STABLE))
    assert plan.status.guards[0].blame == "provider"
    assert len([action for action in plan.actions if isinstance(action, CreatePause)]) == pauses
