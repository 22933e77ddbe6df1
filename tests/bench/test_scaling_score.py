"""Scores of replayed loads, on series made by hand. No cluster."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.figures import percentile
from bench.records import Series
from bench.scaling.report import replay_table, section
from bench.scaling.score import percentile_of, score, steps, tally, trapezoids
from tests.bench.records import a_record


def test_a_record_has_exactly_these_scores() -> None:
    found = score(a_record())
    assert found.backlog_seconds == 10 + 30 + 10  # between 1 and 2, 2 and 4, 4 and 6
    assert found.replica_seconds == pytest.approx(2 * 5.5 + 1 * 1.9)
    assert (found.writes, found.most) == (2, 2), "what only the status says is no write"
    assert (found.wait_p50, found.wait_p95) == (0.4, 2.5)


def test_pods_count_although_nobody_asks_for_them_any_more() -> None:
    sizes = [[0.0, 3, 3, 3], [4.0, 0, 3, 3], [9.0, 0, 0, 0]]
    assert score(a_record(sizes=sizes)).replica_seconds == 27


def test_who_never_scales_writes_nothing() -> None:
    found = score(a_record(sizes=[[0.0, 5, 5, 5]]))
    assert (found.writes, found.most, found.replica_seconds) == (0, 5, 50)


def test_a_step_holds_until_the_next_and_the_last_until_the_end() -> None:
    assert steps([(0, 1), (2, 3), (5, 0)], until=9) == 2 + 9
    assert steps([(0, 2)], until=3) == 6


def test_samples_are_joined_by_straight_lines() -> None:
    assert trapezoids([(0, 0), (2, 10), (3, 10)]) == 10 + 10
    assert trapezoids([(0, 7)]) == 0


@given(
    waits=st.lists(st.integers(min_value=0, max_value=900).map(lambda tenths: tenths / 10), min_size=1),
    percent=st.floats(min_value=0, max_value=100),
)
def test_percentiles_of_a_tally_are_those_of_the_values(waits: list[float], percent: float) -> None:
    assert percentile_of(tally(waits), percent) == percentile(waits, percent)


def test_a_tally_rounds_to_tenths() -> None:
    assert tally([0.04, 0.06, 0.14, 3.0]) == [(0.0, 1), (0.1, 2), (3.0, 1)]


def test_there_is_no_percentile_of_nothing() -> None:
    with pytest.raises(ValueError, match="no percentile"):
        percentile_of([], 50)


def test_the_table_has_a_row_for_each_load_and_scaler_in_the_order_of_loads() -> None:
    costs = {"cpu_s": 1.25, "rss_peak_mib": 81.2, "requests": {"watch": 2, "patch deployments": 5}}
    operator = Series({}, (a_record(trace="wave", **costs), a_record(**costs)))
    fixed = Series({}, (a_record(scaler="fixed-5", sizes=[[0.0, 5, 5, 5]], unbegun=3, refused=7),))
    rows = replay_table({"operator": operator, "fixed-5": fixed}).splitlines()[2:]
    assert rows == [
        "| step | operator | 50 | 13 | 0.4 s | 2.5 s | 2 | 2 | 7 | 1.2 | 81 | 0 | 0 |",
        "| step | fixed-5 | 50 | 50 | 0.4 s | 2.5 s | 5 | 0 |  |  |  | 3 | 7 |",
        "| wave | operator | 50 | 13 | 0.4 s | 2.5 s | 2 | 2 | 7 | 1.2 | 81 | 0 | 0 |",
    ]


def test_the_section_says_what_ran_at_the_same_time(tmp_path: Path) -> None:
    def write(label: str, begin: str, end: str) -> None:
        machine = {"cores": 2, "memory_mib": 4096, "kernel": "6", "python": "3.11", "kubernetes": "v1", "nice": 0}
        about = {"at": begin, "revision": "abc", "seed": 1, "machine": machine, "settings": {"ready_after_s": 5.0}}
        lines = [{"kind": "header", **about}, {"kind": "run", "at": end, "load1": 1.0, **a_record(scaler=label)}]
        (tmp_path / f"scaling-{label}.jsonl").write_text("\n".join(map(json.dumps, lines)))

    write("operator", "2026-11-24T10:00:00", "2026-11-24T10:12:00")
    write("fixed-5", "2026-11-24T10:01:00", "2026-11-24T10:13:00")
    write("later", "2026-11-24T11:00:00", "2026-11-24T11:12:00")
    text = section(tmp_path)
    origins = {line.split("`")[1]: line for line in text.splitlines() if line.startswith("Raw data:")}
    assert origins["bench/results/scaling-operator.jsonl"].endswith("Replayed at the same time: `fixed-5`.")
    assert origins["bench/results/scaling-fixed-5.jsonl"].endswith("Replayed at the same time: `operator`.")
    assert origins["bench/results/scaling-later.jsonl"].endswith("put on a node.")
    assert text.index("| step | operator |") < text.index("| step | fixed-5 |") < text.index("| step | later |")
    assert "![step](img/scaling-step.png)" in text
    assert "![wave]" not in text, "nobody ran it"
