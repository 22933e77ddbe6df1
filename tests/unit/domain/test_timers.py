"""A plan names the time at which time alone changes the decision: nobody else would look."""

from dataclasses import replace
from datetime import timedelta
from random import Random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from crm_operator.api.v1alpha1 import CrmIntegrationStatus, GuardState, GuardStatus
from crm_operator.domain import report
from crm_operator.domain.decide import decide
from crm_operator.domain.plan import ApplyTemplate, SetReplicas
from crm_operator.domain.world import Idle, Pause, QueueView, Unknown, World
from tests.unit.domain import transitions
from tests.unit.domain.builders import GOOD, NOW, SECOND, a_queue, a_refusal

#: How much later it is looked at, in seconds: around each time that the rules name, and between.
LATER = (1, 3, 5, 9, 11, 29, 31, 59, 61, 119, 121, 299, 301, 599, 601, 3599, 3601, 86_401)


@settings(max_examples=300, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_nothing_is_decided_between_two_looks_that_nobody_asked_for(seed: int) -> None:
    random = Random(seed)
    (world,) = transitions.worlds(1, seed)
    world = _disturbed(world, random)
    if isinstance(world.template, Unknown):
        return  # the loop itself asks the API server again, every few seconds
    world, again = _settled(world)
    for seconds in LATER:
        if again is not None and seconds * SECOND >= again:
            break
        later = replace(world, now=world.now + seconds * SECOND)
        status = decide(later).status
        why = report.worth_writing(world.status, status, later.now)
        assert why != "decision", f"seed {seed}, {seconds} s later: {_differences(world, later)}"


def _settled(world: World) -> tuple[World, timedelta | None]:
    """The world when the status says all that can be said now, and when its plan looks again."""
    for _ in range(10):
        plan = decide(world)
        if report.worth_writing(world.status, plan.status, world.now) != "decision":
            return world, plan.requeue_after
        world = replace(world, status=plan.status)
    raise AssertionError("it never settles")


def _differences(world: World, later: World) -> str:
    """What is decided that was not, in short."""
    before, after = _short(world.status), _short(decide(later).status)
    return "; ".join(f"{name}: {before[name]} -> {after[name]}" for name in before if before[name] != after[name])


def _short(status: CrmIntegrationStatus) -> dict[str, object]:
    rollout = status.rollout
    return {
        "phase": status.phase,
        "rollout": None if rollout is None else rollout.model_copy(update={"reason": None}),
        "guards": [(guard.name, guard.state, guard.blame, guard.answer) for guard in status.guards],
        "conditions": [(item.type, item.status, item.reason) for item in status.conditions],
        "decisions": [decision.what for decision in status.decisions],
        "workers": status.workers,
        "scaling": status.scaling,
        "sync": status.sync,
        "pause": status.automatic_pause,
    }


def _disturbed(world: World, random: Random) -> World:
    """With more of what can begin and end by time."""
    parts: dict[str, Any] = {}
    if random.random() < 0.3:
        parts["pauses"] = (Pause(name="p", reason="r", since=NOW, expires=NOW + random.choice((5, 600)) * SECOND),)
    if random.random() < 0.3:
        template = ApplyTemplate(role="stable", revision=GOOD, replicas=1, urgent=True, why="")
        parts["refused"] = a_refusal(random.choice((template, SetReplicas(role="stable", replicas=1, was=0, why=""))))
    if random.random() < 0.3:
        since = NOW - random.choice((0, 30, 59, 600)) * SECOND
        idle = Idle(since=since, empty_handed=random.choice((None, since)), finished=random.choice((None, 0, 7)))
        parts["idle"] = {revision: idle for revision in _ready(world) if random.random() < 0.7}
    if random.random() < 0.3:
        parts["queue"] = QueueView(latest=a_queue(random.choice((0, 100))).latest, good_since=NOW)
    if random.random() < 0.3 and world.stable is not None:
        restarts = random.choice((1, 3))
        began = NOW - random.choice((1, 599, 700)) * SECOND
        pods = tuple(
            replace(pod, restarts=restarts, started_at=began) if random.random() < 0.3 else pod
            for pod in world.stable.pods
        )
        parts["stable"] = replace(world.stable, pods=pods)
    status = world.status
    if random.random() < 0.4:
        guard = GuardStatus(
            name="sync-errors",
            state=random.choice(list(GuardState)),
            since=NOW - random.choice((0, 3, 299, 600)) * SECOND,
            blame=random.choice((None, "provider", "undecided", "revision")),
            answer=random.choice((None, "Pause", "Rollback", "StepBack")),
            stable_clear_time=random.choice((None, NOW)),
        )
        status = status.model_copy(update={"guards": [guard]})
    return replace(world, status=status, **parts)


def _ready(world: World) -> list[str]:
    """Versions with a Ready worker."""
    workloads = [workload for workload in (world.stable, world.canary) if workload is not None]
    return sorted({pod.revision for workload in workloads for pod in workload.pods if pod.ready})
