"""A guard that must be above its limit more than once: what counts as an evaluation, and what follows."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crm_operator.api.v1alpha1 import GuardState, RolloutPhase
from crm_operator.domain import breaches
from crm_operator.domain.breaches import APART, BreachMemory
from crm_operator.domain.decide import decide
from crm_operator.domain.guards import evaluate
from crm_operator.domain.verdict import Verdict
from crm_operator.domain.world import Evidence, Over, Reading, Unknown, World
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
    a_world,
)
from tests.unit.domain.fleet import Fleet
from tests.unit.domain.fleet import a_guard as a_pod_guard

UNREAD = Unknown("connection refused", "ConnectionRefused")


def a_reading(value: float, at: datetime, **parts: Any) -> Reading:
    return Reading(value, samples=2, at=at, **parts)


class Watch:
    """The new version's value, evaluation by evaluation, a second apart; stable is fine."""

    def __init__(self, *, consecutive: int = 3, total: int | None = None, steady: bool = False, **guard: Any) -> None:
        asked: dict[str, int] = {"consecutive": consecutive} | ({} if total is None else {"total": total})
        self.guard = a_guard(breaches=asked, **guard)
        self.memory = BreachMemory()
        self.now = NOW
        self._steady = steady

    def world(self, found: Reading | Unknown) -> World:
        spec = a_spec(guards=[self.guard.to_wire()])
        if self._steady:
            world = a_world(now=self.now, target=GOOD, spec=spec, evidence={"sync-errors": Evidence(overall=found)})
        else:
            sides = {NEW: found, GOOD: a_reading(0, self.now)}
            evidence = Evidence(by_revision=sides, overall=found)
            world = a_canary_world(now=self.now, spec=spec, evidence={"sync-errors": evidence})
        return replace(world, evidence=self.memory.notice(world))

    def sees(self, value: float | Unknown, *, after: timedelta = SECOND, **parts: Any) -> Verdict:
        self.now += after
        return self.looks(value if isinstance(value, Unknown) else a_reading(value, self.now, **parts))

    def looks(self, found: Reading | Unknown) -> Verdict:
        (verdict,) = evaluate(self.world(found))
        return verdict

    def states(self, *values: float | Unknown) -> str:
        """The first letter of each state."""
        return "".join(self.sees(value).state.value[0] for value in values)


@pytest.mark.parametrize(
    ("values", "states"),
    [
        pytest.param([11, 11, 11, 11], "UUCC", id="three running"),
        pytest.param([11, 11, 0, 11, 11, 11], "UUOUUC", id="a run that ends begins anew"),
        pytest.param([11, UNREAD, 11, UNREAD, 11], "UUUUC", id="an Unknown counts nothing and ends no run"),
        pytest.param([10, 10, 10, 10], "UUWW", id="a warning must run as well"),
        pytest.param([5, 5, 11, 11, 11], "UUWWC", id="from a warning to worse"),
        pytest.param([0, 0, 0], "OOO", id="nothing wrong"),
    ],
)
@pytest.mark.parametrize("steady", [False, True], ids=["", "steady"])
def test_evaluations_running(values: list[float | Unknown], states: str, steady: bool) -> None:
    assert Watch(steady=steady).states(*values) == states


def test_what_is_said_of_it() -> None:
    watch = Watch(warning=None)
    assert watch.sees(11).message == (
        "crm_sync_errors_total +11 > 10 in 5m in 1 of 3 evaluations running (breaches) on the new version, +0 on stable"
    )
    watch.sees(12)
    assert watch.sees(12).message == (
        "crm_sync_errors_total +12 > 10 in 5m in 3 evaluations running on the new version, +0 on stable"
    )


@pytest.mark.parametrize("reduce", ["Increase", "Last"])
def test_once_is_enough_if_once_is_asked_for(reduce: str) -> None:
    gauge: dict[str, Any] = {"reduce": reduce, "window": None} if reduce == "Last" else {}
    assert Watch(consecutive=1, **gauge).states(11, 0, 11) == "COC"


def test_the_same_samples_count_once() -> None:
    watch = Watch()
    found = a_reading(11, NOW)
    assert [watch.looks(found).state for _ in range(5)] == [GuardState.UNKNOWN] * 5
    assert watch.looks(replace(found, value=12)).state is GuardState.UNKNOWN, "the window moved, and nothing is new"


def test_an_evaluation_waits_until_every_process_was_read_anew() -> None:
    """In one round of scrapes two pods answer a moment apart, and the operator looks after each answer."""
    watch = Watch()
    for round_ in range(1, 3):
        begin = NOW + round_ * SECOND
        early, late = begin, begin + SECOND / 4
        watch.looks(a_reading(11, early, oldest=begin - SECOND))
        assert watch.looks(a_reading(11, late, oldest=early)).state is GuardState.UNKNOWN, round_
    assert watch.looks(a_reading(11, NOW + 3 * SECOND, oldest=NOW + 2.75 * SECOND)).state is GuardState.CRITICAL


def test_pods_tell_when_the_first_of_their_newest_samples_was_taken() -> None:
    fleet, last = Fleet(a1=-5, a2=-5), a_pod_guard(reduce="Last")
    fleet.says(1, "a1", 3)
    fleet.says(1.25, "a2", 2)
    for guard in (a_pod_guard(), last):
        found = fleet.overall(2, guard)
        assert isinstance(found, Reading)
        assert found.oldest is not None
        assert found.at - found.oldest == SECOND / 4


def test_samples_far_apart_are_no_run() -> None:
    watch = Watch(consecutive=2)
    assert watch.sees(11).state is GuardState.UNKNOWN
    assert watch.sees(11, after=APART + SECOND).state is GuardState.UNKNOWN
    assert watch.sees(11, after=APART).state is GuardState.CRITICAL


def test_a_lower_bound_below_the_limit_ends_no_run() -> None:
    watch = Watch(consecutive=2)
    filling = Unknown("its window is not filled yet", "WindowNotFilled")
    watch.sees(11)
    watch.sees(0, lower_bound=filling)
    assert watch.sees(11).state is GuardState.CRITICAL


def test_other_limits_are_another_count() -> None:
    watch = Watch(consecutive=2)
    watch.sees(11)
    watch.guard = a_guard(breaches={"consecutive": 2}, critical={"above": 9})
    assert watch.states(11, 11) == "UC"


def test_a_restart_of_the_operator_only_delays() -> None:
    watch = Watch(consecutive=2)
    watch.sees(11)
    watch.memory = BreachMemory()
    assert watch.states(11, 11) == "UC"


# -- in total ---------------------------------------------------------------------------------------------------------


def test_a_value_that_flickers_is_critical_once_there_were_so_many() -> None:
    watch = Watch(consecutive=2, total=3, warning=None)
    assert watch.states(11, 0, 11, 0) == "UOUO"
    verdict = watch.sees(11)
    assert verdict.state is GuardState.CRITICAL
    assert "+11 > 10 in 5m in 3 evaluations of this rollout on the new version" in verdict.message
    assert watch.states(0, 11) == "OC", "only a real value breaches, and each further one does"


def test_another_rollout_counts_anew() -> None:
    watch = Watch(consecutive=2, total=3)
    watch.states(11, 0, 11, 0)
    found = a_reading(11, watch.now + SECOND)
    again = a_rollout(RolloutPhase.CANARY, start_time=NOW)
    world = replace(watch.world(UNREAD), status=a_status(again))
    sides = Evidence(by_revision={NEW: found, GOOD: a_reading(0, found.at)}, overall=found)
    world = replace(world, evidence=watch.memory.notice(replace(world, evidence={"sync-errors": sides})))
    assert evaluate(world)[0].state is GuardState.UNKNOWN
    told = world.evidence["sync-errors"].by_revision[NEW]
    assert isinstance(told, Reading)
    assert told.over == Over(warning=1, critical=1, total=1)


def test_without_a_rollout_there_is_no_total() -> None:
    assert Watch(consecutive=2, total=3, warning=None, steady=True).states(11, 0, 11, 0, 11, 0, 11) == "UOUOUOU"


# -- what follows -----------------------------------------------------------------------------------------------------


def test_a_short_run_holds_the_rollout_and_is_looked_at_again() -> None:
    watch = Watch()
    for number in range(1, 4):
        watch.now += SECOND
        plan = decide(watch.world(a_reading(11, watch.now)))
        rollout = plan.status.rollout
        assert rollout is not None
        expected = RolloutPhase.ROLLING_BACK if number == 3 else RolloutPhase.CANARY
        assert (rollout.phase, rollout.step) == (expected, 0)
        if number < 3:
            assert plan.requeue_after is not None
            assert plan.requeue_after <= breaches.AGAIN


@given(
    values=st.lists(st.sampled_from([0.0, 5.0, 11.0, UNREAD]), max_size=30),
    looks=st.lists(st.integers(1, 3), min_size=30, max_size=30),
    consecutive=st.integers(1, 5),
    total=st.none() | st.integers(1, 4),
)
def test_against_every_evaluation(
    values: list[float | Unknown], looks: list[int], consecutive: int, total: int | None
) -> None:
    """However often each is looked at, a breach is one that the list of values shows."""
    most = None if total is None else consecutive + total
    watch, seen = Watch(consecutive=consecutive, total=most, warning=None), list[bool]()
    for value, times in zip(values, looks, strict=False):
        watch.now += SECOND
        found = value if isinstance(value, Unknown) else a_reading(value, watch.now)
        verdicts = {watch.looks(found).state for _ in range(times)}
        if isinstance(value, Unknown):
            assert verdicts == {GuardState.UNKNOWN}
            continue
        seen.append(value > 10)
        running = next((count for count, was in enumerate(reversed(seen)) if not was), len(seen))
        breached = running >= consecutive or (most is not None and sum(seen) >= most)
        wanted = GuardState.OK if not seen[-1] else GuardState.CRITICAL if breached else GuardState.UNKNOWN
        assert verdicts == {wanted}
