"""What backlog another scaler would have had for as many replica-seconds. No cluster."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.records import Series
from bench.scaling.report import comparison
from bench.scaling.score import score
from bench.scaling.tradeoff import Point, for_as_much, frontier
from tests.bench.records import a_record

CURVE = [Point(100, 1600), Point(400, 100), Point(500, 150)]
points = st.builds(Point, st.floats(1, 1e6), st.floats(1, 1e6))


@pytest.mark.parametrize(
    ("spent", "expected"),
    [
        pytest.param(100, 1600, id="an outcome itself"),
        pytest.param(200, 400, id="between two, in logarithms"),
        pytest.param(400, 100, id="another outcome"),
        pytest.param(450, 100, id="who may spend more keeps the better outcome"),
        pytest.param(10_000, 100, id="beyond all"),
        pytest.param(99, None, id="none is so cheap"),
    ],
)
def test_what_a_curve_gives_for_its_price(spent: float, expected: float | None) -> None:
    found = for_as_much(CURVE, spent)
    assert found == (None if expected is None else pytest.approx(expected))


def test_a_beaten_outcome_is_nobodys_choice() -> None:
    assert frontier(CURVE) == CURVE[:2]
    assert for_as_much([], 1.0) is None


@given(curve=st.lists(points, min_size=1, max_size=6), spent=st.floats(1, 1e6), more=st.floats(1, 10))
def test_who_spends_more_never_has_more_backlog(curve: list[Point], spent: float, more: float) -> None:
    found, later = for_as_much(curve, spent), for_as_much(curve, spent * more)
    if found is not None:
        assert later is not None
        assert later <= found * (1 + 1e-9)
        cheapest = min(point.backlog_seconds for point in curve if point.replica_seconds <= spent)
        assert found <= cheapest * (1 + 1e-9)


def test_the_page_compares_each_of_our_outcomes_with_each_family() -> None:
    """20 replica-seconds of ours; theirs are 10 and 40 with 4 times and once the backlog."""
    fast = a_record(scaler="hpa-5", sizes=[[0.0, 4, 4, 4]])
    slow = a_record(scaler="hpa-50", sizes=[[0.0, 1, 1, 1]], samples=[[0, 0, 0], [10, 80, 0]])
    ours = a_record(sizes=[[0.0, 2, 2, 2]])
    series = {
        label: Series({}, (run,))
        for label, run in {"operator": ours, "hpa-5": fast, "hpa-tuned-5": fast, "hpa-50": slow}.items()
    }
    text = comparison(series)
    backlog = score(ours).backlog_seconds
    theirs = (backlog * 400) ** 0.5
    assert (
        f"| step | operator | 20 | {backlog:.0f} | {theirs:.0f} | {backlog / theirs:.2f} | none so cheap |  |" in text
    )
