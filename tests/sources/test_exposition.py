"""Reading the Prometheus text format: what counts, what is missing, what is nonsense."""

import math
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from crm_operator.domain.scraped import Sample
from crm_operator.domain.world import Unknown
from crm_operator.sources.pods.exposition import MAX_LINES, MAX_WANTED, parse


def read(name: str, text: str) -> Sample | Unknown:
    found = parse(text.encode(), frozenset({name}))
    assert not isinstance(found, Unknown), found
    return found[name]


@pytest.mark.parametrize(
    ("name", "text", "total", "worst"),
    [
        pytest.param("x_total", "# TYPE x_total counter\nx_total 3\n", 3, 3, id="a counter"),
        pytest.param("x", "# TYPE x_total counter\nx_total 3\n", 3, 3, id="a counter named without _total"),
        pytest.param("x_total", "# TYPE x counter\nx 3\n", 3, 3, id="a counter exposed without _total"),
        pytest.param("x", "x 3\n", 3, 3, id="without a type"),
        pytest.param("x", "x 1\nx_total 2\n", 1, 1, id="the exact name goes first"),
        pytest.param("x_total", 'x_total{a="1"} 1\nx_total{a="2"} 2.5\n', 3.5, 2.5, id="several series"),
        pytest.param("x_total", "# HELP x_total x_total 9\n# TYPE x_total counter\n", 0, 0, id="declared, no series"),
        pytest.param("x", "# TYPE x gauge\n", 0, 0, id="a declared gauge"),
        pytest.param("x_count", "# TYPE x histogram\n", 0, 0, id="the count of a declared histogram"),
        pytest.param("x", 'x{a="} 7 \\" {"} 1\n', 1, 1, id="braces in a label"),
        pytest.param("x", "x_y 5\nx 1\nxx 7\n", 1, 1, id="names that begin alike"),
        pytest.param("x", "x\t4 1700000000000\r\n", 4, 4, id="tabs, a timestamp and a carriage return"),
        pytest.param("x", "\n\n#\n# a comment\nx 1e3\n", 1000, 1000, id="comments, and an exponent"),
    ],
)
def test_values(name: str, text: str, total: float, worst: float) -> None:
    assert read(name, text) == Sample(total, worst)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        pytest.param("", "MetricMissing", id="an empty answer"),
        pytest.param("y 1\n", "MetricMissing", id="another metric"),
        pytest.param("x NaN\n", "MetricInvalid", id="not a number"),
        pytest.param("x +Inf\n", "MetricInvalid", id="infinite"),
        pytest.param('x{a="1"} 1\nx{a="2"} NaN\n', "MetricInvalid", id="one of the series is not a number"),
        pytest.param(f"x {'9' * 400}\n", "MetricInvalid", id="a number without end"),
        pytest.param("x one\n", "MetricInvalid", id="a word"),
        pytest.param("x{a=1} 1\n", "MetricInvalid", id="no quotes"),
        pytest.param('x{a="1"} 1\nx{a="1"} 2\n', "MetricInvalid", id="the same series twice"),
        pytest.param(f'x{{a="{"y" * 5000}"}} 1\n', "MetricInvalid", id="a line without end"),
    ],
)
def test_what_is_no_value(text: str, reason: str) -> None:
    sample = read("x", text)
    fault = sample.total if isinstance(sample, Sample) else sample
    assert isinstance(fault, Unknown)
    assert fault.reason == reason
    if isinstance(sample, Sample):
        assert isinstance(sample.worst, Unknown)


def test_a_negative_number_is_no_counter_but_may_be_a_gauge() -> None:
    sample = read("x", "x -1\n")
    assert isinstance(sample, Sample)
    assert isinstance(sample.total, Unknown)
    assert sample.worst == -1


def test_a_counter_by_workspace() -> None:
    text = 'x_total{workspace="ws_1",actor="a"} 1\nx_total{actor="b",workspace="ws_1"} 2\nx_total{actor="a"} 4\n'
    found = parse(text.encode(), frozenset({"x_total"}), by_workspace=frozenset({"x_total"}))
    assert found == {"x_total": Sample(7, 4, None, {hash("ws_1"): 3})}
    for nothing in ("# TYPE x_total counter\n", 'x_total{workspace="ws_1"} 0\n'):
        found = parse(nothing.encode(), frozenset({"x_total"}), by_workspace=frozenset({"x_total"}))
        assert not isinstance(found, Unknown)
        sample = found["x_total"]
        assert isinstance(sample, Sample)
        assert isinstance(sample.workspaces, dict), "nothing has failed yet, and so in no workspace"


def test_nonsense_spoils_its_own_metric_only() -> None:
    found = parse(b'bad{a="\xff"} 1\nworse{{{ 1\ngood 2\n\xff\xfe 3\n', frozenset({"bad", "worse", "good"}))
    assert not isinstance(found, Unknown)
    assert found["good"] == Sample(2, 2)
    assert isinstance(found["bad"], Unknown)
    assert isinstance(found["worse"], Unknown)


def test_an_answer_that_is_cut_off_is_not_used() -> None:
    """Cut, 17 reads as 1: the counter would look as if it had begun anew."""
    found = parse(b"x_total 1", frozenset({"x_total"}))
    assert isinstance(found, Unknown)
    assert found.reason == "MetricsInvalid"


def test_too_many_series_are_not_parsed() -> None:
    body = b"".join(b'x{a="%d"} 1\n' % n for n in range(MAX_LINES + 1))
    found = parse(body, frozenset({"x"}))
    assert isinstance(found, Unknown)
    assert found.reason == "TooManySeries"


def test_what_prometheus_client_writes_is_read() -> None:
    registry = CollectorRegistry()
    jobs = Counter("dramatiq_messages", "Jobs.", ["queue_name"], registry=registry)
    Gauge("webhook_latency_p95", "Seconds.", registry=registry).set(1.5)
    Histogram("took", "Seconds.", registry=registry).observe(2)
    Counter("crm_sync_errors", "Errors.", ["code"], registry=registry)
    jobs.labels('sy"nc\n').inc(5)
    jobs.labels("other").inc(2)
    names = {"dramatiq_messages_total", "webhook_latency_p95", "took_count", "crm_sync_errors_total"}
    assert parse(generate_latest(registry), frozenset(names)) == {
        "dramatiq_messages_total": Sample(7, 5),
        "webhook_latency_p95": Sample(1.5, 1.5),
        "took_count": Sample(1, 1),
        "crm_sync_errors_total": Sample(0, 0),
    }


SHARED = """
from prometheus_client import CollectorRegistry, Counter, generate_latest, multiprocess
errors = Counter("crm_sync_errors", "Errors.", ["workspace"])
if {touched}:
    errors.labels(workspace="none")
registry = CollectorRegistry()
multiprocess.MultiProcessCollector(registry)
print(generate_latest(registry).decode(), end="")
"""


@pytest.mark.parametrize(("touched", "found"), [(False, "MetricMissing"), (True, 0)])
def test_a_labelled_counter_that_processes_share_is_there_from_its_first_series_on(
    touched: bool, found: float | str, tmp_path: Path
) -> None:
    told = subprocess.run(
        [sys.executable, "-c", SHARED.format(touched=touched)],
        env={"PROMETHEUS_MULTIPROC_DIR": str(tmp_path)},
        capture_output=True,
        check=True,
    ).stdout
    name = "crm_sync_errors_total"
    result = parse(told, frozenset({name}), by_workspace=frozenset({name}))
    assert not isinstance(result, Unknown)
    sample = result[name]
    assert (sample.reason if isinstance(sample, Unknown) else sample.total) == found
    assert isinstance(sample, Unknown) or not isinstance(sample.workspaces, Unknown)


@given(st.binary(max_size=300))
def test_no_answer_makes_it_raise(noise: bytes) -> None:
    parse(noise + b"\n", frozenset({"x"}))
    parse(b"x" + noise + b"\n# TYPE x " + noise + b"\nx{" + noise + b"} 1\n", frozenset({"x"}))


@pytest.mark.parametrize(
    "line",
    [
        pytest.param(b'x{a="' + b'\\"' * 500 + b'"} 1\n', id="quotes"),
        pytest.param(b"x{" + b'a="b",' * 160 + b"} 1\n", id="labels"),
        pytest.param(b'x{a="' + b"\\" * 1000 + b'"} 1\n', id="backslashes"),
        pytest.param(b"#" + b" \t" * 1000 + b"\n", id="blanks"),
        pytest.param(b"\t" * 2000 + b"\n", id="a line of blanks"),
        pytest.param(b"zzz 1\n", id="short lines of others"),
    ],
)
def test_the_worst_megabyte_holds_the_event_loop_less_than_a_moment(line: bytes) -> None:
    body = line * (MAX_WANTED // len(line)) + b"z 1\n" * (768 * 1024 // 4)
    started = time.perf_counter()
    parse(body, frozenset({"x"}))
    assert time.perf_counter() - started < 2


# -- histograms -------------------------------------------------------------------------------------------------------


def test_the_buckets_of_all_label_sets_are_one_histogram() -> None:
    registry = CollectorRegistry()
    took = Histogram("took", "Seconds.", ["actor"], buckets=(1, 5), registry=registry)
    for actor, seconds in [("a", 0.5), ("a", 3), ("b", 3), ("b", 9)]:
        took.labels(actor).observe(seconds)
    found = read("took_bucket", generate_latest(registry).decode())
    assert isinstance(found, Sample)
    assert found.buckets == ((1.0, 1.0), (5.0, 3.0), (math.inf, 4.0))


def test_a_declared_histogram_has_observed_nothing() -> None:
    found = read("took_bucket", "# TYPE took histogram\n")
    assert isinstance(found, Sample)
    assert found.buckets == ((math.inf, 0.0),)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        pytest.param("took_bucket 1\n", "MetricInvalid", id="no bound"),
        pytest.param('took_bucket{le="one"} 1\n', "MetricInvalid", id="a bound in words"),
        pytest.param('took_bucket{le="1"} 1\n', "MetricInvalid", id="no +Inf"),
        pytest.param('took_bucket{le="1"} 3\ntook_bucket{le="+Inf"} 2\n', "MetricInvalid", id="counts that fall"),
        pytest.param('took_bucket{le="1"} -3\ntook_bucket{le="+Inf"} 2\n', "MetricInvalid", id="a count below 0"),
        pytest.param('took_bucket{le="NaN"} 3\ntook_bucket{le="+Inf"} 2\n', "MetricInvalid", id="a bound that is none"),
        pytest.param(
            "".join(f'took_bucket{{le="{n}"}} 1\n' for n in [*range(64), "+Inf"]), "TooManyBuckets", id="65 buckets"
        ),
    ],
)
def test_what_is_no_histogram(text: str, reason: str) -> None:
    found = read("took_bucket", text)
    assert isinstance(found, Sample)
    assert isinstance(found.buckets, Unknown)
    assert found.buckets.reason == reason
    assert found.total, "it is a counter still"


@pytest.mark.parametrize(
    ("stamp", "stale"),
    [
        pytest.param("", False, id="none"),
        pytest.param(" 1700000000000", False, id="new enough"),
        pytest.param(" 1699999999999", True, id="too old"),
        pytest.param(" NaN", True, id="no time"),
    ],
)
def test_a_timestamp_of_its_own(stamp: str, stale: bool) -> None:
    found = parse(f"x 4{stamp}\n".encode(), frozenset({"x"}), not_before=1_700_000_000)
    assert not isinstance(found, Unknown)
    sample = found["x"]
    assert (isinstance(sample, Unknown) and sample.reason == "Stale") == stale


def test_a_sum_without_end_is_no_counter() -> None:
    found = read("x", 'x{a="1"} 1.7e308\nx{a="2"} 1.7e308\n')
    assert isinstance(found, Sample)
    assert isinstance(found.total, Unknown)
    assert found.worst == 1.7e308
