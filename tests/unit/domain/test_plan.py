"""A plan's order, and what in it can wait."""

import dataclasses
from typing import Any

import pytest

from crm_operator.api.v1alpha1 import RolloutPhase
from crm_operator.domain.decide import decide
from crm_operator.domain.plan import ApplyTemplate, SetReplicas
from crm_operator.domain.world import Load, World
from tests.unit.domain.builders import (
    GOOD,
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

#: Ten workers were needed a moment ago.
HELD = Load(peak=10)


def steady(**parts: Any) -> World:
    return a_world(**({"target": GOOD} | parts))


def later(**parts: Any) -> World:
    """A minute after the status of a steady world was stored."""
    return steady(status=decide(steady()).status, now=NOW + 60 * SECOND, **parts)


#: As a process finds it that has just started.
UNSEEN: dict[str, Any] = {"intact": False, "applied": False}


@pytest.mark.parametrize(
    ("parts", "can_wait"),
    [
        pytest.param({"queue": a_queue(50), "load": HELD}, True, id="live numbers"),
        pytest.param({"queue": a_queue(150)}, False, id="a size"),
        pytest.param({"queue": a_queue(50)}, True, id="a smaller size"),
        pytest.param(
            {"queue": a_queue(50), "stable": a_workload(10, intact=False)}, False, id="it and somebody's change"
        ),
        pytest.param({"queue": an_outage()}, False, id="a verdict"),
        pytest.param({"stable": a_workload(10, **UNSEEN)}, True, id="a Deployment after a restart"),
        pytest.param(
            {"stable": a_workload(10, **UNSEEN), "queue": a_queue(50), "load": HELD}, True, id="it and live numbers"
        ),
        pytest.param({"stable": a_workload(10, intact=False)}, False, id="a Deployment that somebody changed"),
        pytest.param({"stable": a_workload(9, **UNSEEN)}, False, id="a Deployment after a restart that must grow"),
        pytest.param(
            {"stable": a_workload(10, urgent_strategy=True, **UNSEEN)}, False, id="one with the wrong strategy"
        ),
        pytest.param({}, False, id="nothing"),
    ],
)
def test_only_what_nobody_waits_for_can_wait(parts: dict[str, Any], can_wait: bool) -> None:
    assert decide(later(**parts)).can_wait is can_wait


@pytest.mark.parametrize("phase", [phase for phase in RolloutPhase if phase is not RolloutPhase.STABLE])
def test_nothing_waits_while_a_version_is_on_trial(phase: RolloutPhase) -> None:
    world = a_world(status=a_status(a_rollout(phase)), stable=a_workload(10, **UNSEEN))
    assert not any(isinstance(action, ApplyTemplate) and action.can_wait for action in decide(world).actions)


def test_fewer_workers_do_not_wait_for_a_turn_where_a_limit_a_pause_or_a_trial_is_the_reason() -> None:
    fewer = later(queue=a_queue(50))
    assert decide(fewer).can_wait
    paused = dataclasses.replace(fewer, pauses=(a_pause(),))
    trial = a_world(status=a_status(a_rollout(RolloutPhase.CANARY)), queue=a_queue(50), now=NOW + 60 * SECOND)
    spec = a_spec(scaling={"maxReplicas": 20, "backlogPerReplica": 10, "rateLimit": {"concurrency": 8}})
    limited = dataclasses.replace(fewer, spec=spec, queue=a_queue(100))
    for world in (paused, trial, limited):
        plan = decide(world)
        assert any(isinstance(action, SetReplicas) for action in plan.actions)
        assert not plan.can_wait


def test_a_size_goes_before_what_is_only_to_be_sure() -> None:
    actions = decide(later(stable=a_workload(10, **UNSEEN), queue=a_queue(150))).actions
    kinds = [type(action) for action in actions if isinstance(action, SetReplicas | ApplyTemplate)]
    assert kinds == [SetReplicas, ApplyTemplate]


def test_what_somebody_changed_is_put_right_before_it_grows() -> None:
    actions = decide(later(stable=a_workload(10, intact=False), queue=a_queue(150))).actions
    kinds = [type(action) for action in actions if isinstance(action, SetReplicas | ApplyTemplate)]
    assert kinds == [ApplyTemplate, SetReplicas]


@pytest.mark.parametrize(
    ("world", "ahead"),
    [
        pytest.param(a_world(), {"stable": False}, id="stable, to make room for a canary"),
        pytest.param(steady(queue=a_queue(50)), {"stable": False}, id="a smaller size"),
        pytest.param(
            a_canary_world(evidence={"sync-errors": evidence(new=20, good=0)}), {"canary": True}, id="a rollback"
        ),
        pytest.param(a_canary_world(target=GOOD), {"canary": False}, id="a canary that nobody wants any more"),
        pytest.param(a_canary_world(pauses=(a_pause(),)), {"canary": True, "stable": True}, id="a pause"),
    ],
)
def test_what_shrinks_although_it_could_not_be_recorded(world: World, ahead: dict[str, bool]) -> None:
    """A bad version and a pause wait for nothing. Without a record anything else would be half a decision."""
    sizes = [action for action in decide(world).actions if isinstance(action, SetReplicas)]
    assert {action.role: action.stops_damage for action in sizes if action.replicas < action.was} == ahead
