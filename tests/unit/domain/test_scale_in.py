"""Who goes when a Deployment shrinks, what comes first, and for how long it may wait."""

import dataclasses
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crm_operator.api.names import LOWEST_DELETION_COST as MARK
from crm_operator.api.v1alpha1 import RolloutPhase
from crm_operator.domain.decide import SOONEST, decide
from crm_operator.domain.plan import ApplyTemplate, EmitEvent, SetDeletionCosts, SetReplicas, WriteStatus
from crm_operator.domain.scale_in import PATIENCE, READ_WITHIN, REFUSED, Hold, hold
from crm_operator.domain.world import Pod, QueueView, Shrink, Unknown, World
from tests.unit.domain.builders import (
    GOOD,
    NEW,
    NOW,
    a_canary_world,
    a_pause,
    a_reading,
    a_rollout,
    a_spec,
    a_status,
    a_workload,
    a_world,
    pods,
)

FORBIDDEN = Unknown("the operator has no right to patch pods", "Forbidden")
JUST_NOW = Shrink(since=NOW)
#: Who has not answered by now is not awaited any more.
WAITED = Shrink(since=NOW - READ_WITHIN)


def running(jobs: int, *, waiting: int = 0) -> QueueView:
    return QueueView(latest=a_reading(waiting, running=jobs), good_since=NOW - timedelta(hours=1))


def refused(*, ago: timedelta) -> Shrink:
    return Shrink(since=NOW, refused=FORBIDDEN, refused_at=NOW - ago)


def shrinking(*jobs: int | None, ready: int | None = None, **parts: Any) -> World:
    """One Ready pod p0, p1, ... for each of `jobs`; None was not read. `costs` by pod."""
    costs: dict[str, int] = parts.pop("costs", {})
    workers = tuple(
        dataclasses.replace(pod, name=f"p{n}", deletion_cost=costs.get(f"p{n}", 0))
        for n, pod in enumerate(pods(len(jobs)))
    )
    fields: dict[str, Any] = {
        "spec": a_spec(),
        "target": GOOD,
        "status": a_status(desired=len(jobs)),
        "stable": a_workload(len(jobs), pods=workers),
        "queue": running(sum(number or 0 for number in jobs)),
        "in_progress": {f"p{n}": number for n, number in enumerate(jobs) if number is not None},
        "in_progress_at": {f"p{n}": NOW for n, number in enumerate(jobs) if number is not None},
        "shrink": WAITED,
    }
    return a_world(**(fields | parts))


def held(world: World, replicas: int) -> Hold | None:
    assert world.stable is not None
    return hold(world, world.stable, replicas)


def marked(world: World, replicas: int) -> set[str]:
    """Pods that get the lowest cost; nothing else may be written."""
    found = held(world, replicas)
    assert found is not None
    assert set(found.costs.values()) == {MARK}
    return set(found.costs)


# -- who goes ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("jobs", "replicas", "going"),
    [
        pytest.param((0, 3, 0, 2), 2, {"p0", "p2"}, id="the idle ones"),
        pytest.param((1, 3, 0, 2), 1, {"p0", "p2", "p3"}, id="then those with the fewest jobs"),
        pytest.param((1, None, 0, 2), 3, {"p2"}, id="an idle one before one that was not read"),
        pytest.param((1, None, 2, 2), 3, {"p1"}, id="one that was not read before a busy one"),
        pytest.param((0, 3), 1, {"p0"}, id="two"),
    ],
)
def test_the_workers_with_the_fewest_jobs_go(jobs: tuple[int | None, ...], replicas: int, going: set[str]) -> None:
    assert marked(shrinking(*jobs), replicas) == going


def test_among_equals_the_fullest_node_gives_one_and_there_the_youngest() -> None:
    world = shrinking(0, 0, 0, 0, 5)
    assert world.stable is not None

    def at(pod: Pod, node: str, age: int) -> Pod:
        return dataclasses.replace(pod, node=node, started_at=NOW - timedelta(minutes=age))

    old, young, alone, full, busy = world.stable.pods
    workers = (at(old, "a", 9), at(young, "a", 1), at(alone, "b", 1), at(full, "a", 5), at(busy, "b", 1))
    world = dataclasses.replace(world, stable=dataclasses.replace(world.stable, pods=workers))
    assert marked(world, 4) == {young.name}
    assert marked(world, 3) == {young.name, full.name}


def test_a_pod_that_is_not_ready_goes_by_itself() -> None:
    world = shrinking(0, 3, 0)
    assert world.stable is not None
    extra = dataclasses.replace(world.stable.pods[0], name="starting", ready=False)
    world = dataclasses.replace(world, stable=dataclasses.replace(world.stable, pods=(*world.stable.pods, extra)))
    assert held(world, 3) is None
    assert marked(world, 2) <= {"p0", "p2"}


def test_a_pod_that_ends_already_is_not_counted() -> None:
    world = shrinking(0, 3, 0)
    assert world.stable is not None
    ending = dataclasses.replace(world.stable.pods[0], name="ending", terminating=True)
    world = dataclasses.replace(world, stable=dataclasses.replace(world.stable, pods=(ending, *world.stable.pods)))
    assert held(world, 3) is None
    assert len(marked(world, 2)) == 1


# -- when nothing is to be chosen --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("world", "replicas"),
    [
        pytest.param(shrinking(0, 3), 2, id="it does not shrink"),
        pytest.param(shrinking(0, 3), 0, id="all go"),
        pytest.param(shrinking(2, 2, 2), 1, id="all are equally busy"),
        pytest.param(shrinking(None, None), 1, id="nobody was read"),
        pytest.param(shrinking(0, 3, in_progress={}, in_progress_at={}), 1, id="workers are not scraped"),
        pytest.param(shrinking(0, 3, costs={"p0": MARK}), 1, id="the costs are right"),
        pytest.param(shrinking(0, 0, 0, costs={"p1": MARK}), 1, id="all are idle, and one has an old cost"),
        pytest.param(shrinking(0, 3, shrink=Shrink(since=NOW - PATIENCE)), 1, id="it took too long"),
        pytest.param(shrinking(0, 3, shrink=refused(ago=timedelta(0))), 1, id="costs were refused"),
    ],
)
def test_it_shrinks_at_once(world: World, replicas: int) -> None:
    assert held(world, replicas) is None


# -- readings ----------------------------------------------------------------------------------------------------------


def read_at(at: datetime, *jobs: int, **parts: Any) -> World:
    return shrinking(*jobs, in_progress_at={f"p{n}": at for n in range(len(jobs))}, **parts)


def test_workers_are_read_once_more_after_the_decision() -> None:
    assert held(shrinking(0, 3, shrink=Shrink()), 1) == Hold(), "decided just now"
    assert held(read_at(NOW - SOONEST, 0, 3, shrink=JUST_NOW), 1) == Hold()
    assert held(read_at(NOW, 0, 3, shrink=JUST_NOW), 1) == Hold(costs={"p0": MARK})


def test_idle_workers_are_read_once_more_too() -> None:
    """A job may have begun since, and the queue is read once a second as well."""
    assert held(read_at(NOW - SOONEST, 0, 0, queue=running(0), shrink=JUST_NOW), 1) == Hold()
    assert held(read_at(NOW, 0, 0, queue=running(0), shrink=JUST_NOW), 1) is None


def test_a_worker_that_does_not_answer_is_awaited_for_a_while_and_then_taken_at_its_last_word() -> None:
    before, after = NOW - READ_WITHIN, NOW - READ_WITHIN + SOONEST
    times = {"p0": before - SOONEST, "p1": NOW, "p2": NOW}
    assert held(shrinking(0, 3, 1, in_progress_at=times, shrink=Shrink(since=after)), 2) == Hold()
    assert held(shrinking(0, 3, 1, in_progress_at=times, shrink=Shrink(since=before)), 2) == Hold(costs={"p0": MARK})
    assert held(shrinking(None, 3, 0, shrink=Shrink(since=after)), 2) == Hold()
    assert held(shrinking(None, 3, 0, shrink=Shrink(since=before)), 2) == Hold(costs={"p2": MARK})


def test_a_refused_cost_is_tried_again_at_a_later_shrink() -> None:
    assert marked(shrinking(0, 3, shrink=refused(ago=PATIENCE)), 1) == {"p0"}


# -- costs of an earlier shrink ----------------------------------------------------------------------------------------


def test_an_old_cost_on_a_pod_that_is_busy_by_now_is_taken_off() -> None:
    assert held(shrinking(4, 3, 0, costs={"p0": MARK}), 2) == Hold(costs={"p2": MARK, "p0": None})


def test_an_old_cost_on_a_pod_that_is_still_idle_is_kept() -> None:
    assert held(shrinking(0, 3, 0, costs={"p2": MARK}), 2) is None
    assert marked(shrinking(0, 3, 0, 0, costs={"p2": MARK}), 2) <= {"p0", "p3"}


def test_a_cost_that_a_user_gave_does_not_protect_an_idle_pod_nor_is_it_touched_on_a_busy_one() -> None:
    assert held(shrinking(0, 3, costs={"p0": 1000, "p1": -1000}), 1) == Hold(costs={"p0": MARK})


# -- for all worlds ----------------------------------------------------------------------------------------------------

loads = st.lists(st.none() | st.integers(0, 5), min_size=1, max_size=12)


@st.composite
def shrinks(draw: st.DrawFn) -> tuple[World, int]:
    jobs = draw(loads)
    names = st.sampled_from([f"p{n}" for n in range(len(jobs))])
    costs = draw(st.dictionaries(names, st.sampled_from([MARK, 0, 7])))
    return shrinking(*jobs, costs=costs), draw(st.integers(0, len(jobs)))


def carried_out(world: World, costs: Any) -> World:
    assert world.stable is not None
    workers = tuple(
        dataclasses.replace(pod, deletion_cost=(costs[pod.name] or 0) if pod.name in costs else pod.deletion_cost)
        for pod in world.stable.pods
    )
    return dataclasses.replace(world, stable=dataclasses.replace(world.stable, pods=workers))


def taken_by_a_replica_set(world: World, replicas: int) -> list[Pod]:
    """The lowest costs first; among equals the worst for us, the busiest."""
    assert world.stable is not None
    order = sorted(world.stable.pods, key=lambda pod: (pod.deletion_cost, -world.in_progress.get(pod.name, 0)))
    return order[: len(order) - replicas]


@given(shrinks())
def test_after_one_write_of_costs_no_busier_worker_goes_than_one_that_stays(shrink: tuple[World, int]) -> None:
    world, replicas = shrink
    first = held(world, replicas)
    if first is not None:
        assert len(first.costs) <= len(pods_of(world))
        world = carried_out(world, first.costs)
        assert held(world, replicas) is None, "one write is enough"
    if not world.in_progress or not any(world.in_progress.values()):
        return
    going = {pod.name for pod in taken_by_a_replica_set(world, replicas)}
    staying = {pod.name for pod in pods_of(world)} - going
    worst_gone = max((world.in_progress.get(name, 0.5) for name in going), default=0)
    assert all(world.in_progress.get(name, 0.5) >= worst_gone for name in staying)


@given(shrinks())
def test_only_pods_that_go_are_marked_and_only_marks_are_taken_off(shrink: tuple[World, int]) -> None:
    world, replicas = shrink
    found = held(world, replicas)
    if found is None:
        return
    before = {pod.name: pod.deletion_cost for pod in pods_of(world)}
    assert all(before[name] == MARK for name, cost in found.costs.items() if cost is None)
    after = {name: found.costs.get(name, before[name]) for name in before}
    assert sum(cost == MARK for cost in after.values()) == len(before) - replicas


def pods_of(world: World) -> tuple[Pod, ...]:
    assert world.stable is not None
    return world.stable.pods


# -- in a plan ---------------------------------------------------------------------------------------------------------


def test_the_size_follows_in_a_later_pass_and_the_intent_is_recorded_before() -> None:
    world = shrinking(0, 2, 0, 2, 0, queue=running(4), shrink=Shrink())
    recorded = decide(world)
    assert [type(action) for action in recorded.actions] == [WriteStatus, EmitEvent]
    assert recorded.status.workers is not None
    assert recorded.status.workers.stable == 1
    assert recorded.requeue_after == SOONEST
    assert recorded.holds
    world = dataclasses.replace(world, status=recorded.status, shrink=JUST_NOW)
    chosen = decide(world)
    [action] = chosen.actions
    assert isinstance(action, SetDeletionCosts)
    assert len(action.costs) == 4
    assert (chosen.requeue_after, chosen.holds) == (SOONEST, True)
    last = decide(carried_out(world, action.costs))
    assert (last.requeue_after, last.holds) == (SOONEST, False)
    assert list(last.actions) == [SetReplicas(role="stable", replicas=1, was=5, why="4 jobs to do, 1 workers")]


def test_a_pause_waits_for_nobody() -> None:
    plan = decide(shrinking(0, 2, 0, 2, pauses=(a_pause(),)))
    assert [action.replicas for action in plan.actions if isinstance(action, SetReplicas)] == [0]


def test_a_rollback_waits_for_nobody() -> None:
    """A bad version in the stable Deployment, and fewer workers than it has are enough."""
    workers = pods(4, revision=NEW)
    world = shrinking(
        target=NEW,
        status=a_status(a_rollout(RolloutPhase.ROLLING_BACK), desired=4),
        stable=a_workload(4, revision=NEW, pods=workers),
        queue=running(4),
        in_progress={pod.name: n % 2 for n, pod in enumerate(workers)},
    )
    assert held(world, 1) is not None
    plan = decide(world)
    assert [action.replicas for action in plan.actions if isinstance(action, SetReplicas)] == [1]
    assert not any(isinstance(action, SetDeletionCosts) for action in plan.actions)


def test_a_canary_that_ends_waits_for_nobody() -> None:
    world = a_canary_world(
        status=a_status(a_rollout(RolloutPhase.ROLLING_BACK)),
        in_progress={"canary-" + NEW[:4] + "-0": 3, "canary-" + NEW[:4] + "-1": 0},
        queue=running(3),
    )
    assert any(isinstance(action, SetReplicas) and action.role == "canary" for action in decide(world).actions)


def test_nothing_grows_while_a_deployment_is_held() -> None:
    """The next step of a canary: 8 + 2 become 5 + 5, and the sum never exceeds what was allotted."""
    names = [f"stable-{GOOD[:4]}-{n}" for n in range(8)]
    busy = {name: n % 2 for n, name in enumerate(names)}
    world = a_canary_world(
        queue=running(4, waiting=96), in_progress=busy, in_progress_at=dict.fromkeys(busy, NOW), shrink=JUST_NOW
    )
    plan = decide(world)
    assert not any(isinstance(action, SetReplicas | ApplyTemplate) for action in plan.actions)
    costs = next(action for action in plan.actions if isinstance(action, SetDeletionCosts)).costs
    assert {busy[name] for name in costs} == {0}
    late = dataclasses.replace(world, status=plan.status, shrink=Shrink(since=NOW - PATIENCE))
    sizes = [(action.role, action.replicas) for action in decide(late).actions if isinstance(action, SetReplicas)]
    assert sizes == [("stable", 5), ("canary", 5)]


def test_a_refused_cost_is_said_once_in_the_condition_and_by_an_event() -> None:
    world = shrinking(2, 2, queue=running(4, waiting=16), shrink=refused(ago=timedelta(0)))
    first = decide(world)
    said = next(condition for condition in first.status.conditions if condition.type == "Scaled")
    assert REFUSED in said.message
    assert [d.what for d in first.status.decisions] == ["DeletionCostRefused"]
    events = [action for action in first.actions if isinstance(action, EmitEvent)]
    assert [(event.type, event.reason) for event in events] == [("Warning", "DeletionCostRefused")]
    again = decide(dataclasses.replace(world, status=first.status, now=NOW + timedelta(minutes=1)))
    assert not any(isinstance(action, EmitEvent) for action in again.actions)
    over = decide(dataclasses.replace(world, status=first.status, shrink=Shrink()))
    said = next(condition for condition in over.status.conditions if condition.type == "Scaled")
    assert REFUSED not in said.message
