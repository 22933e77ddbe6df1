"""Somebody else scales a Deployment of ours: hands off, but for what stops damage."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crm_operator.api.v1alpha1 import RolloutPhase
from crm_operator.domain.decide import decide
from crm_operator.domain.plan import EmitEvent, Plan, SetReplicas
from crm_operator.domain.world import World
from tests.unit.domain.builders import (
    GOOD,
    NEW,
    NOW,
    a_canary_world,
    a_pause,
    a_queue,
    a_rollout,
    a_status,
    a_workload,
    a_world,
    evidence,
)

HPA = "HorizontalPodAutoscaler cpu"
BOTH = {"stable": HPA, "canary": "HorizontalPodAutoscaler keda-hpa-hubspot of ScaledObject hubspot"}


def a_steady_world(replicas: int, *, jobs: int = 100, **parts: object) -> World:
    fields: dict[str, object] = {
        "target": GOOD,
        "stable": a_workload(replicas),
        "queue": a_queue(jobs),
        "scaled_by": {"stable": HPA},
    }
    return a_world(**(fields | parts))


def sizes(plan: Plan) -> dict[str, int]:
    return {action.role: action.replicas for action in plan.actions if isinstance(action, SetReplicas)}


@given(replicas=st.integers(1, 50), jobs=st.integers(0, 10_000))
def test_the_size_is_never_written(replicas: int, jobs: int) -> None:
    assert sizes(decide(a_steady_world(replicas, jobs=jobs))) == {}


def test_it_is_said_once_with_who_and_what_to_do() -> None:
    world = a_steady_world(4)
    plan = decide(world)
    scaled = next(condition for condition in plan.status.conditions if condition.type == "Scaled")
    assert (scaled.status, scaled.reason) == ("False", "ScalingConflict")
    assert scaled.message == (
        "HorizontalPodAutoscaler cpu scales Deployment hubspot, so the operator does not; it keeps 4 workers. "
        "Delete that one to let spec.scaling work"
    )
    assert plan.status.workers is not None
    assert plan.status.workers.desired == 4
    told = [action.reason for action in plan.actions if isinstance(action, EmitEvent)]
    assert told == ["ScalingConflict"]
    again = decide(a_steady_world(5, status=plan.status))
    assert [action for action in again.actions if isinstance(action, EmitEvent)] == []


@pytest.mark.parametrize(("jobs", "woken"), [(0, {}), (1, {"stable": 1}), (1000, {"stable": 1})])
def test_a_deployment_at_zero_is_woken_since_no_autoscaler_does(jobs: int, woken: dict[str, int]) -> None:
    world = a_steady_world(0, jobs=jobs, status=a_status(desired=0))
    assert sizes(decide(world)) == woken


def test_a_pause_still_stops_the_work() -> None:
    assert sizes(decide(a_steady_world(4, pauses=(a_pause(),)))) == {"stable": 0}


def test_a_bad_canary_still_goes() -> None:
    world = a_canary_world(evidence={"sync-errors": evidence(new=12, good=0)}, scaled_by=BOTH)
    assert sizes(decide(world)) == {"canary": 0}


def test_a_canary_beside_a_scaled_deployment_gets_its_share() -> None:
    world = a_canary_world(
        status=a_status(a_rollout(RolloutPhase.CANARY, step_start_time=NOW)),
        stable=a_workload(20),
        canary=a_workload(2, role="canary", revision=NEW),
        scaled_by={"stable": HPA},
    )
    assert sizes(decide(world)) == {"canary": 4}, "20 % of 20"


def test_when_it_is_gone_the_operator_scales_again() -> None:
    status = decide(a_steady_world(4)).status
    world = a_steady_world(4, status=status, scaled_by={})
    assert sizes(decide(world)) == {"stable": 10}
    told = [action.reason for action in decide(world).actions if isinstance(action, EmitEvent)]
    assert told == ["Scaled"]


def test_phases_that_move_keep_the_size_too() -> None:
    for phase in (RolloutPhase.PROMOTING, RolloutPhase.BAKING):
        world = a_world(
            status=a_status(a_rollout(phase)), stable=a_workload(4, revision=NEW), scaled_by={"stable": HPA}
        )
        assert sizes(decide(world)) == {}
