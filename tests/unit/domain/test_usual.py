"""Warnings that the stable version has as well: what is as much, and that they hold neither a step nor a bake."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from crm_operator.api.v1alpha1 import Guard, GuardBaseline, GuardState, RolloutPhase
from crm_operator.domain import usual
from crm_operator.domain.blame import Past
from crm_operator.domain.decide import decide
from crm_operator.domain.guards import evaluate
from crm_operator.domain.rollout import advance
from crm_operator.domain.world import Evidence, Reading, Recent, Unknown, World
from tests.unit.domain.builders import (
    GOOD,
    NEW,
    NOW,
    a_canary_world,
    a_guard,
    a_rollout,
    a_spec,
    a_status,
    a_workload,
    a_world,
)

WINDOW = timedelta(minutes=5)
LATENCY = a_guard(reduce="Last", window=None, warning={"above": 2}, critical={"above": 5})
LONG = timedelta(hours=1)


def reading(value: float, jobs: float | None = None, *, samples: int = 2, **parts: Any) -> Reading:
    recent = () if jobs is None else (Recent(WINDOW, value, jobs),)
    return Reading(value, samples=samples, at=NOW, recent=recent, **parts)


@pytest.mark.parametrize(
    ("guard", "mine", "other", "ran", "as_much"),
    [
        pytest.param(a_guard(), reading(3, 600), reading(12, 2400), LONG, True, id="as often"),
        pytest.param(a_guard(), reading(3, 600), reading(4, 2400), LONG, True, id="three times, of so few: chance"),
        pytest.param(a_guard(), reading(9, 600), reading(4, 2400), LONG, False, id="nine times as often"),
        pytest.param(a_guard(), reading(1, 600), reading(0, 2400), LONG, False, id="stable has none"),
        pytest.param(a_guard(), reading(3, samples=2), reading(12, samples=8), LONG, True, id="by pod"),
        pytest.param(
            a_guard(), reading(6, samples=2), reading(12, samples=8), timedelta(seconds=30), False, id="by pod and time"
        ),
        pytest.param(LATENCY, reading(3), reading(2.5), LONG, True, id="slow as well"),
        pytest.param(LATENCY, reading(3), reading(2), LONG, False, id="stable is not above the limit"),
        pytest.param(LATENCY, reading(4.9), reading(2.1), LONG, False, id="more than twice as slow"),
        pytest.param(LATENCY, reading(3), reading(2.5, previous=1), LONG, False, id="stable was slow once"),
        pytest.param(
            a_guard(), reading(3, 600, lower_bound=Unknown("young")), reading(12, 2400), LONG, False, id="at least 3"
        ),
    ],
)
def test_what_stable_has_as_well(guard: Guard, mine: Reading, other: Reading, ran: timedelta, *, as_much: bool) -> None:
    assert usual.beside(guard, mine, other, ran=ran) is as_much


def did(events: int | None = None, *, jobs: int | None = None, level: str | None = None) -> GuardBaseline:
    return GuardBaseline(guard="sync-errors", events=events, jobs=jobs, level=level, seconds=3600, time=NOW)


@pytest.mark.parametrize(
    ("guard", "mine", "past", "as_much"),
    [
        pytest.param(a_guard(), reading(2, 3000), did(12, jobs=36_000), True, id="1 a window, 2 now"),
        pytest.param(a_guard(), reading(3, 3000), did(12, jobs=36_000), True, id="3 now is chance"),
        pytest.param(a_guard(), reading(5, 3000), did(12, jobs=36_000), False, id="5 now is not"),
        pytest.param(a_guard(), reading(5, 3000), did(12, jobs=36_000, level="5"), True, id="it comes in bursts"),
        pytest.param(a_guard(), reading(1, 3000), did(0, jobs=36_000, level="0"), False, id="it never failed"),
        pytest.param(a_guard(), reading(1, 3000), None, False, id="nothing is known"),
        pytest.param(LATENCY, reading(3), did(level="2.5"), True, id="slow as before"),
        pytest.param(LATENCY, reading(3), did(level="1.9"), False, id="it was not above the limit"),
        pytest.param(LATENCY, reading(4.5), did(level="2.2"), False, id="more than twice as slow"),
        pytest.param(LATENCY, reading(3), did(), False, id="too little was seen"),
    ],
)
def test_what_the_version_before_had(guard: Guard, mine: Reading, past: GuardBaseline | None, *, as_much: bool) -> None:
    assert usual.before(guard, mine, None if past is None else Past(past, LONG)) is as_much


def in_canary(mine: Reading, other: Reading | Unknown) -> World:
    """The first step, its hold over."""
    sides: dict[str, Reading | Unknown] = {NEW: mine, GOOD: other}
    return a_canary_world(evidence={"sync-errors": Evidence(by_revision=sides, overall=mine)})


def in_bake(mine: Reading, past: GuardBaseline | None, *, guard: Guard | None = None) -> World:
    """A bake whose time is over."""
    baseline = [] if past is None else [past]
    status = a_status(a_rollout(RolloutPhase.BAKING, step_start_time=NOW - timedelta(minutes=10), baseline=baseline))
    parts = {} if guard is None else {"spec": a_spec(guards=[guard.to_wire()])}
    evidence = {"sync-errors": Evidence(by_revision={NEW: mine} if guard is None else {}, overall=mine)}
    return a_world(status=status, stable=a_workload(10, revision=NEW), evidence=evidence, **parts)


def test_a_step_ends_although_both_versions_make_the_guard_warn() -> None:
    ends = in_canary(reading(2, 600), reading(8, 2400, samples=8))
    assert advance(ends, evaluate(ends)).rollout.step == 1
    (verdict,) = evaluate(ends)
    assert (verdict.state, verdict.usual) == (GuardState.WARNING, True), "it is still shown"
    assert verdict.message.endswith("+8 on stable, no more than stable has as well")


@pytest.mark.parametrize(
    "world",
    [
        pytest.param(in_canary(reading(9, 600), reading(8, 2400, samples=8)), id="clearly more than stable"),
        pytest.param(in_canary(reading(1, 600), Unknown("stale", "Stale")), id="stable not read"),
    ],
)
def test_a_step_waits_while_a_warning_is_the_releases_own(world: World) -> None:
    rollout = advance(world, evaluate(world)).rollout
    assert (rollout.phase, rollout.step) == (RolloutPhase.CANARY, 0)
    assert "guard sync-errors is Warning" in (rollout.reason or "")


@pytest.mark.parametrize("errors", [1, 3])
def test_a_bake_ends_although_the_guard_warns_as_before(errors: float) -> None:
    ends = in_bake(reading(errors, 3000, samples=10), did(12, jobs=36_000))
    plan = decide(ends)
    assert plan.status.rollout is not None
    assert plan.status.rollout.phase is RolloutPhase.STABLE
    ended = next(decision for decision in plan.status.decisions if decision.what == "Completed")
    assert "guard sync-errors is Warning" in ended.why, "what is not quiet is told"
    assert "no more than what the version before had (12 in 36000 jobs, 1h)" in ended.why


@pytest.mark.parametrize("past", [did(12, jobs=36_000), None], ids=["clearly more than before", "nothing is known"])
def test_a_bake_begins_again_while_a_warning_is_the_releases_own(past: GuardBaseline | None) -> None:
    world = in_bake(reading(5, 3000, samples=10), past)
    rollout = advance(world, evaluate(world)).rollout
    assert (rollout.phase, rollout.step_start_time) == (RolloutPhase.BAKING, None)


@pytest.mark.parametrize(("level", "ends"), [("300", True), ("190", False), (None, False)])
@pytest.mark.parametrize("phase", [RolloutPhase.CANARY, RolloutPhase.BAKING])
def test_a_long_queue_holds_only_what_began_without_one(phase: RolloutPhase, level: str | None, *, ends: bool) -> None:
    queue = Guard.model_validate(
        {"name": "sync-errors", "metric": {"from": "queue", "name": "waiting"}, "reduce": "Last"}
        | {"warning": {"above": 200}}
    )
    world = in_bake(reading(400, previous=400), did(level=level), guard=queue)
    if phase is RolloutPhase.CANARY:
        status = a_status(a_rollout(phase, baseline=[did(level=level)]))
        canary = a_workload(2, role="canary", revision=NEW)
        world = replace(world, status=status, stable=a_workload(8), canary=canary)
    was = world.status.rollout
    assert was is not None
    rollout = advance(world, evaluate(world)).rollout
    assert ((rollout.phase, rollout.step) != (was.phase, was.step)) is ends
