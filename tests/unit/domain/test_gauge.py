"""The average and the highest value of a gauge, over pods that come and go and samples of any age."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crm_operator.domain.gauge import GaugeSeries
from crm_operator.domain.world import Reading
from tests.unit.domain.fleet import LEVEL, Fleet, a_guard, at, reason, value

AVERAGE, MAX = a_guard(LEVEL, reduce="Average"), a_guard(LEVEL, reduce="Max")


def test_an_average_weighs_each_value_by_the_time_it_stands_for() -> None:
    fleet = Fleet(a1=0)
    for second, number in [(3, 9.0), (13, 1.0), (14, 5.0)]:
        fleet.says(second, "a1", number, metric=LEVEL)
    # The first stands for one interval, 5 s; then 10 s and 1 s.
    assert fleet.overall(14, AVERAGE) == Reading(
        (9 * 5 + 1 * 10 + 5 * 1) / 16, samples=1, at=at(14), previous=(9 * 5 + 1 * 10) / 15
    )


def test_a_gap_is_not_filled_with_the_value_after_it() -> None:
    fleet = Fleet(a1=0)
    for second, number in [(5, 1.0), (10, 1.0), (110, 9.0)]:
        fleet.says(second, "a1", number, metric=LEVEL)
    assert value(fleet.overall(110, AVERAGE)) == (1 * 10 + 9 * 5) / 15


def test_what_left_the_window_counts_no_more() -> None:
    fleet = Fleet(a1=-999)
    for second in range(0, 610, 10):
        fleet.says(second, "a1", 100.0 if second <= 300 else 2.0, metric=LEVEL)
    assert value(fleet.overall(600, AVERAGE)) == pytest.approx(2)
    assert value(fleet.overall(600, MAX)) == 2
    assert value(fleet.overall(610, a_guard(LEVEL, reduce="Max", window="1m"))) == 2


def test_an_average_and_a_max_include_pods_that_left_within_the_window() -> None:
    fleet = Fleet(a1=0, a2=0)
    for second in (5, 10):
        fleet.says(second, "a1", 30, metric=LEVEL)
        fleet.says(second, "a2", 10, metric=LEVEL)
    fleet.there(11, a2=0)
    assert value(fleet.overall(12, AVERAGE)) == 20
    assert value(fleet.overall(12, MAX)) == 30
    fleet.says(310, "a2", 10, metric=LEVEL)
    assert value(fleet.overall(310, MAX)) == 10


def test_a_single_spike_is_the_max_but_was_not_held() -> None:
    fleet = Fleet(a1=0)
    for second, number in enumerate([1, 9, 2, 4, 5]):
        fleet.says(second, "a1", number, metric=LEVEL)
    assert fleet.overall(4, MAX) == Reading(9, samples=1, at=at(4), previous=4)


def test_an_average_waits_for_its_window_and_a_max_is_a_lower_bound() -> None:
    fleet = Fleet(a1=-999)
    for second in (0, 10):
        fleet.says(second, "a1", 7, metric=LEVEL)
    assert reason(fleet.overall(11, AVERAGE)) == "WindowNotFilled"
    found = fleet.overall(11, MAX)
    assert isinstance(found, Reading)
    assert found.value == 7
    assert found.lower_bound is not None
    for second in (295, 301):
        fleet.says(second, "a1", 7, metric=LEVEL)
    assert value(fleet.overall(301, AVERAGE)) == 7
    found = fleet.overall(301, MAX)
    assert isinstance(found, Reading)
    assert found.lower_bound is None


def test_a_worker_that_came_up_under_our_eyes_has_no_earlier_samples() -> None:
    fleet = Fleet(a1=-20, a2=-40)
    fleet.fails(1, "a1")
    fleet.says(90, "a1", 7, metric=LEVEL)
    assert value(fleet.side(91, "a", AVERAGE)) == 7, "it needed long to come up, and was asked all the time"
    fleet.says(91, "a2", 7, metric=LEVEL)
    assert reason(fleet.overall(92, AVERAGE)) == "WindowNotFilled", "the other ran before we asked"


def test_a_gauge_that_is_wanted_later_is_not_known_from_the_start() -> None:
    fleet = Fleet(a1=0)
    fleet.says(1, "a1", 3)
    fleet.says(2, "a1", 7, metric=LEVEL)
    assert reason(fleet.overall(3, AVERAGE)) == "WindowNotFilled"


def test_a_silent_pod_has_no_average() -> None:
    fleet = Fleet(a1=0)
    fleet.says(1, "a1", 7, metric=LEVEL)
    assert reason(fleet.overall(17, AVERAGE)) == "Stale"
    assert reason(fleet.overall(17, MAX)) == "Stale"


@given(
    samples=st.lists(st.tuples(st.integers(0, 20), st.floats(-1e6, 1e6)), min_size=1, max_size=60),
    window=st.integers(1, 1000),
    again=st.sets(st.integers(0, 59)),
)
def test_average_and_max_are_those_of_the_samples_however_often_each_is_scraped(
    samples: list[tuple[int, float]], window: int, again: set[int]
) -> None:
    """Against a model that knows every sample: the time it stands for, and the one before it."""
    once, twice, second = GaugeSeries(at(0)), GaugeSeries(at(0)), 0
    stretches: list[tuple[float, int, float, float | None]] = []  # from, to, value, and what two running reached
    for number, (pause, level) in enumerate(samples):
        second += pause
        alone = not stretches or pause > 15
        held = None if alone else min(level, stretches[-1][2])
        stretches.append((second - 5 if alone else second - pause, second, level, held))
        for series in (once, twice):
            series.record(level, at(second), apart=timedelta(seconds=15))
        if number in again:
            twice.record(level, at(second), apart=timedelta(seconds=15))
    span, now, begin = timedelta(seconds=window), at(second), second - window
    seen = [(until - max(since, begin), level, held) for since, until, level, held in stretches if until > begin]
    seconds = sum(part for part, _, _ in seen)
    area = sum(part * level for part, level, _ in seen)
    helds = [held for _, _, held in seen if held is not None]
    for series in (once, twice):
        assert series.area(span, now) == pytest.approx((area, seconds), abs=1e-3)
        assert series.peak(span, now) == max(level for _, level, _ in seen)
    assert once.held(span, now) == max(helds, default=None)
    if seconds:
        assert min(level for _, level, _ in seen) - 1e-6 <= area / seconds <= max(level for _, level, _ in seen) + 1e-6


def test_an_hour_of_gauge_samples_each_second_stays_small_and_true() -> None:
    series = GaugeSeries(at(0))
    for second in range(7200):
        series.record(second, at(second), apart=timedelta(seconds=15))
        series.forget_before(at(second - 3600))
    assert series.remembered <= 600
    for window in (10, 60, 300, 900, 3600):
        span = timedelta(seconds=window)
        area, seconds = series.area(span, at(7199))
        assert seconds == window
        assert area / seconds == pytest.approx(7199 - window / 2, rel=1 / 64)
        assert series.peak(span, at(7199)) == 7199
        assert series.held(span, at(7199)) == 7198
