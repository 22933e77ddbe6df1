"""What each `reduce` means, over pods that come and go; `series` and `fleet` have their own tests."""

import math
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crm_operator.domain.fleet import JOBS_METRIC, PodFleet
from crm_operator.domain.gauge import GaugeSeries
from crm_operator.domain.histogram import HistogramSeries, added, buckets_of, quantile
from crm_operator.domain.scraped import Sample
from crm_operator.domain.world import Reading, Unknown
from tests.unit.domain.fleet import ERRORS, LATENCY, LEVEL, Fleet, a_guard, at, reason, value

INF = math.inf
RATE, RATIO = a_guard(reduce="Rate"), a_guard(reduce="Ratio", per="done_total")
AVERAGE, MAX = a_guard(LEVEL, reduce="Average"), a_guard(LEVEL, reduce="Max")


def a_quantile(q: float, *, name: str = LATENCY, window: str = "5m") -> Any:
    return a_guard(name, reduce="Quantile", quantile=q, window=window)


# -- Last -------------------------------------------------------------------------------------------------------------


def test_the_worst_pod_counts_for_a_gauge() -> None:
    fleet, last = Fleet(a1=-5, a2=-5, b1=-5), a_guard(reduce="Last")
    for pod, number in [("a1", 3.0), ("a2", 9.0), ("b1", -1.0)]:
        fleet.says(1, pod, number)
    assert fleet.side(2, "a", last) == Reading(9, samples=2, at=at(1), previous=None)
    assert fleet.side(2, "b", last) == Reading(-1, samples=1, at=at(1), previous=None)
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


# -- Average and Max --------------------------------------------------------------------------------------------------


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


# -- Quantile ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("q", "counts", "expected"),
    [
        pytest.param(0.5, {1: 50, 2: 90, INF: 100}, 1, id="at a bound"),
        pytest.param(0.7, {1: 50, 2: 90, INF: 100}, 1.5, id="linear within a bucket"),
        pytest.param(0.25, {1: 50, 2: 90, INF: 100}, 0.5, id="the first bucket begins at zero"),
        pytest.param(0.95, {1: 50, 2: 90, INF: 100}, 2, id="the last one gives the highest finite bound"),
        pytest.param(0.5, {-2: 0, -1: 10, INF: 10}, -1.5, id="negative bounds"),
        pytest.param(0.5, {-1: 10, INF: 10}, -1, id="a negative first bound is not passed"),
        pytest.param(0.5, {1: 0, 2: 0, 4: 8, INF: 8}, 3, id="empty buckets"),
        pytest.param(0.5, {1: 0, INF: 0}, None, id="nothing was observed"),
        pytest.param(0.5, {INF: 5}, None, id="no finite bound"),
        pytest.param(0.5, {}, None, id="no bucket"),
    ],
)
def test_a_quantile_as_prometheus_has_it(q: float, counts: dict[float, float], expected: float | None) -> None:
    assert quantile(q, counts) == expected


_OBSERVED = st.lists(st.floats(0.001, 100), min_size=1, max_size=60)
_BOUNDS = (0.1, 0.5, 1.0, 5.0, 10.0, 50.0, INF)


def cumulative(observed: list[float]) -> dict[float, float]:
    return {bound: float(sum(value <= bound for value in observed)) for bound in _BOUNDS}


@given(observed=_OBSERVED, q=st.floats(0.01, 0.99))
def test_a_quantile_lies_in_the_bucket_of_the_true_one(observed: list[float], q: float) -> None:
    found = quantile(q, cumulative(observed))
    assert found is not None
    # The smallest observation at or below which the share q lies; the estimate is somewhere in its bucket.
    true = sorted(observed)[max(0, math.ceil(q * len(observed)) - 1)]
    upper = next(bound for bound in _BOUNDS if true <= bound)
    lower = max([0.0] + [bound for bound in _BOUNDS if bound < upper])
    assert lower - 1e-9 <= found <= min(upper, 50.0) + 1e-9


@given(
    lives=st.lists(st.tuples(st.lists(_OBSERVED, min_size=1, max_size=5), st.booleans()), min_size=1, max_size=4),
    q=st.floats(0.01, 0.99),
)
def test_the_quantile_of_pods_that_restart_and_go_is_that_of_all_observations(
    lives: list[tuple[list[list[float]], bool]], q: float
) -> None:
    names = {f"a{number}": 0.0 for number in range(len(lives))}
    fleet, every = Fleet(**names), []
    for number, (rounds, goes) in enumerate(lives):
        counts = cumulative([])
        for second, observed in enumerate(rounds, start=1):
            fresh = cumulative(observed)
            # A restart shows only if some bucket ends up lower; one that does not is the known limit of counters.
            restarts = second % 2 == 0 and any(fresh[bound] < counts[bound] for bound in _BOUNDS)
            counts = fresh if restarts else {bound: counts[bound] + fresh[bound] for bound in _BOUNDS}
            fleet.observed(second, f"a{number}", counts)
            every += observed
        if goes and number:
            del names[f"a{number}"]
    fleet.there(6, **names)
    expected = quantile(q, cumulative(every))
    assert expected is not None
    assert value(fleet.overall(7, a_quantile(q))) == pytest.approx(expected)


def test_a_quantile_is_that_of_the_window_only() -> None:
    fleet = Fleet(a1=-999)
    fleet.observed(0, "a1", {1: 1000, 5: 1000, INF: 1000})
    fleet.observed(100, "a1", {1: 1000, 5: 1000, INF: 1000})
    fleet.observed(200, "a1", {1: 1000, 5: 1100, INF: 1100})
    assert reason(fleet.overall(201, a_quantile(0.5))) == "WindowNotFilled"
    assert value(fleet.overall(201, a_quantile(0.5, window="3m"))) == 3, "0..1 nothing, 1..5 a hundred"
    fleet.observed(450, "a1", {1: 1000, 5: 1100, INF: 1100})
    assert reason(fleet.overall(450, a_quantile(0.5, window="3m"))) == "NoData"


def test_what_is_no_histogram_has_no_quantile() -> None:
    fleet = Fleet(a1=0)
    assert reason(fleet.overall(1, a_quantile(0.5))) == "Starting"
    fleet.says(1, "a1", 5, metric=f"{LATENCY}_bucket")
    assert reason(fleet.overall(1, a_quantile(0.5))) == "MetricInvalid"
    assert reason(fleet.overall(1, a_quantile(0.5, name=f"{LATENCY}_bucket"))) == "MetricInvalid"


def test_versions_with_other_buckets_are_merged_over_the_common_ones() -> None:
    assert added([{1: 5, 2: 7, INF: 9}, {2: 1, 3: 4, INF: 4}]) == {2: 8, INF: 13}
    fleet = Fleet(a1=0, b1=0)
    fleet.observed(1, "a1", {1: 5, INF: 9})
    fleet.observed(1, "b1", {2: 5, INF: 9})
    assert reason(fleet.overall(1, a_quantile(0.5))) == "MetricInvalid"
    assert value(fleet.side(1, "b", a_quantile(0.5))) == pytest.approx(1.8)


def test_buckets_that_change_begin_anew_unless_nothing_was_counted() -> None:
    series = HistogramSeries(started_at=at(0))
    for second, counts in [(1, {INF: 0.0}), (2, {1.0: 2.0, INF: 3.0}), (3, {1.0: 4.0, INF: 5.0})]:
        series.record(buckets_of(counts) or (), at(second))
    window = timedelta(minutes=1)
    assert series.growth(window, at(3)) == {1: 4, INF: 5}
    series.record(((2.0, 50.0), (INF, 50.0)), at(4))
    assert not series.counts_from(window)
    series.record(((2.0, 51.0), (INF, 52.0)), at(5))
    assert series.growth(window, at(5)) == {2: 1, INF: 2}
    assert series.filled_at(window, at(5)) == at(64)


@pytest.mark.parametrize(
    "counts",
    [{}, {1.0: 5.0}, {1.0: 5.0, INF: 4.0}, {math.nan: 1.0, INF: 4.0}, {1.0: 5.0, INF: INF}, {1.0: -5.0, INF: 4.0}],
    ids=["empty", "no +Inf", "falls", "NaN", "no end", "below 0"],
)
def test_what_are_no_buckets(counts: dict[float, float]) -> None:
    assert buckets_of(counts) is None


def test_an_hour_of_observations_each_second_stays_small_and_true() -> None:
    series = HistogramSeries(started_at=at(0))
    for second in range(1, 7201):
        series.record(((1.0, float(second)), (INF, 2.0 * second)), at(second))
        series.forget_before(at(second - 3600))
    assert series.remembered <= 150
    for window in (10, 60, 300, 900, 3600):
        grown = series.growth(timedelta(seconds=window), at(7200))
        assert window <= grown[1.0] <= window * (1 + 1 / 16) + 1
        assert grown[INF] == 2 * grown[1.0]


# -- versions compared ------------------------------------------------------------------------------------------------


def test_a_quantiles_recent_spans_have_the_quantile_and_the_observations() -> None:
    fleet = Fleet(old=-60, new=-60)
    for second in range(100):
        slow, fast = (10.0 if second == 99 else 0.0), (100.0 if second >= 90 else 0.0)
        fleet.observed(second, "old", {1: fast, 5: fast, INF: fast})
        fleet.observed(second, "new", {1: 0, 5: slow, INF: slow})
    old, new = (fleet.side(99, side, a_quantile(0.5)) for side in ("o", "n"))
    assert isinstance(old, Reading)
    assert isinstance(new, Reading)
    assert [(recent.value, recent.base) for recent in new.recent[:2]] == [(3, 10), (3, 10)]
    assert [(recent.value, recent.base) for recent in old.recent[:4]] == [(0, 0), (0, 0), (0, 0), (0.5, 100)]


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
