"""Quantiles of histograms, as Prometheus has them, over pods that come and go."""

import math
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crm_operator.domain.histogram import HistogramSeries, added, buckets_of, quantile
from crm_operator.domain.world import Reading
from tests.unit.domain.fleet import LATENCY, Fleet, a_guard, at, reason, value

INF = math.inf


def a_quantile(q: float, *, name: str = LATENCY, window: str = "5m") -> Any:
    return a_guard(name, reduce="Quantile", quantile=q, window=window)


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
