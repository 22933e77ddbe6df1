"""What each `reduce` means, over pods that come and go; what keeps the samples has its own tests."""

import math
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crm_operator.domain.fleet import JOBS_METRIC, PodFleet
from crm_operator.domain.scraped import Sample
from crm_operator.domain.world import Reading, Unknown
from tests.unit.domain.fleet import ERRORS, LEVEL, Fleet, a_guard, at, reason, value

RATE, RATIO = a_guard(reduce="Rate"), a_guard(reduce="Ratio", per="done_total")


# -- Last -------------------------------------------------------------------------------------------------------------


def test_the_worst_pod_counts_for_a_gauge() -> None:
    fleet, last = Fleet(a1=-5, a2=-5, b1=-5), a_guard(reduce="Last")
    for pod, number in [("a1", 3.0), ("a2", 9.0), ("b1", -1.0)]:
        fleet.says(1, pod, number)
    assert fleet.side(2, "a", last) == Reading(9, samples=2, at=at(1), previous=None, read_since=at(1))
    assert fleet.side(2, "b", last) == Reading(-1, samples=1, at=at(1), previous=None, read_since=at(1))
    for pod, number in [("a1", 4.0), ("a2", 2.0), ("b1", 0.0)]:
        fleet.says(6, pod, number)
    assert fleet.overall(7, last) == Reading(4, samples=3, at=at(6), previous=9)


def test_a_value_from_before_a_gap_is_not_the_one_before() -> None:
    fleet, last = Fleet(a1=-5), a_guard(reduce="Last")
    fleet.says(1, "a1", 9)
    fleet.says(60, "a1", 9)
    assert fleet.overall(61, last) == Reading(9, samples=1, at=at(60), previous=None)


def test_a_pod_that_is_gone_or_silent_is_not_the_worst() -> None:
    fleet, last = Fleet(a1=-5, a2=-5, a3=-5), a_guard(reduce="Last")
    for pod, number in [("a1", 50.0), ("a2", 60.0), ("a3", 1.0)]:
        fleet.says(1, pod, number)
    fleet.there(2, a2=-5, a3=-5)
    fleet.says(18, "a3", 2)
    assert value(fleet.overall(18, last)) == 2


# -- Increase and Rate ------------------------------------------------------------------------------------------------


def test_a_rate_is_the_increase_by_the_windows_seconds() -> None:
    fleet = Fleet(a1=0, a2=0)
    for second in (1, 2):
        fleet.says(second, "a1", 30 * second)
        fleet.says(second, "a2", 15 * second)
    assert value(fleet.overall(3, RATE)) == 90 / 300
    assert value(fleet.overall(3, a_guard(reduce="Rate", window="30s"))) == 3
    assert reason(Fleet(a1=0).overall(3, RATE)) == "Starting"


def test_a_window_that_is_not_filled_gives_a_lower_bound_and_says_until_when() -> None:
    """As after a restart of the operator: nobody knows what an old process counted before the first reading."""
    fleet = Fleet(a1=-999)
    fleet.says(0, "a1", 100)
    fleet.says(10, "a1", 112)
    found = fleet.overall(11)
    assert isinstance(found, Reading)
    assert found.value == 12
    assert found.lower_bound == Unknown(
        f"{ERRORS}: its window of 300s is not filled yet; it will be at 12:05:00", "WindowNotFilled"
    )
    for second in (300, 301):
        fleet.says(second, "a1", 112)
    found = fleet.overall(301)
    assert isinstance(found, Reading)
    assert (found.value, found.lower_bound) == (12, None)


@pytest.mark.parametrize(
    ("started", "readings", "now", "whole"),
    [
        pytest.param(-10, [(1, 5), (2, 6)], 3, True, id="a young process was seen from its start"),
        pytest.param(-999, [(1, 5), (2, 6)], 3, False, id="an old one was not"),
        pytest.param(None, [(1, 5), (2, 6)], 3, False, id="nor one of unknown age"),
        pytest.param(-999, [(1, 5), (150, 5), (301, 6)], 302, True, id="until it has been read for the window"),
        pytest.param(-999, [(1, 5), (400, 6), (410, 6)], 411, False, id="a gap longer than the window hides a growth"),
        pytest.param(-999, [(1, 5), (400, 5), (410, 5)], 411, True, id="if there was none, nothing is hidden"),
    ],
)
def test_whether_the_whole_window_is_known(
    started: float | None, readings: list[tuple[float, float]], now: float, whole: bool
) -> None:
    fleet = Fleet(a1=started)
    for second, number in readings:
        fleet.says(second, "a1", number)
    found = fleet.overall(now)
    assert isinstance(found, Reading)
    assert (found.lower_bound is None) == whole


@given(
    lives=st.lists(
        st.tuples(st.integers(0, 200), st.integers(1, 80), st.lists(st.integers(0, 5), min_size=1, max_size=5)),
        min_size=1,
        max_size=5,
    ),
    twice=st.sets(st.integers(0, 299)),
)
def test_a_rate_counts_each_event_once_however_often_it_is_scraped(
    lives: list[tuple[int, int, list[int]]], twice: set[int]
) -> None:
    """Pods start, live a while and go; some scrapes overlap. All happened within the window."""
    fleet = PodFleet(keep=timedelta(hours=1), stale_after=timedelta(seconds=15))
    total, counts = 0, dict.fromkeys(range(len(lives)), 0)
    for second in range(300):
        there = [("watcher", "a", at(-99999))]
        for number, (start, length, adds) in enumerate(lives):
            if start <= second < start + length:
                there.append((f"p{number}", "a", at(start)))
                counts[number] += adds[second % len(adds)]
                total += adds[second % len(adds)]
        fleet.targets(there, at(second))
        for _ in range(2 if second in twice else 1):
            for uid, _, _ in there:
                seen = counts[int(uid[1:])] if uid != "watcher" else 0
                fleet.record(uid, {ERRORS: Sample(seen, seen)}, at(second))
    found = fleet.evidence(a_guard(reduce="Rate", window="1h"), at(300)).overall
    assert value(found) == pytest.approx(total / 3600)


def test_a_rates_recent_spans_are_those_of_its_increase() -> None:
    fleet = Fleet(old=-60, new=-60)
    for pod in ("old", "new"):
        fleet.says(1, pod, 3)
        fleet.says(1, pod, 9, metric=JOBS_METRIC)
    rate, increase = (fleet.side(1, "n", a_guard(reduce=reduce)) for reduce in ("Rate", "Increase"))
    assert isinstance(rate, Reading)
    assert isinstance(increase, Reading)
    assert rate.recent == increase.recent
    assert rate.value == increase.value / 300


# -- Ratio ------------------------------------------------------------------------------------------------------------


def test_a_ratio_of_two_increases() -> None:
    fleet = Fleet(a1=-5, a2=-5)
    assert reason(fleet.overall(0, RATIO)) == "Starting"
    fleet.says(1, "a1", 2)
    assert reason(fleet.overall(1, RATIO)) == "Starting", "the denominator is not read yet"
    fleet.says(1, "a1", 0, metric="done_total")
    assert reason(fleet.overall(1, RATIO)) == "NoData"
    fleet.says(2, "a1", 2)
    fleet.says(2, "a1", 8, metric="done_total")
    assert value(fleet.overall(2, RATIO)) == 0.25


def test_a_ratio_of_windows_that_are_not_filled_is_unknown() -> None:
    fleet = Fleet(a1=-999)
    for second in (1, 2):
        fleet.says(second, "a1", second)
        fleet.says(second, "a1", 4 * second, metric="done_total")
    assert reason(fleet.overall(2, RATIO)) == "WindowNotFilled"


@given(errors=st.lists(st.integers(0, 9), min_size=1, max_size=20), restarts=st.sets(st.integers(0, 19)))
def test_a_ratio_is_that_of_what_happened(errors: list[int], restarts: set[int]) -> None:
    """Ten jobs a second; both counters begin anew together. A restart that leaves no counter lower is not seen."""
    fleet, failed, done = Fleet(a1=-1), 0, 0
    for second, number in enumerate(errors):
        if second in restarts and failed > number and done > 10:
            failed = done = 0
            fleet.there(second, a1=second)
        failed, done = failed + number, done + 10
        fleet.says(second, "a1", failed)
        fleet.says(second, "a1", done, metric="done_total")
    assert value(fleet.overall(len(errors), RATIO)) == pytest.approx(sum(errors) / (10 * len(errors)))


# -- adversarial ------------------------------------------------------------------------------------------------------


_ADVERSE: st.SearchStrategy[Any] = st.one_of(
    st.floats(-1.7e308, 1.7e308), st.just(Unknown("nonsense", "MetricInvalid")), st.none()
)


@given(
    events=st.lists(st.tuples(st.integers(0, 30), st.sampled_from(["a1", "a2", "b1"]), _ADVERSE), max_size=40),
    reduce=st.sampled_from(["Increase", "Rate", "Last", "Ratio", "Average", "Max"]),
)
def test_every_value_is_finite_and_never_from_nothing(events: list[tuple[int, str, Any]], reduce: str) -> None:
    fleet, second = Fleet(a1=-5, a2=None, b1=-999), 0
    guard = a_guard(LEVEL, reduce=reduce, per=LEVEL if reduce == "Ratio" else None)
    for pause, pod, number in events:
        second += pause
        if number is None:
            fleet.fails(second, pod)
        else:
            fleet.says(second, pod, number, metric=LEVEL)
        evidence = fleet.fleet.evidence(guard, at(second))
        for found in (evidence.overall, *evidence.by_revision.values()):
            if isinstance(found, Reading):
                assert math.isfinite(found.value)
                assert found.samples >= 1
                assert at(second) - found.at <= fleet.fleet.stale_after
