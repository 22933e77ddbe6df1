"""What backlog another scaler would have had for as many replica-seconds. No cluster."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.records import Series
from bench.scaling.compared import comparison
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


def test_the_page_compares_each_rival_with_our_best_for_its_price() -> None:
    """Ours are 10 replica-seconds with 400 backlog-seconds and 40 with as many as the record has."""
    fast = a_record(sizes=[[0.0, 4, 4, 4]])
    slow = a_record(scaler="operator-drainTarget=60s", sizes=[[0.0, 1, 1, 1]], samples=[[0, 0, 0], [10, 80, 0]])
    rivals = {"hpa-5": [[0.0, 2, 2, 2]], "hpa-tuned-5": [[0.0, 9, 9, 9]], "hpa-300": [[0.0, 0, 0, 0], [9.0, 1, 1, 1]]}
    records = {label: a_record(scaler=label, sizes=sizes) for label, sizes in rivals.items()}
    ideal = a_record(scaler="fixed-20", samples=[[0, 0, 0], [10, 8, 0]])
    records |= {"operator": fast, "operator-drainTarget=60s": slow, "fixed-20": ideal}
    text = comparison({label: Series({}, (record,)) for label, record in records.items()})
    backlog = score(fast).backlog_seconds
    between, least = (backlog * 400) ** 0.5, f"{40 / backlog:.2f}"
    rows = [line for line in text.splitlines() if line.startswith("| step")]
    assert rows == [
        f"| step | hpa-5 | 20 | {backlog:.0f} | {between:.0f} | {between / backlog:.2f} | {least} |",
        f"| step | hpa-300 | 1 | {backlog:.0f} | none so cheap |  | {least} |",
        f"| step | hpa-tuned-5 | 90 | {backlog:.0f} | {backlog:.0f} | 1.00 | {least} |",
    ]
    assert f"below a quarter of `hpa-5`: step {between / backlog:.2f} (**missed**)" in text
    assert "never above the best tuning: at worst 1.00, step against hpa-tuned-5 (met)" in text
    assert comparison({"operator": Series({}, (fast,))}) == "", "nobody to compare with"


def test_under_a_limit_replica_seconds_are_judged_and_not_the_backlog() -> None:
    ours, theirs = (a_record(trace="rate-limited", scaler=label) for label in ("operator", "hpa-5"))
    ours["sizes"], theirs["sizes"] = [[0.0, 1, 1, 1]], [[0.0, 10, 10, 10]]
    text = comparison({"operator": Series({}, (ours,)), "hpa-5": Series({}, (theirs,))})
    assert "which knows of none: 0.10 (**missed**)" in text, "equal is not below"
    assert "quarter" not in text
