"""How long a job takes: whose word counts, and how far."""

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crm_operator.api.duration import render
from crm_operator.api.v1alpha1 import RolloutPhase, ScalingStatus
from crm_operator.domain.job_duration import JobDuration, job_duration
from crm_operator.domain.scaling import size
from crm_operator.domain.world import JobTime, World
from tests.unit.domain.builders import (
    GOOD,
    NEW,
    a_canary_world,
    a_queue,
    a_rollout,
    a_spec,
    a_status,
    a_workload,
    a_world,
)

SCALING = {"maxReplicas": 100, "drainTarget": "60s", "jobDuration": "1s"}


def seconds(**by_revision: float) -> dict[str, JobTime]:
    names = {"good": GOOD, "new": NEW}
    return {names[side]: JobTime(mean=timedelta(seconds=mean), jobs=50) for side, mean in by_revision.items()}


def learned(world: World) -> tuple[float, str | None]:
    found = job_duration(world)
    return found.mean.total_seconds(), found.learned_from


def recorded(millis: int, revision: str | None) -> ScalingStatus:
    return ScalingStatus(job_duration_milliseconds=millis, learned_revision=revision)


def steady(**parts: Any) -> World:
    return a_world(**({"spec": a_spec(scaling=SCALING), "target": GOOD} | parts))


def canary(**parts: Any) -> World:
    return a_canary_world(**({"spec": a_spec(scaling=SCALING)} | parts))


def test_before_anything_is_learned_it_is_what_the_spec_says() -> None:
    assert job_duration(steady()) == JobDuration(mean=timedelta(seconds=1))


def test_what_the_workers_show_counts() -> None:
    assert learned(steady(job_times=seconds(good=0.25))) == (0.25, GOOD)


def test_it_sizes_the_workers() -> None:
    queue = a_queue(1200)
    assert size(steady(queue=queue)).replicas == 10
    assert size(steady(queue=queue, job_times=seconds(good=4))).replicas == 40


def test_a_canary_that_fails_fast_does_not_make_stable_look_fast() -> None:
    assert learned(canary(job_times=seconds(good=2, new=0.01))) == (2, GOOD)


def test_a_canary_alone_teaches_nothing_while_stable_pods_run() -> None:
    assert learned(canary(job_times=seconds(new=0.1))) == (1, None)
    assert learned(canary(job_times=seconds(new=30))) == (1, None)


def test_a_slower_canary_counts_by_its_pods() -> None:
    """Eight pods at 2 s and two at 7 s."""
    assert learned(canary(job_times=seconds(good=2, new=7))) == (3, GOOD)


def test_when_only_the_new_version_runs_its_word_counts() -> None:
    world = steady(
        status=a_status(a_rollout(RolloutPhase.BAKING)),
        stable=a_workload(10, revision=NEW),
        job_times=seconds(new=0.5),
    )
    assert learned(world) == (0.5, NEW)


def test_what_was_learned_is_remembered_over_a_restart_and_over_silence() -> None:
    status = a_status(scaling=recorded(300, GOOD))
    assert learned(steady(status=status)) == (0.3, GOOD)
    assert learned(steady(status=status, stable=a_workload(0))) == (0.3, GOOD)


def test_a_new_version_begins_with_what_the_one_before_taught() -> None:
    rollout = a_rollout(RolloutPhase.BAKING)
    world = steady(status=a_status(rollout, scaling=recorded(300, GOOD)), stable=a_workload(10, revision=NEW))
    assert learned(world) == (0.3, GOOD)


def test_what_a_rolled_back_version_taught_is_forgotten() -> None:
    rollout = a_rollout(RolloutPhase.ROLLED_BACK)
    assert learned(steady(status=a_status(rollout, scaling=recorded(5, NEW)))) == (1, None)


def test_without_metrics_the_record_is_not_believed() -> None:
    spec = a_spec(scaling=SCALING, metrics={})
    assert learned(steady(spec=spec, status=a_status(scaling=recorded(300, GOOD)))) == (1, None)


@pytest.mark.parametrize(("shown", "believed"), [(0.000001, 0.02), (3600, 50)])
def test_garbage_is_believed_up_to_a_factor(shown: float, believed: float) -> None:
    assert learned(steady(job_times=seconds(good=shown))) == (believed, GOOD)


@given(good=st.floats(1e-6, 3600), new=st.floats(1e-6, 3600), said=st.integers(1, 3_600_000))
def test_it_is_always_within_the_bounds_of_the_field(good: float, new: float, said: int) -> None:
    spec = a_spec(scaling=SCALING | {"jobDuration": render(timedelta(milliseconds=said))})
    mean = job_duration(canary(spec=spec, job_times=seconds(good=good, new=new))).mean
    assert timedelta(milliseconds=1) <= mean <= timedelta(hours=1)
