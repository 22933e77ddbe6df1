"""What the trusted version did before: which windows count, how they are kept, and what they explain."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from crm_operator.api.v1alpha1 import GuardBaseline, GuardState, GuardStatus, Phase, RolloutPhase
from crm_operator.domain import baseline
from crm_operator.domain.baseline import BaselineMemory
from crm_operator.domain.blame import Past, find
from crm_operator.domain.decide import decide
from crm_operator.domain.guards import evaluate
from crm_operator.domain.plan import EmitEvent
from crm_operator.domain.rollout import advance
from crm_operator.domain.world import Evidence, Reading, Recent, Unknown, World
from tests.unit.domain.builders import (
    GOOD,
    NEW,
    NOW,
    SECOND,
    a_guard,
    a_pause,
    a_rollout,
    a_spec,
    a_status,
    a_workload,
    a_world,
)

WINDOW = timedelta(minutes=5)
GUARD = a_guard(warning=None)
GAUGE = {key: value for key, value in a_guard().to_wire().items() if key != "window"} | {"reduce": "Last"}
RATE = a_guard(warning=None, reduce="Rate", critical={"above": 0.05})


def reading(errors: float, jobs: float | None = 3000, **parts: Any) -> Reading:
    return Reading(errors, samples=10, at=NOW, recent=(Recent(WINDOW, errors, jobs),), **parts)


def steady(
    found: Reading | Unknown, *, after: float = 0, phase: RolloutPhase = RolloutPhase.STABLE, **parts: Any
) -> World:
    """The stable version's reading, so many seconds later."""
    fields: dict[str, Any] = {
        "now": NOW + after * SECOND,
        "spec": a_spec(guards=[GUARD.to_wire()]),
        "status": a_status(a_rollout(phase)),
        "evidence": {"sync-errors": Evidence(by_revision={GOOD: found}, overall=found)},
    }
    return a_world(**(fields | parts))


def test_windows_that_do_not_overlap_are_summed() -> None:
    memory = BaselineMemory()
    assert memory.notice(steady(reading(8)))["sync-errors"].events == 8
    memory.notice(steady(reading(9), after=299))
    found = memory.notice(steady(reading(4), after=300))["sync-errors"]
    assert (found.events, found.jobs, found.seconds) == (12, 6000, 600)
    assert found.time == NOW + WINDOW


def test_only_the_last_hour_is_kept() -> None:
    memory = BaselineMemory()
    for minutes in range(0, 120, 5):
        found = memory.notice(steady(reading(minutes / 15), after=minutes * 60))
    assert found["sync-errors"].seconds == 3600


@pytest.mark.parametrize(
    "world",
    [
        pytest.param(steady(Unknown("stale", "Stale")), id="not read"),
        pytest.param(steady(reading(3, lower_bound=Unknown("not filled"))), id="in part"),
        pytest.param(steady(reading(11)), id="what an outage did"),
        pytest.param(steady(reading(3), pauses=(a_pause(),)), id="while paused"),
        pytest.param(steady(reading(3), phase=RolloutPhase.BAKING), id="in the bake of another"),
        pytest.param(steady(reading(3), spec=a_spec(guards=[GAUGE | {"warning": None}])), id="of a gauge without one"),
    ],
)
def test_what_is_no_baseline(world: World) -> None:
    assert BaselineMemory().notice(world) == {}


def test_of_a_gauge_the_highest_of_each_minute_is_kept_and_what_it_reached_twice() -> None:
    memory, spec = BaselineMemory(), a_spec(guards=[GAUGE])
    for second, value, previous in ((0, 2, 2), (30, 4, 3), (60, 7, 7), (90, 9, 1), (120, 5, 5), (150, 11, 11)):
        found = memory.notice(steady(reading(value, previous=previous), after=second, spec=spec))["sync-errors"]
    assert found.level == "5", "7 was reached once, 9 by a single sample, and 11 is Critical"
    assert (found.events, found.jobs, found.seconds) == (None, None, 180)


def test_beside_a_canary_only_the_stable_version_counts() -> None:
    memory = BaselineMemory()
    both = Evidence(by_revision={GOOD: reading(3), NEW: reading(9)}, overall=reading(12))
    world = steady(reading(0), phase=RolloutPhase.CANARY, evidence={"sync-errors": both})
    assert memory.notice(world)["sync-errors"].events == 3
    mixed = steady(reading(0), phase=RolloutPhase.CANARY, evidence={"sync-errors": Evidence(overall=reading(3))})
    assert BaselineMemory().notice(mixed) == {}, "a value of both versions"


def test_it_begins_anew_with_another_version_or_an_edited_guard() -> None:
    memory = BaselineMemory()
    memory.notice(steady(reading(8)))
    edited = a_spec(guards=[a_guard(warning=None, metric={"from": "pods", "name": "others_total"}).to_wire()])
    assert memory.notice(steady(Unknown("no"), after=1, spec=edited)) == {}
    memory.notice(steady(reading(8)))
    other = a_status(a_rollout(stable_revision=NEW))
    assert memory.notice(steady(Unknown("no"), after=1, status=other)) == {}


def test_a_rate_is_counted_as_its_events() -> None:
    world = steady(reading(0.02), spec=a_spec(guards=[RATE.to_wire()]))
    assert BaselineMemory().notice(world)["sync-errors"].events == 6


def test_a_worker_that_claims_any_number_breaks_nothing() -> None:
    lax = a_spec(guards=[a_guard(warning=None, critical={"above": 1e15}).to_wire()])
    found = BaselineMemory().notice(steady(reading(1e15, float("inf")), spec=lax))["sync-errors"]
    assert (found.events, found.jobs) == (10**15, 2**53)


def did(events: int, *, jobs: int | None = 36_000, seconds: int = 3600, hours_ago: float = 0) -> GuardBaseline:
    time = NOW - timedelta(hours=hours_ago)
    return GuardBaseline(guard="sync-errors", events=events, jobs=jobs, seconds=seconds, time=time)


@pytest.mark.parametrize(
    ("errors", "jobs", "past", "ran", "explained"),
    [
        pytest.param(13, 3000, did(96), 900, True, id="8 a window, 13 now"),
        pytest.param(16, 3000, did(96), 900, True, id="twice as often is as well"),
        pytest.param(40, 3000, did(96), 900, False, id="five times as often"),
        pytest.param(11, 600, did(96), 900, True, id="in a fifth of the jobs, of so few"),
        pytest.param(16, 600, did(96), 900, False, id="and beyond chance"),
        pytest.param(11, 3000, did(0), 900, False, id="it never failed"),
        pytest.param(11, 3000, did(1), 900, False, id="it failed once an hour"),
        pytest.param(11, 3000, did(4, jobs=2900, seconds=300), 900, False, id="too little is known"),
        pytest.param(13, None, did(96, jobs=None), 900, True, id="by time, a whole window"),
        pytest.param(20, None, did(96, jobs=None), 30, False, id="by time, and it has run for half a minute"),
        pytest.param(13, None, did(96), 900, True, id="the new version counts no jobs"),
        pytest.param(3000, 3000, did(9000), 900, False, id="so many that shares tell"),
        pytest.param(1500, 3000, did(9000), 900, True, id="so many, twice as often"),
    ],
)
def test_what_the_past_explains(
    errors: float, jobs: float | None, past: GuardBaseline, ran: float, *, explained: bool
) -> None:
    mine = reading(errors, jobs)
    assert Past(past, ran * SECOND).explains(GUARD, mine) is explained
    found = find(GUARD, mine, None, None, NOW, (), Past(past, ran * SECOND))
    assert (found.blame, found.by_chance) == (("undecided", True) if explained else ("revision", False))


def test_a_gauge_is_not_compared_with_the_past() -> None:
    assert not Past(did(96), 900 * SECOND).explains(a_guard(reduce="Last", window=None), reading(13))


def baking(errors: float, past: GuardBaseline | None, *, since: float = 600, overall: bool = False) -> World:
    """The bake's guard reads `errors`; it has baked for so many seconds, and the rollout began 10 minutes ago."""
    found = reading(errors)
    backend = a_guard(warning=None, metric={"from": "backend", "name": "sync_errors"})
    guard = backend if overall else GUARD
    rollout = a_rollout(
        RolloutPhase.BAKING, step_start_time=NOW - since * SECOND, baseline=[] if past is None else [past]
    )
    return a_world(
        status=a_status(rollout),
        stable=a_workload(10, revision=NEW),
        spec=a_spec(guards=[guard.to_wire()], metrics={"pods": {}, "backend": {"url": "http://backend:80/"}}),
        evidence={"sync-errors": Evidence(by_revision={} if overall else {NEW: found}, overall=found)},
    )


@pytest.mark.parametrize("overall", [False, True], ids=["of the version", "of all workers"])
@pytest.mark.parametrize(
    ("errors", "past", "phase"),
    [
        pytest.param(13, did(96), RolloutPhase.BAKING, id="as before"),
        pytest.param(40, did(96), RolloutPhase.ROLLING_BACK, id="five times as often"),
        pytest.param(13, None, RolloutPhase.ROLLING_BACK, id="nothing is known"),
        pytest.param(13, did(96, hours_ago=24), RolloutPhase.ROLLING_BACK, id="too long ago"),
        pytest.param(13, did(96, hours_ago=23), RolloutPhase.BAKING, id="not too long ago"),
    ],
)
def test_a_breach_in_the_bake_is_held_against_what_was_before(
    errors: float, past: GuardBaseline | None, phase: RolloutPhase, *, overall: bool
) -> None:
    world = baking(errors, past, overall=overall)
    move = advance(world, evaluate(world))
    assert move.rollout.phase is phase
    if phase is RolloutPhase.BAKING:
        assert "what the version before had (96 in 36000 jobs, 1h)" in (move.rollout.reason or "")


@pytest.mark.parametrize("overall", [False, True], ids=["of the version", "of all workers"])
@pytest.mark.parametrize(("minutes", "phase"), [(29, RolloutPhase.BAKING), (30, RolloutPhase.ROLLING_BACK)])
def test_what_lasts_for_six_windows_is_no_chance(minutes: int, phase: RolloutPhase, *, overall: bool) -> None:
    world = baking(16, did(96), overall=overall)
    since = NOW - timedelta(minutes=minutes)
    was = GuardStatus(name="sync-errors", state=GuardState.CRITICAL, since=since, blame="undecided")
    started = world.status.rollout
    assert started is not None
    rollout = started.model_copy(update={"start_time": NOW - timedelta(hours=1)})
    world = replace(world, status=a_status(rollout, guards=[was]))
    plan = decide(world)
    assert plan.status.rollout is not None
    assert plan.status.rollout.phase is phase
    if phase is RolloutPhase.ROLLING_BACK:
        assert "for 30m, longer than chance makes of what the version before had" in (plan.status.rollout.reason or "")


def test_a_bake_that_waits_for_chance_is_loud_and_says_how_it_ends() -> None:
    plan = decide(baking(16, did(96)))
    status = plan.status
    assert status.phase is Phase.DEGRADED
    ready = next(condition for condition in status.conditions if condition.type == "Ready")
    assert (ready.status, ready.reason) == ("False", "GuardCritical")
    for said in (ready.message, status.message or "", *(d.why for d in status.decisions if d.what == "GuardCritical")):
        assert "+16 > 10 in 5m" in said
        assert "what the version before had (96 in 36000 jobs, 1h)" in said
    (event,) = [a for a in plan.actions if isinstance(a, EmitEvent) and a.reason == "GuardCritical"]
    assert event.type == "Warning"
    assert status.next is not None
    assert status.next.time == NOW + timedelta(minutes=30)
    assert "rolled back, unless guard sync-errors was clear before" in status.next.what
    assert "kubectl crm abort hubspot -n crm" in status.next.what


def test_what_chance_explains_lets_the_bake_wait_and_not_begin_again() -> None:
    world = baking(13, did(96), since=10)
    during = advance(world, evaluate(world)).rollout
    assert during.step_start_time == NOW - 10 * SECOND
    assert during.phase is RolloutPhase.BAKING
    quiet = baking(9, did(96))
    assert advance(quiet, evaluate(quiet)).rollout.phase is RolloutPhase.STABLE


def test_the_past_is_recorded_when_a_rollout_begins_and_when_it_promotes() -> None:
    begins = steady(reading(8), baseline={"sync-errors": did(8, seconds=300)})
    started = advance(begins, evaluate(begins)).rollout
    assert started.phase is RolloutPhase.CANARY
    assert [item.events for item in started.baseline] == [8]
    ends = a_rollout(RolloutPhase.CANARY, step=1, baseline=started.baseline)
    canary = a_workload(2, role="canary", revision=NEW)
    sides = Evidence(by_revision={GOOD: reading(8), NEW: reading(2)}, overall=reading(10))
    world = replace(
        begins,
        status=a_status(ends),
        stable=a_workload(8),
        canary=canary,
        evidence={"sync-errors": sides},
        baseline={"sync-errors": did(17, seconds=600)},
    )
    promoted = advance(world, evaluate(world)).rollout
    assert promoted.phase is RolloutPhase.PROMOTING
    assert [item.events for item in promoted.baseline] == [17]
    assert evaluate(world)[0].state is GuardState.OK


def test_what_guards_counted_that_are_gone_is_dropped() -> None:
    """Twenty guards that were renamed in the canary are more than a status may hold."""
    old, new = ([f"{word}-{n}" for n in range(20)] for word in ("old", "new"))
    past = {name: did(8).model_copy(update={"guard": name}) for name in (*old, *new)}
    world = steady(
        reading(0),
        spec=a_spec(guards=[a_guard(name=name).to_wire() for name in new]),
        status=a_status(a_rollout(RolloutPhase.CANARY, baseline=[past[name] for name in old])),
        baseline={name: past[name] for name in new},
        target="cccccccccccccccc",
    )
    started = advance(world, ()).rollout
    assert started.candidate_revision == world.target
    assert [item.guard for item in started.baseline] == sorted(new)


def test_after_a_restart_the_record_may_know_more() -> None:
    recorded = [did(96, seconds=3600)]
    assert baseline.joined(recorded, {"sync-errors": did(8, seconds=300)}) == recorded
    assert baseline.joined(recorded, {"sync-errors": did(90, seconds=3600)}) == [did(90, seconds=3600)]
    assert baseline.joined(recorded, {}) == recorded
