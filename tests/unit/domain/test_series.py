"""Counters that begin anew, levels and peaks: one number over time."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crm_operator.domain.series import CounterSeries, LevelSeries, PeakWindow
from tests.unit.domain.fleet import NOON, at


@pytest.mark.parametrize(
    ("started", "points", "window", "now", "increase"),
    [
        pytest.param(None, [(0, 5)], 300, 1, 0, id="a first value of unknown origin is where counting begins"),
        pytest.param(-600, [(0, 5)], 300, 1, 0, id="so is the first value of an old process"),
        pytest.param(-60, [(0, 5)], 300, 1, 5, id="a young process counts from zero"),
        pytest.param(-60, [(0, 5)], 30, 1, 0, id="but not in a window that is younger than it"),
        pytest.param(-60, [(0, 5), (5, 7)], 30, 6, 2, id="which sees what came after"),
        pytest.param(None, [(0, 5), (5, 7), (10, 7)], 300, 11, 2, id="an increase"),
        pytest.param(None, [(0, 5), (5, 7), (10, 3)], 300, 11, 5, id="a counter that began anew adds all it shows"),
        pytest.param(None, [(0, 5), (5, 0), (10, 0)], 300, 11, 0, id="a counter that began anew at zero adds nothing"),
        pytest.param(None, [(0, 5), (5, 9)], 300, 305, 0, id="an increase leaves at the window's end"),
        pytest.param(None, [(0, 5), (5, 9)], 300, 304.9, 4, id="and not before"),
        pytest.param(
            None, [(0, 5), (400, 9)], 300, 401, 0, id="an increase over a gap longer than the window is not known"
        ),
        pytest.param(None, [(0, 5), (200, 9)], 300, 201, 4, id="over a shorter one it is"),
        pytest.param(30, [(0, 5), (1, 5)], 300, 2, 5, id="a kubelet's clock that is ahead"),
        pytest.param(None, [(5, 5), (0, 9)], 300, 6, 4, id="time that runs backwards"),
        pytest.param(None, [(0, 1e15), (5, 1e15 + 2)], 300, 6, 2, id="a counter that has counted for long"),
    ],
)
def test_the_increase_of_a_counter(
    started: float | None, points: list[tuple[float, float]], window: float, now: float, increase: float
) -> None:
    series = CounterSeries(started_at=None if started is None else at(started))
    for second, number in points:
        series.record(number, at(second))
    assert series.increase(timedelta(seconds=window), at(now)) == increase


@pytest.mark.parametrize(
    ("story", "increase", "unsteady"),
    [
        pytest.param([12, 3, 12, 3, 12], 0, True, id="two processes that answer in turn have no errors"),
        pytest.param([12, 3, 40, 3, 40], 28, True, id="of three or more, what exceeds all before"),
        pytest.param([12, 3, 12, 3, 14], 2, True, id="what is really added to the higher one counts"),
        pytest.param([12, 3], 0, False, id="one fall may be a restart that is not told yet"),
        pytest.param([12, 3, "restart"], 3, False, id="it was one"),
        pytest.param([12, 3, 5, "restart", 6], 6, False, id="and all that came since counts"),
        pytest.param([12, "restart", 3, 5], 5, False, id="told before it shows"),
        pytest.param([12, "restart", 3, 12, "restart", 4], 16, False, id="one that restarts again and again"),
        pytest.param([0, "restart", 0, 5, 3], 5, False, id="a restart that shows nothing explains no later fall"),
    ],
)
def test_a_counter_that_falls_without_a_restart_is_not_of_one_process(
    story: list[int | str], increase: float, unsteady: bool
) -> None:
    series = CounterSeries(started_at=at(-900), told_of_restarts=True)
    for second, event in enumerate(story):
        if isinstance(event, int):
            series.record(event, at(second))
        else:
            series.restarted()
    now = at(len(story))
    assert series.increase(timedelta(seconds=300), now) == increase
    assert series.is_unsteady(timedelta(seconds=300), now) is unsteady


def test_a_fall_without_a_restart_is_forgotten_with_the_window() -> None:
    """A counter that began anew in a running container: a lower bound for one window, then counted as before."""
    series = CounterSeries(started_at=at(-900), told_of_restarts=True)
    window = timedelta(seconds=300)
    for second, number in enumerate([12, 0, 1, 2]):
        series.record(number, at(second))
    assert series.filled_at(window, at(4)) == at(301)
    series.record(2, at(200))
    series.forget_before(at(1.5))
    series.record(5, at(302))
    assert series.filled_at(window, at(302)) is None
    assert series.increase(window, at(302)) == 3
    assert series.lifetime == 12 + 5, "whoever asks whether it moves is told so all the time"


@given(
    steps=st.lists(st.tuples(st.integers(1, 20), st.integers(0, 3)), min_size=1, max_size=60),
    started=st.none() | st.integers(-30, 0),
    spans=st.lists(st.integers(1, 200), min_size=1, max_size=6, unique=True).map(sorted),
    later=st.integers(0, 30),
)
def test_increases_over_several_times_are_those_over_each(
    steps: list[tuple[int, int]], started: int | None, spans: list[int], later: int
) -> None:
    series, second, counter = CounterSeries(started_at=None if started is None else at(started)), 0, 0
    for pause, amount in steps:
        second, counter = second + pause, counter + amount
        series.record(counter, at(second))
    times = [timedelta(seconds=span) for span in spans]
    now = at(second + later)
    assert series.increases(times, now) == [series.increase(time, now) for time in times]


@given(
    answers=st.lists(st.integers(0, 3), min_size=1, max_size=100),
    shown=st.lists(st.integers(0, 1000), min_size=4, max_size=4),
)
def test_processes_that_answer_in_any_order_and_do_nothing_add_at_most_what_one_shows_more(
    answers: list[int], shown: list[int]
) -> None:
    """Each has counted once, none does any more: the first reading may be of the one with the least."""
    series = CounterSeries(started_at=at(-900), told_of_restarts=True)
    for second, process in enumerate(answers):
        series.record(shown[process], at(second))
    most = max(shown[process] for process in answers)
    assert series.increase(timedelta(seconds=300), at(len(answers))) <= most - shown[answers[0]]


@given(
    steps=st.lists(st.tuples(st.integers(1, 60), st.integers(0, 20), st.booleans()), min_size=1, max_size=80),
    window=st.integers(61, 1000),
)
def test_the_increase_is_what_really_happened_in_the_readings_of_the_window(
    steps: list[tuple[int, int, bool]], window: int
) -> None:
    """Against a model that knows each event: restarts neither create nor hide what was added after them."""
    series, second, counter = CounterSeries(started_at=at(0)), 0, 0
    happened: list[tuple[int, int]] = []
    for pause, amount, restart in steps:
        second += pause
        # A restart shows only if the counter ends up lower; one that does not is the known limit of counters.
        counter = amount if restart and amount < counter else counter + amount
        happened.append((second, amount))
        series.record(counter, at(second))
    expected = sum(amount for when, amount in happened if when > second - window)
    assert series.increase(timedelta(seconds=window), at(second)) == expected
    assert series.lifetime == sum(amount for _, amount in happened)


@given(
    high=st.lists(st.integers(0, 3), min_size=30, max_size=30),
    low=st.lists(st.integers(0, 3), min_size=30, max_size=30),
    who=st.lists(st.booleans(), min_size=30, max_size=30),
)
def test_two_processes_that_answer_in_turn_are_told_from_one(high: list[int], low: list[int], who: list[bool]) -> None:
    """One has counted 1000 already. Once it fell twice nothing is believed; a fall alone makes no increase."""
    series, counts = CounterSeries(one_process=False), [1000, 0]
    window, falls, risen, last = timedelta(minutes=5), 0, 0, None
    for second, (a, b, first) in enumerate(zip(high, low, who, strict=True)):
        counts = [counts[0] + a, counts[1] + b]
        value = counts[0] if first else counts[1]
        falls += last is not None and value < last
        risen += max(0, value - last) if last is not None else 0
        last = value
        series.record(value, at(second))
        assert series.is_unsteady(window, at(second)) == (falls > 1)
        assert series.increase(window, at(second)) == risen
        assert (series.filled_at(window, at(second)) is not None) or second >= 300


def test_a_fall_of_an_unknown_process_is_forgotten_with_the_window() -> None:
    series, window = CounterSeries(one_process=False), timedelta(seconds=60)
    for second, value in [(0, 100), (30, 100), (61, 5), (90, 7)]:
        series.record(value, at(second))
    assert series.increase(window, at(90)) == 2
    assert series.filled_at(window, at(90)) == at(121)
    assert series.filled_at(window, at(121)) is None


@given(st.lists(st.floats(0, 1e12), max_size=50), st.floats(1, 1e6))
def test_an_increase_is_never_negative_and_grows_with_the_window(values: list[float], window: float) -> None:
    series = CounterSeries()
    for second, number in enumerate(values):
        series.record(number, at(second))
    narrow = series.increase(timedelta(seconds=window), at(len(values)))
    assert 0 <= narrow <= series.increase(timedelta(seconds=2 * window), at(len(values)))


def test_an_hour_of_changes_each_second_stays_small_and_true() -> None:
    series = CounterSeries(started_at=NOON)
    for second in range(1, 7201):
        series.record(second, at(second))
        series.forget_before(at(second - 3600))
    assert series.remembered <= 600
    for window in (10, 60, 300, 900, 3600):
        found = series.increase(timedelta(seconds=window), at(7200))
        assert window <= found <= window * (1 + 1 / 64) + 1


def test_a_level_is_known_at_any_time_of_the_window() -> None:
    level = LevelSeries()
    assert level.at(NOON) is None
    for second, number in [(0, 5), (10, 5), (20, 8), (30, 2)]:
        level.record(number, at(second))
    assert [level.at(at(second)) for second in (-5, 0, 19, 20, 29, 30, 99)] == [5, 5, 5, 8, 8, 2, 2]
    level.forget_before(at(25))
    assert level.at(at(25)) == 8
    assert level.remembered == 2


def test_a_restless_level_stays_small() -> None:
    level = LevelSeries()
    for second in range(7200):
        level.record(second, at(second))
        level.forget_before(at(second - 3600))
    assert level.remembered <= 600
    for age in (60, 300, 3600):
        found = level.at(at(7199 - age))
        assert found is not None
        assert abs(found - (7199 - age)) <= age / 32 + 1


@given(st.lists(st.tuples(st.integers(1, 10), st.integers(0, 50)), min_size=1, max_size=60), st.integers(0, 40))
def test_the_peak_is_the_largest_of_the_window(readings: list[tuple[int, int]], window: int) -> None:
    peak, second = PeakWindow(), 0
    seen: list[tuple[int | None, int]] = []  # until when it lasted, None: it is the newest; the value
    for pause, number in readings:
        second += pause
        peak.record(number, at(second), window=timedelta(seconds=window))
        seen = [*((until or second, value) for until, value in seen), (None, number)]
        within = [(until, value) for until, value in seen if until is None or until > second - window]
        assert peak.peak == max(value for _, value in within)
        lasted = [until for until, value in within if value == peak.peak]
        assert peak.falls_at == (None if None in lasted else at(max(filter(None, lasted))))


def test_a_peak_lasts_until_another_value_is_recorded() -> None:
    peak, window = PeakWindow(), timedelta(seconds=20)
    peak.record(10, at(0), window=window)
    peak.record(1, at(300), window=window)
    assert (peak.peak, peak.falls_at) == (10, at(300))
    peak.record(1, at(319), window=window)
    assert peak.peak == 10
    peak.record(1, at(320), window=window)
    assert (peak.peak, peak.falls_at) == (1, None)
