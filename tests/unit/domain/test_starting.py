"""Versions whose workers do not come up: what ends a rollout at once, after a minute, or at the deadline."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from crm_operator.api.v1alpha1 import RolloutPhase
from crm_operator.domain.world import World
from tests.unit.domain.builders import (
    NEW,
    NOW,
    SECOND,
    a_canary_world,
    a_pause,
    a_rollout,
    a_status,
    a_workload,
    a_world,
    pods,
)
from tests.unit.domain.test_rollout import moved


def test_no_progress_until_the_deadline_rolls_back() -> None:
    stuck = a_workload(2, role="canary", revision=NEW, ready=0)
    waiting = a_rollout(RolloutPhase.CANARY, step_start_time=None, waiting_since=NOW - timedelta(minutes=10))
    move = moved(a_canary_world(canary=stuck, status=a_status(waiting)))
    assert move.rollout.phase is RolloutPhase.ROLLING_BACK
    assert "rollout.progressDeadline" in (move.rollout.reason or "")


def test_a_canary_that_keeps_dying_rolls_back() -> None:
    dying = pods(2, role="canary", revision=NEW, ready=False, restarts=3, waiting_reason="CrashLoopBackOff")
    move = moved(a_canary_world(canary=a_workload(2, role="canary", revision=NEW, ready=0, pods=dying)))
    assert move.rollout.phase is RolloutPhase.ROLLING_BACK
    assert "restarted 3 times (CrashLoopBackOff)" in (move.rollout.reason or "")


STARTING = {"step_start_time": None, "waiting_since": NOW - timedelta(minutes=2)}


def failing(phase: RolloutPhase, *, since: timedelta | None = timedelta(seconds=60), **pod: Any) -> World:
    """Of ten workers two are at NEW and do not start, in the canary or in a promotion without one."""
    started = None if since is None else NOW - since
    status = a_status(a_rollout(phase, **STARTING, failing_since=started))
    in_canary = phase is RolloutPhase.CANARY
    new = pods(2, role="canary" if in_canary else "stable", revision=NEW, ready=False, **pod)
    if in_canary:
        return a_canary_world(status=status, canary=a_workload(2, role="canary", revision=NEW, ready=0, pods=new))
    return a_world(status=status, stable=a_workload(10, revision=NEW, ready=8, pods=pods(8) + new))


@pytest.mark.parametrize("phase", [RolloutPhase.CANARY, RolloutPhase.PROMOTING])
@pytest.mark.parametrize(
    "reason",
    [
        "CrashLoopBackOff",
        "CreateContainerConfigError",
        "CreateContainerError",
        "InvalidImageName",
        "PostStartHookError",
        "PreCreateHookError",
        "PreStartHookError",
        "RunContainerError",
        "StartError",
    ],
)
def test_workers_that_cannot_start_for_a_minute_end_the_rollout(phase: RolloutPhase, reason: str) -> None:
    move = moved(failing(phase, waiting_reason=reason, waiting_message='configmap "crm" not found'))
    assert move.rollout.phase is RolloutPhase.ROLLING_BACK
    assert f'could not start for 1m: {reason} (configmap "crm" not found)' in (move.rollout.reason or "")


@pytest.mark.parametrize("phase", [RolloutPhase.CANARY, RolloutPhase.PROMOTING])
def test_workers_that_cannot_start_have_a_minute_from_when_it_was_seen_first(phase: RolloutPhase) -> None:
    first = moved(failing(phase, since=None, waiting_reason="CreateContainerConfigError"))
    assert (first.rollout.phase, first.rollout.failing_since) == (phase, NOW)
    assert first.look_again == NOW + 60 * SECOND
    soon = moved(failing(phase, since=59 * SECOND, waiting_reason="CreateContainerConfigError"))
    assert (soon.rollout.phase, soon.rollout.failing_since) == (phase, NOW - 59 * SECOND)


@pytest.mark.parametrize("phase", [RolloutPhase.CANARY, RolloutPhase.PROMOTING])
def test_a_crashing_worker_that_runs_for_a_moment_does_not_start_the_clock_again(phase: RolloutPhase) -> None:
    assert moved(failing(phase, since=30 * SECOND, restarts=1)).rollout.failing_since == NOW - 30 * SECOND
    assert moved(failing(phase, restarts=2)).rollout.phase is RolloutPhase.ROLLING_BACK
    assert "ended 2 times" in (moved(failing(phase, restarts=2)).rollout.reason or "")


@pytest.mark.parametrize("phase", [RolloutPhase.CANARY, RolloutPhase.PROMOTING])
@pytest.mark.parametrize("reason", ["ErrImagePull", "ImagePullBackOff", "RegistryUnavailable", "ErrImageNeverPull"])
def test_an_image_that_cannot_be_pulled_is_said_and_waits_for_the_deadline(phase: RolloutPhase, reason: str) -> None:
    move = moved(failing(phase, waiting_reason=reason))
    assert (move.rollout.phase, move.rollout.failing_since) == (phase, None)
    assert reason in (move.rollout.reason or "")
    assert move.look_again == NOW + timedelta(minutes=8)


@pytest.mark.parametrize("phase", [RolloutPhase.CANARY, RolloutPhase.PROMOTING])
def test_three_restarts_in_a_promotion_or_canary_are_enough(phase: RolloutPhase) -> None:
    move = moved(failing(phase, since=None, restarts=3, waiting_reason="CrashLoopBackOff"))
    assert move.rollout.phase is RolloutPhase.ROLLING_BACK
    assert "restarted 3 times (CrashLoopBackOff)" in (move.rollout.reason or "")


def test_workers_that_start_after_all_are_forgiven() -> None:
    status = a_status(a_rollout(RolloutPhase.CANARY, **STARTING, failing_since=NOW - 59 * SECOND))
    assert moved(a_canary_world(status=status)).rollout.failing_since is None


def test_a_pause_forgives_what_could_not_start() -> None:
    world = failing(RolloutPhase.CANARY, waiting_reason="CreateContainerConfigError")
    assert moved(replace(world, pauses=(a_pause(),))).rollout.failing_since is None


def test_a_first_version_that_cannot_start_stays() -> None:
    world = failing(RolloutPhase.PROMOTING, waiting_reason="CreateContainerConfigError")
    first = a_rollout(RolloutPhase.PROMOTING, **STARTING, stable_revision=None, failing_since=NOW - 60 * SECOND)
    move = moved(replace(world, status=a_status(first)))
    assert move.rollout.phase is RolloutPhase.PROMOTING
    assert "CreateContainerConfigError" in (move.rollout.reason or "")


@pytest.mark.parametrize(
    ("stable", "to"),
    [
        pytest.param({"waiting_reason": "CreateContainerConfigError", "ready": False}, RolloutPhase.CANARY, id="alike"),
        pytest.param({"restarts": 1, "ready": False}, RolloutPhase.CANARY, id="crashing"),
        pytest.param({"restarts": 5}, RolloutPhase.CANARY, id="restarted of late"),
        pytest.param(
            {"restarts": 5, "started_at": NOW - timedelta(days=1)}, RolloutPhase.ROLLING_BACK, id="restarted long ago"
        ),
        pytest.param({}, RolloutPhase.ROLLING_BACK, id="sound"),
    ],
)
def test_what_stable_suffers_too_is_not_the_release(stable: dict[str, Any], to: RolloutPhase) -> None:
    world = failing(RolloutPhase.CANARY, waiting_reason="CreateContainerConfigError")
    world = replace(world, stable=a_workload(8, pods=pods(1, **stable) + pods(7)))
    assert moved(world).rollout.phase is to
    if to is RolloutPhase.CANARY:
        assert moved(world).look_again == NOW + timedelta(minutes=8), "a time that is over is not looked at again"


@pytest.mark.parametrize("phase", [RolloutPhase.CANARY, RolloutPhase.PROMOTING])
def test_what_excuses_a_release_no_longer_is_looked_at_again_then(phase: RolloutPhase) -> None:
    """Nothing else would bring it about: no pod changes when stable's restarts are ten minutes old."""
    old = pods(1, restarts=5, started_at=NOW - timedelta(minutes=7))
    world = failing(phase, waiting_reason="CreateContainerConfigError")
    assert world.stable is not None
    move = moved(replace(world, stable=replace(world.stable, pods=(*world.stable.pods, *old))))
    assert (move.rollout.phase, move.look_again) == (phase, NOW + timedelta(minutes=3))


def test_a_canary_that_dies_as_stable_does_is_not_to_blame() -> None:
    dying = pods(2, role="canary", revision=NEW, ready=False, restarts=3)
    stable = a_workload(8, pods=pods(8, restarts=5))
    world = a_canary_world(stable=stable, canary=a_workload(2, role="canary", revision=NEW, ready=0, pods=dying))
    assert moved(world).rollout.phase is RolloutPhase.CANARY
