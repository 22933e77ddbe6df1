"""What a guard reads of a queue over a window: one reading a second, and no clock."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crm_operator.api.v1alpha1 import Guard
from crm_operator.domain.world import Reading, Unknown
from crm_operator.sources.queues.history import QueueHistory
from tests.unit.domain.builders import NOW, a_guard, a_reading
from tests.unit.domain.fleet import reason, value

UNREAD = Unknown("redis:6379 refused the connection", "Refused")


def a_queue_guard(reduce: str, *, name: str = "waiting", window: str = "10s") -> Guard:
    return a_guard(metric={"from": "queue", "name": name}, reduce=reduce, window=window)


class History:
    """A `QueueHistory` in seconds."""

    def __init__(self, *guards: Guard) -> None:
        self.history = QueueHistory(window=timedelta(seconds=20))
        for guard in guards:
            self.history.evidence(guard)

    def read(self, second: int, count: int | Unknown, *, of: str = "waiting") -> bool:
        """Whether that was news."""
        at = NOW + timedelta(seconds=second)
        return self.history.record(count if isinstance(count, Unknown) else a_reading(at=at, **{of: count}))

    def says(self, guard: Guard) -> Reading | Unknown:
        return self.history.evidence(guard).overall


AVERAGE, MAX, RATE = (a_queue_guard(reduce) for reduce in ("Average", "Max", "Rate"))


def test_an_average_is_known_when_its_window_is_filled() -> None:
    history = History(AVERAGE)
    for second in range(10):
        history.read(second, 8)
        assert reason(history.says(AVERAGE)) == "WindowNotFilled"
    history.read(10, 18)
    found = history.says(AVERAGE)
    assert isinstance(found, Reading)
    assert (found.value, found.previous) == (9, 8), "a gauge must be above a limit twice, with and without the newest"


def test_a_maximum_is_a_lower_bound_until_its_window_is_filled() -> None:
    history = History(MAX)
    for second, waiting in enumerate([3, 9, 4]):
        history.read(second, waiting)
    found = history.says(MAX)
    assert isinstance(found, Reading)
    assert (found.value, found.previous) == (9, 4), "one reading of 9 is a flicker"
    assert found.lower_bound is not None
    for second in range(3, 12):
        history.read(second, 1)
    found = history.says(MAX)
    assert isinstance(found, Reading)
    assert (found.value, found.lower_bound) == (4, None)


def test_a_rate_is_the_increase_by_the_windows_seconds() -> None:
    dead = a_queue_guard("Rate", name="dead")
    history = History(dead)
    for second in range(11):
        history.read(second, 3 * second, of="dead")
    assert value(history.says(dead)) == 3
    history.read(11, 0, of="dead")
    assert value(history.says(dead)) == 2.7, "a purge is no rise, and takes none back"


def test_a_gap_begins_anew() -> None:
    history = History(AVERAGE, MAX, RATE)
    for second in range(20):
        history.read(second, 100)
    history.read(20, UNREAD)
    assert [reason(history.says(guard)) for guard in (AVERAGE, MAX, RATE)] == ["Refused"] * 3
    history.read(21, 1)
    assert reason(history.says(AVERAGE)) == "WindowNotFilled"
    assert value(history.says(MAX)) == 1


def test_a_longer_window_begins_anew() -> None:
    """What was forgotten for the shorter one must not count as seen."""
    history, longer = History(AVERAGE), a_queue_guard("Average", window="30s")
    for second in range(31):
        history.read(second, second)
    assert reason(history.says(longer)) == "WindowNotFilled"
    assert reason(history.says(AVERAGE)) == "WindowNotFilled"


def test_an_average_that_moves_is_news_and_one_that_rests_is_not() -> None:
    history = History(AVERAGE)
    news = [history.read(second, 0 if second < 15 else 5) for second in range(40)]
    assert news[:12] == [True] * 11 + [False]
    assert news[12:15] == [False] * 3
    assert news[15:27] == [True] * 11 + [False]
    assert not any(news[26:])


@pytest.mark.parametrize("name", ["waiting", "dead"])
@given(counts=st.lists(st.integers(0, 50), min_size=12, max_size=60))
def test_reductions_of_a_queue_against_every_reading(name: str, counts: list[int]) -> None:
    guards = {reduce: a_queue_guard(reduce, name=name) for reduce in ("Average", "Max", "Increase", "Rate")}
    history = History(*guards.values())
    for second, count in enumerate(counts):
        history.read(second, count, of=name)
    last = counts[-10:]  # each stands for the second before it
    found = {reduce: value(history.says(guard)) for reduce, guard in guards.items()}
    assert found["Average"] == pytest.approx(sum(last) / 10)
    assert found["Max"] == max(last)
    rises = sum(max(0, b - a) for a, b in zip(counts[-11:-1], last, strict=True))
    assert found["Increase"] == (rises if name == "dead" else max(0, counts[-1] - counts[-11]))
    assert found["Rate"] == pytest.approx(found["Increase"] / 10)
