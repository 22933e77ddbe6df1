"""The arithmetic and the page of the benchmarks' report. No cluster."""

import json
import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.cost import count_requests, where_time_goes
from bench.figures import Aim, percentile, summary
from bench.records import RESULTS, Series, Writer, read
from bench.report import PAGE, page, section

numbers = st.lists(st.floats(min_value=0, max_value=1e6), min_size=1, max_size=50)


@pytest.mark.parametrize(
    ("values", "percent", "expected"),
    [
        pytest.param([7.0], 95, 7.0, id="one value is every percentile"),
        pytest.param([1.0, 2.0], 50, 1.0, id="half of two values is the lower"),
        pytest.param([float(n) for n in range(1, 21)], 50, 10.0, id="p50 of 20 is the 10th"),
        pytest.param([float(n) for n in range(1, 21)], 95, 19.0, id="p95 of 20 is the second largest"),
        pytest.param([float(n) for n in range(1, 101)], 95, 95.0, id="p95 of 100 is the 95th"),
        pytest.param([3.0, 1.0, 2.0], 0, 1.0, id="p0 is the smallest"),
        pytest.param([3.0, 1.0, 2.0], 100, 3.0, id="p100 is the largest"),
    ],
)
def test_percentiles_are_values_by_nearest_rank(values: list[float], percent: float, expected: float) -> None:
    assert percentile(values, percent) == expected


@given(values=numbers, percent=st.floats(min_value=0, max_value=100))
def test_a_percentile_occurred_and_enough_values_are_not_above_it(values: list[float], percent: float) -> None:
    found = percentile(values, percent)
    assert found in values
    assert sum(value <= found for value in values) >= len(values) * percent / 100


@given(values=numbers, seed=st.integers())
def test_a_summary_rises_and_knows_no_order(values: list[float], seed: int) -> None:
    found = summary(values)
    assert (found.n, found.min, found.max) == (len(values), min(values), max(values))
    assert found.min <= found.p50 <= found.p95 <= found.max
    shuffled = list(values)
    random.Random(seed).shuffle(shuffled)
    assert summary(shuffled) == found


@pytest.mark.parametrize(("values", "percent"), [([], 50), ([1.0], -1), ([1.0], 101)])
def test_there_is_no_percentile_of_nothing_or_beyond_100(values: list[float], percent: float) -> None:
    with pytest.raises(ValueError, match="no percentile"):
        percentile(values, percent)


def test_an_aim_is_missed_by_either_number() -> None:
    found = summary([1.0] * 18 + [2.0, 2.0])
    assert Aim(p50=1.1, p95=2.1).met(found)
    assert not Aim(p50=1.0, p95=2.1).met(found), "equal is not below"
    assert not Aim(p50=1.1, p95=2.0).met(found)


def test_a_cell_of_scale_counts_only_its_own_runs() -> None:
    runs = [
        {"from": 0, "to": 4, "seconds": 0.5, "sending_s": 0.001, "sizes": [4]},
        {"from": 0, "to": 4, "seconds": 2.5, "sending_s": 0.001, "sizes": [2, 4]},
        {"from": 1, "to": 4, "seconds": 0.25, "sending_s": 0.002, "sizes": [4]},
    ]
    text = section("scale", Series({}, tuple(runs)))
    assert "| 0 -> 4 | 2 | 0.50 | 0.50 | 2.50 | 2.50 | p50 < 0.7 s, p95 < 1.2 s | **missed** |" in text
    assert "| 1 -> 4 | 1 | 0.25 | 0.25 | 0.25 | 0.25 | p50 < 0.7 s, p95 < 1.2 s | met |" in text
    assert "in one write in 2 of 3 runs" in text


def test_idle_shows_upkeep_apart_from_other_requests() -> None:
    requests = {"watch": 4, "lease": 150, "list pods": 1, "get secrets": 5}
    run = {
        "integrations": 0,
        "seconds": 300,
        "rss_mib": 80.04,
        "rss_peak_mib": 81,
        "cpu_s_per_min": 0.1,
        "requests": requests,
    }
    text = section("idle", Series({}, (run,)))
    assert "| 0 | 300 s | 80.0 | 81.0 | 0.10 | 1.0 | 0.8 | 0.2 | 30.0 |" in text
    assert "(met)" in text


def test_only_the_operators_finished_requests_are_counted() -> None:
    def line(agent: str, verb: str, resource: str, stage: str = "ResponseComplete") -> str:
        return json.dumps({"userAgent": agent, "verb": verb, "objectRef": {"resource": resource}, "stage": stage})

    lines = [
        line("crm-operator", "patch", "leases"),
        line("crm-operator", "list", "pods"),
        line("kopf/1.45", "watch", "pods"),
        line("kopf/1.45", "watch", "pods", stage="ResponseStarted"),
        line("python-httpx/0.28", "get", "pods"),
        line("kube-scheduler/v1", "list", "pods"),
    ]
    assert count_requests(lines) == {"lease": 1, "list pods": 1, "watch": 1}


def test_mean_times_are_of_what_happened_in_between() -> None:
    def text(waits: float, looks: int, patches: int) -> str:
        return "\n".join(
            [
                "# TYPE workqueue_queue_duration_seconds histogram",
                f'workqueue_queue_duration_seconds_bucket{{name="crmintegration",le="+Inf"}} {looks}',
                f'workqueue_queue_duration_seconds_sum{{name="crmintegration"}} {waits}',
                f'workqueue_queue_duration_seconds_count{{name="crmintegration"}} {looks}',
                "# TYPE rest_client_request_duration_seconds histogram",
                f'rest_client_request_duration_seconds_sum{{verb="PATCH",host="h"}} {patches / 100}',
                f'rest_client_request_duration_seconds_count{{verb="PATCH",host="h"}} {patches}',
                'rest_client_request_duration_seconds_sum{verb="GET",host="h"} 5',
                'rest_client_request_duration_seconds_count{verb="GET",host="h"} 5',
                "",
            ]
        )

    found = where_time_goes(text(1, 10, 100), text(1.5, 20, 300))
    assert found == {"request PATCH": [10.0, 200], "wait for a worker": [50.0, 10]}


def test_raw_data_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "new" / "series.jsonl"
    writer = Writer(path, {"bench": "scale"})
    writer.run(seconds=1.5)
    writer.run(seconds=2.5)
    series = read(path)
    assert series.header["bench"] == "scale"
    assert [(run["run"], run["seconds"]) for run in series.runs] == [(1, 1.5), (2, 2.5)]


def test_raw_data_without_a_header_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "series.jsonl"
    path.write_text('{"kind": "run", "run": 1}\n')
    with pytest.raises(ValueError, match="header"):
        read(path)


def test_the_page_is_what_the_raw_data_says() -> None:
    assert PAGE.read_text() == page(RESULTS), "run: python -m bench report --write"
