"""A guard's window that is edited to a longer one: what a shorter one has let go is not known, and no zero."""

from datetime import timedelta

import pytest

from crm_operator.domain.world import Reading, Unknown
from tests.unit.domain.fleet import ERRORS, LATENCY, LEVEL, Fleet, a_guard, at, reason, value

LONG = "15m"


def read_for(seconds: int, *, started: float = -9999) -> Fleet:
    """One pod, each ten seconds: an error a scrape and a high level for 300 s, then none and a low one."""
    fleet = Fleet(a1=started)
    for second in range(0, seconds + 1, 10):
        busy = min(second, 300)
        fleet.says(second, "a1", busy / 10)
        fleet.says(second, "a1", 9 if second < 300 else 1, metric=LEVEL)
        fleet.observed(second, "a1", {1: busy, float("inf"): busy + 1})
    fleet.fleet.keep = timedelta(minutes=15)
    return fleet


def is_whole(found: Reading | Unknown) -> bool:
    if isinstance(found, Unknown):
        assert reason(found) == "WindowNotFilled"
        return False
    return found.lower_bound is None


@pytest.mark.parametrize("started", [-9999, -5])
@pytest.mark.parametrize(
    ("reduce", "filled"),
    [("Increase", 1200), ("Rate", 1200), ("Max", 1500), ("Average", 1500), ("Quantile", 1200)],
)
def test_it_is_filled_anew_and_says_until_when(reduce: str, filled: int, started: float) -> None:
    """The last error was at 300 s; of a gauge the samples until 600 s are forgotten."""
    fleet = read_for(900, started=started)
    name = {"Max": LEVEL, "Average": LEVEL, "Quantile": LATENCY}.get(reduce, ERRORS)
    quantile = 0.5 if reduce == "Quantile" else None
    short, long = (a_guard(name, reduce=reduce, quantile=quantile, window=window) for window in ("5m", LONG))
    if reduce != "Quantile":  # of which nothing was observed
        assert is_whole(fleet.overall(900, short))
    assert not is_whole(fleet.overall(900, long))
    for second in range(910, filled + 1, 10):
        fleet.says(second, "a1", 30)
        fleet.says(second, "a1", 1, metric=LEVEL)
        fleet.observed(second, "a1", {1: 300 + second, float("inf"): 301 + second})
        assert is_whole(fleet.overall(second, long)) == (second >= filled), second


def test_a_pod_that_left_and_is_forgotten_may_have_added_too() -> None:
    fleet = Fleet(a1=-5, a2=-5)
    for second in range(0, 601, 10):
        fleet.there(second, a1=-5, **({"a2": -5} if second < 200 else {}))
        fleet.says(second, "a1", 0)
        if second < 200:
            fleet.says(second, "a2", 50)
    assert [*fleet.fleet.pods] == ["a1"]
    fleet.fleet.keep = timedelta(minutes=15)
    assert is_whole(fleet.overall(600, a_guard(window="6m")))
    found = fleet.overall(600, a_guard(window=LONG))
    assert value(found) == 0
    assert not is_whole(found)
    fleet.says(1101, "a1", 0)
    assert is_whole(fleet.overall(1101, a_guard(window=LONG))), at(200)
