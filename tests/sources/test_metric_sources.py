"""One contract for all sources of metrics: whatever a server does, there is a value that it gave, or an Unknown.

Each source is run against one real server that misbehaves and then behaves.
"""

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any, Protocol

import pytest
from aiohttp import web

from crm_operator.api.v1alpha1 import Guard, MetricOrigin
from crm_operator.domain.key import Key
from crm_operator.domain.world import Evidence, Reading, Unknown
from crm_operator.sources.address import AddressPolicy
from crm_operator.sources.backend import BackendSource, backend_hub
from crm_operator.sources.endpoint import EndpointSource
from crm_operator.sources.pods import PodHub, PodSource, PodTarget
from crm_operator.sources.polling import Surroundings
from crm_operator.sources.prometheus import PrometheusSource, prometheus_hub, queries_of
from crm_operator.sources.secret import Secret
from tests.misbehaving import FAULTS, SECRET, Handler, Server, answers, served
from tests.sources.conftest import Changes, now, running
from tests.unit.domain.fleet import ERRORS, a_guard

KEY = Key("crm", "hubspot")
INTERVAL, TIMEOUT, MAX_BYTES = timedelta(seconds=0.05), timedelta(seconds=0.3), 100_000


class Hub(Protocol):
    def evidence(self, key: Key, guard: Guard) -> Evidence: ...
    def health(self, key: Key) -> Unknown | None: ...
    async def run(self) -> None: ...


@dataclasses.dataclass(frozen=True)
class Kind:
    """How one source is set up, and what a server that behaves says to it."""

    watch: Callable[[int, Changes], Hub]  # given the server's port
    says: Callable[[str], Handler]  # ERRORS has the value that is written so
    guard: Callable[[str], Guard]  # by reduce
    says_late: Handler  # a value that is a minute old, and said to be


def _pods(port: int, changes: Changes) -> Hub:
    hub = PodHub(on_change=changes, clock=now, timeout=TIMEOUT, max_bytes=MAX_BYTES)
    target = PodTarget(name="p", uid="u", ip="127.0.0.1", role="stable", revision="r", started_at=None)
    names = frozenset({ERRORS})
    hub.watch(
        KEY, PodSource(port, "/metrics", INTERVAL, names, timedelta(minutes=5), (target,), levels=frozenset({ERRORS}))
    )
    return hub


def surroundings(changes: Changes) -> Surroundings:
    policy = AddressPolicy(("127.0.0.1", "localhost"))
    return Surroundings(policy=policy, on_change=changes, clock=now, timeout=TIMEOUT, max_bytes=MAX_BYTES)


def _backend(port: int, changes: Changes) -> Hub:
    hub = backend_hub(surroundings(changes))
    endpoint = EndpointSource(Secret(f"http://127.0.0.1:{port}/crm/metrics"), "spec.metrics.backend.url")
    names = frozenset({ERRORS})
    hub.watch(KEY, BackendSource(endpoint, ("metrics",), INTERVAL, names, names, timedelta(minutes=5)))
    return hub


def _prometheus(port: int, changes: Changes) -> Hub:
    hub = prometheus_hub(surroundings(changes))
    endpoint = EndpointSource(Secret(f"http://127.0.0.1:{port}"), "spec.metrics.prometheus.url")
    queries = [query for reduce in ("Last", "Increase") for query in queries_of(_query(reduce), ())[None]]
    hub.watch(KEY, PrometheusSource(endpoint, INTERVAL, (), frozenset(queries)))
    return hub


def _query(reduce: str) -> Guard:
    guard = a_guard(reduce=reduce)
    asked = {"from_": MetricOrigin.PROMETHEUS, "name": None, "query": ERRORS}
    return guard.model_copy(update={"metric": guard.metric.model_copy(update=asked)})


def _says_by_version(value: str) -> Handler:
    return answers(text=f"{ERRORS} {value}\n")


def _says_in_json(value: str) -> Handler:
    return answers(text=f'{{"metrics": {{"{ERRORS}": {value}}}, "note": "{SECRET}"}}')


def _says_to_a_query(value: str) -> Handler:
    async def handler(request: web.BaseRequest) -> web.StreamResponse:
        assert isinstance(request, web.BaseRequest)
        points = [[float(request.query[name]), value] for name in ("start", "end")]
        data = {"resultType": "matrix", "result": [{"metric": {"note": SECRET}, "values": points}]}
        return web.json_response({"status": "success", "data": data})

    return handler


async def _late_query(request: web.BaseRequest) -> web.StreamResponse:
    data = {"resultType": "matrix", "result": [{"metric": {}, "values": [[float(request.query["end"]) - 60, "3"]]}]}
    return web.json_response({"status": "success", "data": data})


async def _late_pod(request: web.BaseRequest) -> web.StreamResponse:
    return web.Response(text=f"{ERRORS} 3 {int((now().timestamp() - 60) * 1000)}\n")


_LATE_JSON = answers(text=f'{{"metrics": {{"{ERRORS}": 3}}}}', headers={"Age": "60"})

KINDS = {
    "pods": Kind(_pods, _says_by_version, lambda reduce: a_guard(reduce=reduce), _late_pod),
    "backend": Kind(_backend, _says_in_json, lambda reduce: a_guard(reduce=reduce), _LATE_JSON),
    "prometheus": Kind(_prometheus, _says_to_a_query, _query, _late_query),
}


def kinds(*names: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("kind", [pytest.param(KINDS[name], id=name) for name in names])


each_kind = kinds(*KINDS)


class Stand:
    """A source that reads a server."""

    def __init__(self, kind: Kind, server: Server) -> None:
        self.kind, self.server, self.changes = kind, server, Changes()
        self.hub = kind.watch(server.port, self.changes)

    def overall(self, reduce: str = "Last") -> Reading | Unknown:
        return self.hub.evidence(KEY, self.kind.guard(reduce)).overall

    async def when(self, is_so: Callable[[Any], bool], *, reduce: str = "Last") -> Any:
        return await self.changes.until(lambda: self.overall(reduce), is_so=is_so)

    async def reading(self, value: float, *, reduce: str = "Last") -> Reading:
        found = await self.when(lambda r: isinstance(r, Reading) and r.value == value, reduce=reduce)
        assert isinstance(found, Reading)
        return found

    async def unknown(self, reason: str) -> Unknown:
        found = await self.when(lambda r: isinstance(r, Unknown) and r.reason == reason)
        assert isinstance(found, Unknown)
        return found


@asynccontextmanager
async def a_stand(kind: Kind, handler: Handler) -> AsyncIterator[Stand]:
    async with served(handler) as server:
        stand = Stand(kind, server)
        async with running(stand.hub):
            yield stand


@each_kind
@pytest.mark.parametrize("fault", FAULTS)
async def test_a_server_that_misbehaves_gives_no_value_and_is_heard_again(kind: Kind, fault: str) -> None:
    handler, reason = FAULTS[fault]
    async with a_stand(kind, handler) as stand:
        unknown = await stand.unknown(reason)
        health = stand.hub.health(KEY)
        assert SECRET not in unknown.why + (health.why if health else "")
        stand.server.handler = kind.says("3")
        assert (await stand.reading(3)).samples == 1


@each_kind
@pytest.mark.parametrize(
    ("value", "reduce", "reason"),
    [
        pytest.param("NaN", "Last", "MetricInvalid", id="not a number"),
        pytest.param("Infinity", "Last", "MetricInvalid", id="infinite"),
        pytest.param("1e999", "Last", "MetricInvalid", id="beyond all numbers"),
        pytest.param("9" * 400, "Last", "MetricInvalid", id="400 digits"),
        pytest.param("-5", "Increase", "MetricInvalid", id="a negative counter"),
    ],
)
async def test_a_value_that_is_none(kind: Kind, value: str, reduce: str, reason: str) -> None:
    async with a_stand(kind, kind.says(value)) as stand:
        unknown = await stand.when(lambda r: isinstance(r, Unknown) and r.reason == reason, reduce=reduce)
        assert unknown.why.count(ERRORS) + unknown.why.count("query") == 1, "what it is of is said, and said once"


@each_kind
async def test_a_negative_gauge_is_a_value(kind: Kind) -> None:
    async with a_stand(kind, kind.says("-5")) as stand:
        await stand.reading(-5)


@each_kind
async def test_a_few_bad_answers_undo_neither_the_value_before_nor_the_health(kind: Kind) -> None:
    failed = asyncio.Event()

    async def fail(request: web.BaseRequest) -> web.StreamResponse:
        failures.append(request)
        if len(failures) > 3:
            failed.set()
        return web.Response(status=500)

    failures: list[web.BaseRequest] = []
    async with a_stand(kind, kind.says("3")) as stand:
        await stand.reading(3)
        stand.server.handler = fail
        await asyncio.wait_for(failed.wait(), 10)
        assert isinstance(stand.overall(), Reading)
        assert stand.hub.health(KEY) is None
        # ... until the value is three intervals, and three seconds, old.
        await stand.changes.until(lambda: stand.hub.health(KEY), is_so=lambda health: health is not None)
        assert isinstance(stand.overall(), Unknown)


@kinds("pods", "backend")  # Prometheus has its own past: test_prometheus.py
async def test_what_was_counted_before_an_outage_is_counted_after_it(kind: Kind) -> None:
    async with a_stand(kind, kind.says("3")) as stand:
        await stand.when(lambda r: isinstance(r, Reading), reduce="Increase")
        stand.server.handler = answers(status=500)
        await stand.changes.until(lambda: stand.hub.health(KEY), is_so=lambda health: health is not None)
        stand.server.handler = kind.says("8")
        found = await stand.reading(5, reduce="Increase")
        assert found.lower_bound is not None, "nobody knows what was before the first reading"


@each_kind
async def test_nobody_listens(kind: Kind) -> None:
    async with served(kind.says("3")) as server:
        stand = Stand(kind, server)
    async with running(stand.hub):
        await stand.unknown("ConnectionRefused")


@each_kind
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff\xfe\xff",
        b"[" * 90_000,
        b'"' * 90_000,
        b"{" * 90_000,
        b"\x00" * 9_000,
        b"null",
        b"<html>s3cret</html>",
    ],
    ids=["empty", "bad UTF-8", "a deep nest", "quotes", "braces", "zeros", "nothing", "a web page"],
)
async def test_an_answer_of_another_kind(kind: Kind, body: bytes) -> None:
    async with a_stand(kind, answers(body=body)) as stand:
        unknown = await stand.when(lambda r: isinstance(r, Unknown) and r.reason != "Starting")
        assert unknown.reason in ("MetricsInvalid", "MetricMissing", "MetricInvalid")
        assert SECRET not in unknown.why


@each_kind
async def test_a_million_series(kind: Kind) -> None:
    many = b"".join(b'%s{n="%d"} 1\n' % (ERRORS.encode(), n) for n in range(1_000_000))
    async with a_stand(kind, answers(body=many)) as stand:
        await stand.unknown("TooLarge")


@each_kind
async def test_a_value_that_is_old_already_is_none(kind: Kind) -> None:
    async with a_stand(kind, kind.says_late) as stand:
        unknown = await stand.when(lambda r: isinstance(r, Unknown) and r.reason != "Starting")
        assert unknown.reason in ("Stale", "MetricsInvalid")
        stand.server.handler = kind.says("3")
        await stand.reading(3)
