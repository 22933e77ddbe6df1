"""A growth that breaks connections is taken back, and remembered."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from crm_operator.api.v1alpha1 import (
    CeilingStatus,
    CrmIntegrationStatus,
    GrowthStatus,
    GuardState,
    GuardStatus,
    RolloutPhase,
    ScalingStatus,
)
from crm_operator.domain.decide import decide
from crm_operator.domain.plan import CreatePause, SetReplicas
from crm_operator.domain.world import Evidence, World
from tests.unit.domain.builders import (
    GOOD,
    NOW,
    a_canary_world,
    a_guard,
    a_pause,
    a_queue,
    a_rollout,
    a_spec,
    a_status,
    a_workload,
    a_world,
    read,
)

MINUTE = timedelta(minutes=1)
GUARD = a_guard(
    name="connections",
    metric={"from": "pods", "name": "connection_failures"},
    window="10m",
    warning=None,
    critical={"above": 5},
)
FAILS = {"connections": Evidence(overall=read(7, samples=16))}
CALM = {"connections": Evidence(overall=read(0, samples=16))}
SPEC = a_spec(guards=[GUARD.to_wire()], onCritical={"pause": True})


def remembered(
    *, grew: timedelta | None = timedelta(seconds=30), ceiling: CeilingStatus | None = None, **parts: Any
) -> CrmIntegrationStatus:
    """Sixteen workers are wanted; there were four until `grew` ago."""
    growth = None if grew is None else GrowthStatus(from_=4, time=NOW - grew)
    scaling = ScalingStatus(job_duration_milliseconds=400, growth=growth, ceiling=ceiling)
    fields: dict[str, Any] = {"desired": 16, "scaling": scaling}
    return a_status(**(fields | parts))


def grown(**parts: Any) -> World:
    fields: dict[str, Any] = {
        "target": GOOD,
        "spec": SPEC,
        "status": remembered(),
        "stable": a_workload(16),
        "queue": a_queue(160),
        "evidence": FAILS,
    }
    return a_world(**(fields | parts))


def a_ceiling(*, ends_in: timedelta = 5 * MINUTE, lasted: timedelta = 12 * MINUTE) -> CeilingStatus:
    until = NOW + ends_in
    return CeilingStatus(size=4, broke_at=16, guard="connections", time=until - lasted, until_time=until)


def ceiling_of(world: World) -> CeilingStatus | None:
    scaling = decide(world).status.scaling
    return None if scaling is None else scaling.ceiling


def sizes(world: World) -> list[int]:
    return [action.replicas for action in decide(world).actions if isinstance(action, SetReplicas)]


def test_failures_right_after_a_growth_take_it_back() -> None:
    world = grown()
    plan = decide(world)
    assert sizes(world) == [4]
    assert ceiling_of(world) == CeilingStatus(
        size=4, broke_at=16, guard="connections", time=NOW, until_time=NOW + 12 * MINUTE
    )
    (told,) = [decision for decision in plan.status.decisions if decision.what == "SteppedBack"]
    assert told.why == (
        "guard connections: connection_failures +7 > 5 in 10m, 30 s after the workers grew from 4 to 16; "
        "no more than 4 for 12m"
    )
    assert (told.from_, told.to) == ("16", "4")
    scaled = next(condition for condition in plan.status.conditions if condition.type == "Scaled")
    assert (scaled.status, scaled.reason) == ("False", "SteppedBack")
    assert scaled.message == (
        "16 workers are wanted; 16 broke connections (guard connections), so no more than 4 until 03:12:00"
    )


def test_it_answers_the_guard_so_that_nothing_is_paused() -> None:
    plan = decide(grown())
    assert [guard.answer for guard in plan.status.guards if guard.name == "connections"] == ["StepBack"]
    assert CreatePause not in [type(action) for action in plan.actions]


@pytest.mark.parametrize(
    "parts",
    [
        pytest.param({"status": remembered(grew=timedelta(minutes=2, seconds=1))}, id="the growth is long ago"),
        pytest.param({"status": remembered(grew=None)}, id="nothing grew"),
        pytest.param({"status": remembered(desired=4)}, id="it has shrunk again"),
        pytest.param(
            {
                "status": remembered(
                    guards=[GuardStatus(name="connections", state=GuardState.CRITICAL, since=NOW - 5 * MINUTE)]
                )
            },
            id="the trouble is older than the growth",
        ),
        pytest.param({"evidence": CALM}, id="no trouble"),
        pytest.param({"pauses": (a_pause(),)}, id="paused"),
        pytest.param({"spec": a_spec(guards=[a_guard(name="connections").to_wire()])}, id="a guard on something else"),
    ],
)
def test_what_does_not_step_back(parts: dict[str, Any]) -> None:
    assert ceiling_of(grown(**parts)) is None


def test_in_a_rollout_the_release_is_judged_instead() -> None:
    world = a_canary_world(
        spec=SPEC, status=remembered(rollout=a_rollout(RolloutPhase.CANARY)), evidence=FAILS, queue=a_queue(160)
    )
    assert ceiling_of(world) is None


def test_a_size_that_came_from_nothing_is_halved_and_the_minimum_is_kept() -> None:
    scaling = ScalingStatus(job_duration_milliseconds=400, growth=GrowthStatus(from_=0, time=NOW))
    assert sizes(grown(status=a_status(desired=15, scaling=scaling), stable=a_workload(15))) == [8]
    least = {"maxReplicas": 20, "minReplicas": 6, "backlogPerReplica": 10}
    assert sizes(grown(spec=SPEC.model_copy(update={"scaling": a_spec(scaling=least).scaling}))) == [6]


def test_the_ceiling_holds_for_its_time_and_longer_while_its_guard_is_critical() -> None:
    capped = grown(status=remembered(ceiling=a_ceiling(), desired=4), stable=a_workload(4), evidence=CALM)
    assert sizes(capped) == []
    plan = decide(capped)
    assert plan.requeue_after == 5 * MINUTE
    over = remembered(ceiling=a_ceiling(ends_in=-MINUTE), desired=4, grew=20 * MINUTE)
    assert sizes(replace(capped, status=over)) == [16]
    critical = [GuardStatus(name="connections", state=GuardState.CRITICAL, since=NOW - 15 * MINUTE)]
    still = over.model_copy(update={"guards": critical})
    assert sizes(replace(capped, status=still, evidence=FAILS)) == []


def test_a_step_back_that_did_not_help_leads_to_the_pause() -> None:
    was = [GuardStatus(name="connections", state=GuardState.CRITICAL, since=NOW - 15 * MINUTE, answer="StepBack")]
    status = remembered(ceiling=a_ceiling(ends_in=-MINUTE), desired=4, grew=20 * MINUTE, guards=was)
    plan = decide(grown(status=status, stable=a_workload(4)))
    assert CreatePause in [type(action) for action in plan.actions]


@pytest.mark.parametrize(
    ("lasted", "next_one"),
    [(12 * MINUTE, 24 * MINUTE), (24 * MINUTE, 48 * MINUTE), (48 * MINUTE, timedelta(hours=1))],
)
def test_the_next_one_lasts_twice_as_long_up_to_an_hour(lasted: timedelta, next_one: timedelta) -> None:
    again = grown(status=remembered(ceiling=a_ceiling(ends_in=-MINUTE, lasted=lasted)))
    ceiling = ceiling_of(again)
    assert ceiling is not None
    assert ceiling.until_time - ceiling.time == next_one


def test_it_is_forgotten_an_hour_after_its_end() -> None:
    assert ceiling_of(grown(status=remembered(ceiling=a_ceiling(ends_in=-59 * MINUTE)), evidence=CALM)) is not None
    assert ceiling_of(grown(status=remembered(ceiling=a_ceiling(ends_in=-60 * MINUTE)), evidence=CALM)) is None


def grew_at(world: World) -> tuple[int, datetime] | None:
    scaling = decide(world).status.scaling
    growth = None if scaling is None else scaling.growth
    return None if growth is None else (growth.from_, growth.time)


def test_growths_close_together_are_one() -> None:
    twenty = {"queue": a_queue(200), "evidence": CALM}
    assert grew_at(grown(**twenty)) == (4, NOW)
    late = {"status": remembered(grew=3 * MINUTE), **twenty}
    assert grew_at(grown(**late)) == (16, NOW)
    assert grew_at(grown(evidence=CALM)) == (4, NOW - timedelta(seconds=30)), "no growth, nothing new"
