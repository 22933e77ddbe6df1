"""Prometheus: a real one that scrapes small servers, and what is made of answers that it gives rarely or never."""

import asyncio
import dataclasses
import json
import math
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Histogram, generate_latest

from crm_operator.api.v1alpha1 import Guard
from crm_operator.domain.world import Reading, Unknown
from crm_operator.sources.endpoint import EndpointSource
from crm_operator.sources.prometheus import PrometheusSource, RangeQuery, prometheus_hub, queries_of
from crm_operator.sources.prometheus.answer import MAX_SAMPLES, MAX_SERIES, Span, members
from crm_operator.sources.secret import Secret
from tests.misbehaving import Handler, Server, answers, hang, served
from tests.prometheusserver import PrometheusServer
from tests.sources.conftest import Changes, running
from tests.sources.test_metric_sources import KEY, surroundings
from tests.unit.domain.fleet import NOON, at

OLD, NEW = "aaaaaaaaaaaaaaaa", "bbbbbbbbbbbbbbbb"
BY_REVISION = 'crm_sync_errors_total{revision="$(REVISION)"}'


def a_guard(query: str, *, reduce: str = "Increase", window: str = "5m", **metric: Any) -> Guard:
    timing = {} if reduce == "Last" else {"window": window}
    asked = {"from": "prometheus", "query": query} | metric
    return Guard.model_validate(
        {"name": "guard", "metric": asked, "reduce": reduce, "critical": {"above": 10}, **timing}
    )


class Desk:
    """A hub that asks one server for some guards."""

    def __init__(self, url: str, *guards: Guard, interval: float = 1, revisions: tuple[str, ...] = (OLD, NEW)) -> None:
        self.changes = Changes()
        self.hub = prometheus_hub(surroundings(self.changes))
        queries = [query for guard in guards for found in queries_of(guard, revisions).values() for query in found]
        endpoint = EndpointSource(Secret(url), "spec.metrics.prometheus.url")
        self.source = PrometheusSource(endpoint, timedelta(seconds=interval), revisions, frozenset(queries))
        self.hub.watch(KEY, self.source)

    def overall(self, guard: Guard) -> Reading | Unknown:
        return self.hub.evidence(KEY, guard).overall

    async def when(self, guard: Guard, is_so: Callable[[Any], bool], within: float = 20) -> Any:
        return await self.changes.until(lambda: self.overall(guard), is_so=is_so, within=within)


def is_value(value: float) -> Callable[[Any], bool]:
    return lambda found: isinstance(found, Reading) and found.value == value


def is_unknown(reason: str) -> Callable[[Any], bool]:
    return lambda found: isinstance(found, Unknown) and found.reason == reason


# -- a real Prometheus ------------------------------------------------------------------------------------------------


class Worker:
    """A scraped server whose counters a test sets."""

    def __init__(self, server: Server) -> None:
        self.server = server

    def says(self, **values: float) -> None:
        text = "".join(f"# TYPE {name} counter\n{name} {value}\n" for name, value in values.items())
        self.server.handler = answers(text=text)


@asynccontextmanager
async def scraped(home: Path, *revisions: str) -> AsyncIterator[tuple[PrometheusServer, list[Worker]]]:
    """One worker for each of `revisions`, with it as a label."""
    async with _served_all(len(revisions)) as servers:
        targets = {f"127.0.0.1:{s.port}": {"revision": r} for s, r in zip(servers, revisions, strict=True)}
        prometheus = PrometheusServer(home, targets)
        await asyncio.to_thread(prometheus.start)
        try:
            yield prometheus, [Worker(server) for server in servers]
        finally:
            await asyncio.to_thread(prometheus.stop)


@asynccontextmanager
async def _served_all(count: int) -> AsyncIterator[list[Server]]:
    if not count:
        yield []
        return
    async with (
        served(answers(text="crm_sync_errors_total 0\njobs_total 0\n")) as server,
        _served_all(count - 1) as more,
    ):
        yield [server, *more]


async def test_increases_by_revision_survive_restarts_of_workers_and_of_the_operator(tmp_path: Path) -> None:
    guard, ratio = (
        a_guard(BY_REVISION),
        a_guard(BY_REVISION, reduce="Ratio", perQuery='jobs_total{revision="$(REVISION)"}'),
    )
    async with scraped(tmp_path, OLD, NEW) as (prometheus, (old, new)):
        desk = Desk(prometheus.url, guard, ratio)
        async with running(desk.hub):
            await desk.when(guard, lambda r: isinstance(r, Reading) and r.samples == 2)
            old.says(crm_sync_errors_total=3, jobs_total=30)
            new.says(crm_sync_errors_total=7, jobs_total=10)
            await desk.when(guard, is_value(10))
            old.says(crm_sync_errors_total=1, jobs_total=31)  # a restart: 1 more
            found = await desk.when(guard, is_value(11))
            assert found.lower_bound is None
        # Another operator, which has never asked before, knows the whole window at once.
        desk = Desk(prometheus.url, guard, ratio)
        async with running(desk.hub):
            await desk.when(guard, is_value(11))
            evidence = desk.hub.evidence(KEY, guard)
            shares = desk.hub.evidence(KEY, ratio)
        sides = {side: found for side, found in evidence.by_revision.items() if isinstance(found, Reading)}
        assert {side: found.value for side, found in sides.items()} == {OLD: 4, NEW: 7}
        assert sides[OLD].at == sides[NEW].at, "both are asked for one moment"
        assert [recent.base for recent in sides[OLD].recent] == [None] * 9
        assert is_value(0.7)(shares.by_revision[NEW])


async def test_gauges_histograms_and_what_is_absent(tmp_path: Path) -> None:
    registry = CollectorRegistry()
    took = Histogram("took_seconds", "Time.", ["actor"], buckets=(1, 3, 5), registry=registry)
    took.labels("a").observe(1)
    took.labels("b").observe(1)
    highest = a_guard("latency", reduce="Max")
    last = a_guard("sum(latency)", reduce="Last")
    quantile = a_guard("took_seconds_bucket", reduce="Quantile", quantile=0.75)
    absent = a_guard("nothing_total")
    zero = a_guard("nothing_total or vector(0)")
    async with scraped(tmp_path, OLD) as (prometheus, (worker,)):
        worker.server.handler = answers(text="latency 7\n" + generate_latest(registry).decode())
        desk = Desk(prometheus.url, highest, last, quantile, absent, zero)
        async with running(desk.hub):
            assert (await desk.when(highest, lambda r: is_value(7)(r) and r.previous == 7)).lower_bound is None
            await desk.when(last, is_value(7))
            for actor, seconds in [("a", 2), ("b", 4)]:
                for _ in range(50):
                    took.labels(actor).observe(seconds)
            worker.server.handler = answers(text="latency 5\n" + generate_latest(registry).decode())
            await desk.when(quantile, is_value(4))
            await desk.when(last, is_value(5))
            assert is_value(7)(desk.overall(highest))
            await desk.when(absent, is_unknown("MetricMissing"))
            await desk.when(zero, is_value(0))
            assert desk.hub.health(KEY) is None, "a query without series is no fault of the server"
            # A target that is gone leaves no old value behind.
            worker.server.handler = answers(status=500)
            await desk.when(last, lambda r: isinstance(r, Unknown) and r.reason in ("MetricMissing", "Stale"))


async def test_a_query_that_prometheus_refuses_blocks_no_other(tmp_path: Path) -> None:
    wrong, failing, good = a_guard("up{"), a_guard("up + on() up", reduce="Last"), a_guard("up", reduce="Last")
    async with scraped(tmp_path, OLD, NEW) as (prometheus, _):
        desk = Desk(prometheus.url, wrong, failing, good)
        async with running(desk.hub):
            refused = await desk.when(wrong, is_unknown("QueryInvalid"))
            assert refused.why == "query: Prometheus cannot read the query; try it there"
            await desk.when(failing, is_unknown("QueryFailed"))
            await desk.when(good, is_value(1))
            assert desk.hub.health(KEY) is None


# -- answers that it gives rarely or never ----------------------------------------------------------------------------


def matrix(*series: tuple[dict[str, str], list[tuple[float, str]]], **extra: Any) -> bytes:
    result = [{"metric": labels, "values": values} for labels, values in series]
    return json.dumps({"status": "success", "data": {"resultType": "matrix", "result": result}} | extra).encode()


SPAN = Span(at(0), at(60), apart=timedelta(seconds=45), stale_after=timedelta(seconds=45))
QUERY = RangeQuery("query", "x", timedelta(seconds=60))
T = NOON.timestamp()


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        pytest.param(matrix(), "MetricMissing", id="no series"),
        pytest.param(matrix(({}, [])), "MetricMissing", id="a series without samples"),
        pytest.param(matrix(({}, [(T, "1")]), ({}, [(T, "2")])), "MetricsInvalid", id="a series twice"),
        pytest.param(matrix(({}, [(T + 1, "1"), (T, "2")])), "MetricsInvalid", id="time runs backwards"),
        pytest.param(matrix(({}, [(T, "1"), (T, "2")])), "MetricsInvalid", id="one time twice"),
        pytest.param(matrix(({}, [(T - 600, "1")])), "MetricsInvalid", id="stale timestamps"),
        pytest.param(matrix(({}, [(T + 600, "1")])), "MetricsInvalid", id="timestamps of tomorrow"),
        pytest.param(matrix(({}, [(math.nan, "1")])), "MetricsInvalid", id="no timestamp"),
        pytest.param(matrix(({}, [(T, "one")])), "MetricsInvalid", id="a word"),
        pytest.param(matrix(({}, [(T, "1")]), warnings=["s3cret"]), "QueryWarning", id="a warning"),
        pytest.param(matrix(*[({"n": str(n)}, [(T, "1")]) for n in range(MAX_SERIES + 1)]), "TooManySeries", id="201"),
        pytest.param(
            matrix(({}, [(T + n / 1e3, "1") for n in range(MAX_SAMPLES + 1)])), "TooManySeries", id="many samples"
        ),
        pytest.param(b'{"status": "error", "error": "s3cret"}', "MetricsInvalid", id="an error"),
        pytest.param(b'{"status": "success"}', "MetricsInvalid", id="no data"),
        pytest.param(b'{"status":"success","data":{"resultType":"vector","result":[]}}', "MetricsInvalid", id="vector"),
        pytest.param(b'{"status":"success","data":{"resultType":"matrix","result":[7]}}', "MetricsInvalid", id="seven"),
    ],
)
def test_an_answer_that_is_none(body: bytes, reason: str) -> None:
    found = members(body, QUERY, SPAN)
    assert isinstance(found, Unknown)
    assert found.reason == reason
    assert "s3cret" not in found.why


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        pytest.param(matrix(({"le": "one"}, [(T, "1")])), "MetricInvalid", id="a bound in words"),
        pytest.param(matrix(({"pod": "a"}, [(T, "1")])), "MetricInvalid", id="no bound"),
        pytest.param(matrix(*[({"le": str(n)}, [(T, "1")]) for n in range(65)]), "TooManyBuckets", id="65 buckets"),
    ],
)
def test_series_that_are_no_histogram(body: bytes, reason: str) -> None:
    found = members(body, dataclasses.replace(QUERY, is_histogram=True), SPAN)
    assert isinstance(found, Unknown)
    assert found.reason == reason


def test_a_single_bucket_is_a_counter_like_any_other() -> None:
    found = members(matrix(({"le": "1"}, [(T, "1"), (T + 60, "5")])), QUERY, SPAN)
    assert not isinstance(found, Unknown)
    assert found[0].metrics["query"].counter.value == 5


def test_a_series_that_ended_is_not_there_but_what_it_added_is() -> None:
    found = members(
        matrix(({"pod": "a"}, [(T, "1"), (T + 10, "5")]), ({"pod": "b"}, [(T + 50, "7"), (T + 60, "7")])), QUERY, SPAN
    )
    assert not isinstance(found, Unknown)
    assert [member.is_there for member in found] == [False, True]
    assert [member.metrics["query"].counter.increase(timedelta(seconds=60), at(60)) for member in found] == [4, 0]


@given(st.binary(max_size=200))
def test_no_answer_breaks_the_parser(body: bytes) -> None:
    assert isinstance(members(body, QUERY, SPAN), Unknown)


_VALUE = st.one_of(st.floats(allow_nan=True).map(repr), st.sampled_from(["NaN", "+Inf", "-1", "x", ""]))


@given(st.lists(st.tuples(st.sampled_from("ab"), st.floats(-100, 200), _VALUE), max_size=20))
def test_whatever_the_samples_a_reading_is_finite(samples: list[tuple[str, float, str]]) -> None:
    by_name = {name: [(T + at_, v) for n, at_, v in sorted(samples, key=lambda s: s[1]) if n == name] for name in "ab"}
    found = members(matrix(*[({"n": name}, points) for name, points in by_name.items()]), QUERY, SPAN)
    if isinstance(found, Unknown):
        return
    for member in found:
        memory = member.metrics["query"]
        assert memory.newest is None or math.isfinite(memory.newest[0])
        assert math.isfinite(memory.counter.increase(timedelta(minutes=5), at(60)))


def test_what_is_asked_by_version() -> None:
    asked = queries_of(a_guard(BY_REVISION, reduce="Ratio", perQuery="jobs_total"), (OLD, NEW))
    assert list(asked) == [OLD, NEW]
    assert [query.text for query in asked[NEW]] == [f'crm_sync_errors_total{{revision="{NEW}"}}', "jobs_total"]
    assert [query.key for query in asked[NEW]] == ["query", "perQuery"]
    assert list(queries_of(a_guard("up", reduce="Last"), (OLD, NEW))) == [None]
    assert queries_of(a_guard(BY_REVISION), ()) == {}


async def test_the_request(tmp_path: Path) -> None:
    """Path and query of the URL stay; the window has one sample more; what is older than three intervals is none."""
    async with served(answers(body=matrix())) as server:
        guard = a_guard("x", window="1h")
        desk = Desk(f"http://127.0.0.1:{server.port}/prometheus/?tenant=crm", guard, interval=5)
        async with running(desk.hub):
            await desk.when(guard, is_unknown("MetricMissing"))
        asked = server.requests[0].query
        assert server.requests[0].path == "/prometheus/api/v1/query_range"
    assert asked["tenant"] == "crm"
    assert asked["query"] == "x"
    assert asked["lookback_delta"] == "15s"
    assert asked["step"] == "15", "an hour has 240 samples"
    assert float(asked["end"]) - float(asked["start"]) == 3615


async def test_a_slow_query_starves_no_other() -> None:
    slow, good = a_guard("slow", reduce="Last"), a_guard("good", reduce="Last")
    asked, enough = 0, asyncio.Event()

    async def answer(request: Any) -> Any:
        nonlocal asked
        if request.query["query"] == "slow":
            return await hang(request)
        asked += 1
        if asked > 3:
            enough.set()
        return await answers(body=matrix(({}, [(float(request.query["end"]), "1")])))(request)

    async with served(answer) as server:
        desk = Desk(f"http://127.0.0.1:{server.port}", slow, good, interval=0.05)
        async with running(desk.hub):
            await desk.when(good, is_value(1))
            await desk.when(slow, is_unknown("Timeout"))
            asked = 0
            await asyncio.wait_for(enough.wait(), 10)
            assert is_value(1)(desk.overall(good))
            assert desk.hub.health(KEY) is None


def refusing(status: int) -> Handler:
    return answers(status=status, text='{"status":"error","error":"s3cret"}')


@pytest.mark.parametrize(
    ("status", "reason"),
    [(400, "QueryInvalid"), (422, "QueryFailed"), (503, "HttpStatus"), (401, "AuthenticationFailed")],
)
async def test_refusals(status: int, reason: str) -> None:
    async with served(refusing(status)) as server:
        guard = a_guard("x")
        desk = Desk(f"http://127.0.0.1:{server.port}", guard)
        async with running(desk.hub):
            unknown = await desk.when(guard, is_unknown(reason))
    assert "s3cret" not in unknown.why
