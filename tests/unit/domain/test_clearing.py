"""A guard keeps its state until its value was better for a minute; what it keeps only holds."""

import itertools
import random
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crm_operator.api.v1alpha1 import (
    Answer,
    AutomaticPauseState,
    AutomaticPauseStatus,
    Guard,
    GuardBaseline,
    GuardState,
    GuardStatus,
    RolloutPhase,
)
from crm_operator.domain.clearing import CLEAN, kept_for
from crm_operator.domain.decide import decide
from crm_operator.domain.guards import evaluate
from crm_operator.domain.plan import CreatePause, EmitEvent, Plan
from crm_operator.domain.verdict import Verdict, recorded
from crm_operator.domain.world import Evidence, Over, Reading, Recent, Unknown, World
from tests.unit.domain.builders import (
    GOOD,
    NEW,
    NOW,
    SECOND,
    a_canary_world,
    a_guard,
    a_rollout,
    a_spec,
    a_status,
    a_workload,
    a_world,
    pods,
    read,
)

OK, WARNING, CRITICAL, UNKNOWN = GuardState.OK, GuardState.WARNING, GuardState.CRITICAL, GuardState.UNKNOWN
LIMITS: dict[str, Any] = {"reduce": "Last", "window": None, "warning": {"above": 5}, "critical": {"above": 10}}
DEAD = a_guard(name="dead-letters", metric={"from": "queue", "name": "dead"}, **LIMITS)
LATENCY = a_guard(name="latency", metric={"from": "pods", "name": "latency"}, **LIMITS)


def dead(value: float | Unknown) -> dict[str, Evidence]:
    """The same in the look before, so that it counts."""
    return {DEAD.name: Evidence(overall=value if isinstance(value, Unknown) else read(value, previous=value))}


#: One that counts in a window, and one whose window is shorter than a minute.
ERRORS = a_guard(name="errors", warning={"above": 5}, critical={"above": 10}, window="5m")
SHORT = a_guard(name="errors", warning={"above": 5}, critical={"above": 10}, window="20s")


def steady(value: float | Unknown, was: GuardStatus | None = None, **spec: Any) -> World:
    spec = {"guards": [DEAD.to_wire()], **spec}
    guards = [] if was is None else [was]
    return a_world(target=GOOD, spec=a_spec(**spec), evidence=dead(value), status=a_status(guards=guards))


def followed(values: Iterable[float | Unknown], *, every: timedelta = 10 * SECOND, guard: Guard = DEAD) -> list[Plan]:
    """One look at each value, each from the status that the one before wrote."""
    world, plans = steady(0, guards=[guard.to_wire()]), []
    for n, value in enumerate(values):
        world = replace(world, evidence={guard.name: dead(value)[DEAD.name]}, now=NOW + n * every)
        plans.append(decide(world))
        world = replace(world, status=plans[-1].status)
    return plans


def states(plans: Iterable[Plan]) -> list[str]:
    return [plan.status.guards[0].state.value for plan in plans]


def events(plans: Iterable[Plan]) -> list[str]:
    return [a.reason for plan in plans for a in plan.actions if isinstance(a, EmitEvent) and a.reason != "Scaled"]


def test_it_is_clear_after_a_clean_minute() -> None:
    plans = followed([12, *[0] * 7])
    assert states(plans) == ["Critical"] * 7 + ["OK"]
    first = plans[1].status.guards[0]
    assert first.clear_time == NOW + 10 * SECOND
    assert (first.value, first.threshold) == ("0", "5")
    assert first.message == "dead 0 <= 5; Critical until that has lasted 1m, at 03:01:10"
    assert plans[-1].status.guards[0].clear_time is None
    assert plans[-1].status.guards[0].since == NOW + 70 * SECOND


def test_a_guard_with_a_window_keeps_its_state_as_well() -> None:
    plans = followed([12, *[0] * 7], guard=ERRORS)
    assert states(plans) == ["Critical"] * 7 + ["OK"]
    message = plans[1].status.guards[0].message or ""
    assert message.endswith("+0 <= 5 in 5m; Critical until that has lasted 1m, at 03:01:10")


def test_a_window_that_is_shorter_than_a_minute_is_enough() -> None:
    plans = followed([12, *[0] * 7], guard=SHORT)
    assert states(plans) == ["Critical"] * 3 + ["OK"] * 5
    then = plans[1].status.next
    assert then is not None
    assert (then.what, then.time) == ("Healthy when guard errors was clear for 20s", NOW + 30 * SECOND)


@given(values=st.lists(st.sampled_from([0, 10, 11]), max_size=40), guard=st.sampled_from([DEAD, ERRORS, SHORT]))
def test_it_never_turns_for_the_better_without_a_clean_time(values: list[float], guard: Guard) -> None:
    """... and always does after one: in whatever order values come, one each ten seconds."""
    looks = kept_for(guard) // (10 * SECOND)
    alone = guard.model_copy(update={"warning": None})
    for n, state in enumerate(states(followed(values, guard=alone))):
        assert state == ("Critical" if max(values[max(0, n - looks) : n + 1]) > 10 else "OK"), n


def test_a_rate_at_its_limit_tells_seldom() -> None:
    """Ten errors in five minutes on average, as many as the limit, for two hours: each event may turn the value."""
    dice, times = random.Random(1), [-300.0]
    while times[-1] < 7200:
        times.append(times[-1] + dice.expovariate(10 / 300))
    seconds = range(0, 7200, 5)
    values = [sum(at - 300 < time <= at for time in times) for at in seconds]
    turns = sum(old <= 10 < new for old, new in itertools.pairwise(values))
    told = events(followed(values, every=5 * SECOND, guard=ERRORS)).count("GuardCritical")
    assert turns > 20
    assert 1 <= told < 0.6 * turns


def test_the_status_says_when() -> None:
    then = followed([12, 0])[-1].status.next
    assert then is not None
    assert (then.what, then.time) == ("Healthy when guard dead-letters was clear for 1m", NOW + 10 * SECOND + CLEAN)


def test_a_value_that_swings_around_its_limit_turns_once_and_tells_once() -> None:
    plans = followed([12, 0] * 20)
    assert set(states(plans)) == {"Critical"}
    assert events(plans) == ["GuardCritical"]


def test_what_is_above_again_begins_the_minute_anew() -> None:
    plans = followed([12, 0, 0, 0, 0, 12, *[0] * 7])
    assert states(plans) == ["Critical"] * 12 + ["OK"]


def test_what_falls_to_a_warning_becomes_one_after_the_minute() -> None:
    plans = followed([12, *[7] * 7])
    assert states(plans) == ["Critical"] * 7 + ["Warning"]
    assert plans[1].status.guards[0].message == "dead 7 > 5; Critical until that has lasted 1m, at 03:01:10"
    assert events(plans) == ["GuardCritical"], "a warning that was critical is no news"


def test_what_rises_counts_at_once() -> None:
    assert states(followed([7, 12])) == ["Warning", "Critical"]


def test_what_cannot_be_read_is_unknown_and_forgets() -> None:
    lost = Unknown("connection refused", "ConnectionRefused")
    assert states(followed([12, lost, 0])) == ["Critical", "Unknown", "OK"]


def test_what_is_above_again_but_not_often_enough_forgets_nothing() -> None:
    """Of a guard with `breaches`: a short run is no breach, and no value that cannot be told."""
    world = steady(0, guards=[DEAD.to_wire() | {"breaches": {"consecutive": 3}}])
    found = []
    for n, (value, running) in enumerate([(12, 3), (0, 0), (12, 1), (0, 0), (12, 1), (0, 0), (0, 0), (0, 0), (12, 1)]):
        reading = replace(read(value, previous=value), over=Over(warning=running, critical=running))
        world = replace(world, evidence={DEAD.name: Evidence(overall=reading)}, now=NOW + n * 10 * SECOND)
        world = replace(world, status=decide(world).status)
        found.append(world.status.guards[0].state.value)
    assert found == ["Critical"] * 7 + ["OK", "Unknown"]


def test_a_look_too_many_changes_nothing() -> None:
    """The kept state is of stored times, so how often it is looked at does not matter."""

    def ended(plans: Iterable[Plan]) -> datetime:
        return next(guard.since for guard in (plan.status.guards[0] for plan in plans) if guard.state is OK)

    assert ended(followed([12, *[0] * 70], every=SECOND)) == NOW + SECOND + CLEAN
    assert ended(followed([12, *[0] * 7])) == NOW + 10 * SECOND + CLEAN


def the_latency(state: GuardState, revision: str, clear_time: datetime | None = None) -> GuardStatus:
    """As it was in status ten seconds before."""
    return GuardStatus(
        name="latency", state=state, since=NOW - 10 * SECOND, clear_time=clear_time, revision=revision, value="12"
    )


@pytest.mark.parametrize(
    ("revision", "state"),
    [
        pytest.param(NEW, CRITICAL, id="the new version's own"),
        pytest.param(GOOD, OK, id="stable's trouble is not the new version's"),
    ],
)
def test_each_version_has_its_own(revision: str, state: GuardState) -> None:
    assert on_trial(the_latency(CRITICAL, revision)).state is state


def test_a_bad_version_that_went_leaves_nothing_to_the_stable_one() -> None:
    sides = Evidence(by_revision={GOOD: good(1), NEW: good(12)}, overall=good(12))
    world = a_world(
        target=GOOD,
        spec=a_spec(guards=[LATENCY.to_wire()]),
        evidence={"latency": sides},
        status=a_status(guards=[the_latency(CRITICAL, NEW)]),
    )
    (verdict,) = evaluate(world)
    assert (verdict.state, verdict.revision) == (OK, GOOD)
    assert recorded([verdict], world, {})[0].revision == GOOD


def good(value: float) -> Reading:
    return read(value, previous=value)


def on_trial(was: GuardStatus, *, new: float = 1, stable: float = 1) -> Verdict:
    sides = Evidence(by_revision={NEW: good(new), GOOD: good(stable)}, overall=good(max(new, stable)))
    (verdict,) = evaluate(trial(was, sides))
    return verdict


def trial(was: GuardStatus, sides: Evidence) -> World:
    spec = a_spec(guards=[LATENCY.to_wire()], onCritical={"pause": True})
    status = a_status(a_rollout(RolloutPhase.CANARY), guards=[was])
    return a_canary_world(spec=spec, status=status, evidence={"latency": sides})


def test_what_is_kept_holds_a_step_and_rolls_nothing_back() -> None:
    was = the_latency(CRITICAL, NEW)
    verdict = on_trial(was)
    assert verdict.objects
    assert not verdict.acts
    sides = Evidence(by_revision={NEW: good(1), GOOD: good(1)}, overall=good(1))
    plan = decide(trial(was, sides))
    assert plan.status.rollout is not None
    assert plan.status.rollout.phase.value == "Canary"
    assert not [action for action in plan.actions if isinstance(action, CreatePause)]


@pytest.mark.parametrize(("stable", "usual"), [(1, False), (7, True)])
def test_a_kept_warning_that_stable_has_as_well_is_no_news(stable: float, usual: bool) -> None:
    verdict = on_trial(the_latency(WARNING, NEW), stable=stable)
    assert (verdict.state, verdict.objects) == (WARNING, not usual)


def test_a_kept_state_asks_for_no_pause() -> None:
    was = GuardStatus(name=DEAD.name, state=CRITICAL, since=NOW - 10 * SECOND)
    plan = decide(steady(0, was, onCritical={"pause": True}))
    assert plan.status.guards[0].state is CRITICAL
    assert plan.status.automatic_pause is None
    assert decide(steady(12, was, onCritical={"pause": True})).status.automatic_pause is not None


def test_a_pause_that_was_asked_for_is_not_made_any_more() -> None:
    was = GuardStatus(name=DEAD.name, state=CRITICAL, since=NOW - 10 * SECOND)
    asked = AutomaticPauseStatus(
        name="hubspot-auto-20261124-025900",
        state=AutomaticPauseState.REQUESTED,
        guard=DEAD.name,
        request_time=NOW - 10 * SECOND,
        reason="dead 12 > 10",
    )
    world = steady(0, was, onCritical={"pause": True})
    plan = decide(replace(world, status=world.status.model_copy(update={"automatic_pause": asked})))
    assert plan.status.automatic_pause is None
    assert not [action for action in plan.actions if isinstance(action, CreatePause)]


def test_what_was_done_about_it_is_remembered_until_it_is_clear() -> None:
    was = GuardStatus(name=DEAD.name, state=CRITICAL, since=NOW - 10 * SECOND, answer=Answer.ROLLBACK)
    assert decide(steady(0, was)).status.guards[0].answer is Answer.ROLLBACK
    over = was.model_copy(update={"clear_time": NOW - CLEAN})
    assert decide(steady(0, over)).status.guards[0].answer is None


def of_the_new_version(value: float, blame: str | None, clear_time: datetime | None) -> World:
    """Critical for ten minutes by status, on a version that has run for eleven; stable had one job, and no error."""
    since = NOW - timedelta(minutes=10)
    was = GuardStatus(
        name="errors", state=CRITICAL, since=since, blame=blame, clear_time=clear_time, revision=NEW, value="12"
    )
    sides = Evidence(by_revision={NEW: did(value, 20), GOOD: did(0, 1)}, overall=did(value, 21))
    rollout = a_rollout(RolloutPhase.CANARY, start_time=since - 60 * SECOND)
    return a_canary_world(
        spec=a_spec(guards=[ERRORS.to_wire()]), status=a_status(rollout, guards=[was]), evidence={"errors": sides}
    )


def did(errors: float, jobs: int) -> Reading:
    return replace(read(errors), recent=(Recent(timedelta(minutes=5), errors, jobs),))


@pytest.mark.parametrize(("blame", "kept"), [("provider", "provider"), ("revision", "revision"), ("undecided", None)])
def test_whom_it_blames_is_kept_with_it(blame: str, kept: str | None) -> None:
    """What nobody could tell is no answer."""
    (verdict,) = evaluate(of_the_new_version(0, blame, None))
    assert (verdict.state, verdict.blame, verdict.acts) == (CRITICAL, kept, False)


def test_a_breach_that_comes_again_is_looked_into_anew() -> None:
    """It is not one that could be looked into for ten minutes, in which the release would be blamed at once."""
    world = of_the_new_version(12, None, NOW - 10 * SECOND)
    verdicts = evaluate(world)
    assert [(v.state, v.blame, v.clear_since) for v in verdicts] == [(CRITICAL, "undecided", None)]
    (was,) = recorded(verdicts, world, {})
    assert was.since == NOW
    plan = decide(world)
    assert not events([plan]), "it was Critical all the time"
    later = replace(world, status=plan.status, now=NOW + SECOND)
    assert [v.blame for v in evaluate(later)] == ["undecided"]


def test_an_outage_that_flickers_stays_the_providers() -> None:
    assert [v.blame for v in evaluate(of_the_new_version(12, "provider", NOW - 10 * SECOND))] == ["provider"]


def in_the_bake(value: float, blame: str | None) -> World:
    """Six minutes of a bake of ten, at a version as good as the one before, which had 80 errors in ten windows."""
    was = GuardStatus(name="errors", state=CRITICAL, since=NOW - 60 * SECOND, blame=blame, revision=NEW, value="12")
    past = GuardBaseline(guard="errors", events=80, jobs=None, seconds=3000, time=NOW - timedelta(minutes=20))
    rollout = a_rollout(RolloutPhase.BAKING, step_start_time=NOW - timedelta(minutes=6), baseline=[past])
    return a_world(
        spec=a_spec(guards=[ERRORS.to_wire()], rollout={"bake": "10m"}),
        status=a_status(rollout, guards=[was]),
        stable=a_workload(10, revision=NEW),
        evidence={"errors": Evidence(by_revision={NEW: read(value, samples=10)}, overall=read(value))},
    )


@pytest.mark.parametrize(
    ("blame", "value", "runs"),
    [
        pytest.param("undecided", 4, True, id="chance, as while it was above"),
        pytest.param("provider", 4, False, id="an outage"),
    ],
)
def test_what_chance_explained_does_not_begin_the_bake_again(blame: str, value: float, runs: bool) -> None:
    """It lets the bake wait while it is above the limit, and no longer afterwards."""
    world = in_the_bake(value, blame)
    (verdict,) = evaluate(world)
    assert (verdict.state, verdict.by_chance, verdict.acts) == (CRITICAL, runs, False)
    status = decide(world).status
    assert status.rollout is not None
    assert (status.rollout.step_start_time is not None) is runs
    assert status.next is not None
    assert status.next.time is None, "nobody is rolled back for what is over"


def dead_beside(started: datetime | None, was: GuardStatus) -> World:
    """The next version's canary since a second, with workers that started then; what they left makes it 12 again."""
    canary = a_workload(2, role="canary", revision=NEW, pods=pods(2, role="canary", revision=NEW, started_at=started))
    status = a_status(a_rollout(RolloutPhase.CANARY, start_time=NOW - SECOND), guards=[was])
    return a_canary_world(spec=a_spec(guards=[DEAD.to_wire()]), status=status, canary=canary, evidence=dead(12))


def test_the_next_version_is_not_blamed_for_what_came_again_before_it_started() -> None:
    """The version before was rolled back for it; it fell below the limit, and that is kept as the next one begins."""
    left: dict[str, Any] = {"name": DEAD.name, "state": CRITICAL, "blame": "revision", "answer": Answer.ROLLBACK}
    was = GuardStatus(since=NOW - 60 * SECOND, clear_time=NOW - 10 * SECOND, **left)
    (verdict,) = evaluate(dead_beside(None, was))
    assert (verdict.blame, verdict.acts) == ("provider", True)
    (verdict,) = evaluate(dead_beside(NOW - SECOND, was))
    assert verdict.blame == "revision", "its workers were there"


def test_what_is_kept_is_no_rollback() -> None:
    """A first version that was to blame, and had no earlier one, is stable by now: nothing was rolled back."""
    was = GuardStatus(name=DEAD.name, state=CRITICAL, since=NOW - 10 * SECOND, blame="revision")
    plan = decide(steady(0, was, onCritical={"pause": True}))
    assert (plan.status.guards[0].blame, plan.status.guards[0].answer) == ("revision", None)
    again = replace(steady(12, onCritical={"pause": True}), status=plan.status, now=NOW + 10 * SECOND)
    assert [action for action in decide(again).actions if isinstance(action, CreatePause)]


def test_what_falls_to_a_warning_is_not_promised_to_be_healthy() -> None:
    then = followed([12, 7])[-1].status.next
    assert then is not None
    assert (then.what, then.time) == ("somebody looks at guard dead-letters; Healthy when it is clear", None)


def test_what_is_above_its_limit_now_is_told_of_before_what_is_kept() -> None:
    was = GuardStatus(name=DEAD.name, state=CRITICAL, since=NOW - 10 * SECOND)
    world = steady(0, was, guards=[DEAD.to_wire(), ERRORS.to_wire()])
    then = decide(replace(world, evidence=dead(0) | {"errors": Evidence(overall=read(7))})).status.next
    assert then is not None
    assert (then.what, then.time) == ("somebody looks at guard errors; Healthy when it is clear", None)
