"""The JSON endpoint: what of an answer counts, credentials, TLS, and several processes behind one name."""

import asyncio
import dataclasses
import json
import logging
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from crm_operator.domain.key import Key
from crm_operator.domain.scraped import Sample
from crm_operator.domain.world import Reading, Unknown
from crm_operator.sources.address import AddressPolicy
from crm_operator.sources.backend import BackendHub, BackendSource, backend_hub
from crm_operator.sources.backend.answer import parse
from crm_operator.sources.endpoint import Endpoint, EndpointSource, endpoint_of
from crm_operator.sources.secret import Secret
from dev.cluster.pki import Authority
from tests.misbehaving import Handler, Server, answers, hang, served
from tests.sources.conftest import Changes, running
from tests.sources.test_metric_sources import INTERVAL, surroundings
from tests.unit.domain.fleet import ERRORS, a_guard

KEY = Key("crm", "hubspot")
FIELD = "spec.metrics.backend.url"
FAILED = "failed_syncs"


def numbers(**values: Any) -> Handler:
    return answers(text=json.dumps({"metrics": values}))


def a_source(url: str, **parts: Any) -> BackendSource:
    endpoint = EndpointSource(Secret(url), FIELD, **parts)
    names = frozenset({FAILED, ERRORS})
    return BackendSource(endpoint, ("metrics",), INTERVAL, names, frozenset(), timedelta(minutes=5))


class Desk:
    """A hub that reads a server."""

    def __init__(self) -> None:
        self.changes = Changes()
        self.hub: BackendHub = backend_hub(surroundings(self.changes))

    def overall(self, reduce: str = "Last", name: str = FAILED, key: Key = KEY) -> Reading | Unknown:
        return self.hub.evidence(key, a_guard(name, reduce=reduce)).overall

    async def when(self, is_so: Callable[[Any], bool], **what: Any) -> Any:
        return await self.changes.until(lambda: self.overall(**what), is_so=is_so)


def is_value(value: float) -> Callable[[Any], bool]:
    return lambda found: isinstance(found, Reading) and found.value == value


def is_unknown(reason: str) -> Callable[[Any], bool]:
    return lambda found: isinstance(found, Unknown) and found.reason == reason


@asynccontextmanager
async def a_desk(handler: Handler, **parts: Any) -> AsyncIterator[tuple[Desk, Server]]:
    async with served(handler) as server:
        desk = Desk()
        desk.hub.watch(KEY, a_source(f"http://127.0.0.1:{server.port}/crm/metrics?provider=hubspot", **parts))
        async with running(desk.hub):
            yield desk, server


async def test_the_runbooks_numbers_are_read_with_the_path_and_query_of_the_url() -> None:
    async with a_desk(numbers(failed_syncs=7, **{ERRORS: 0.5})) as (desk, server):
        await desk.when(is_value(7))
        assert desk.hub.evidence(KEY, a_guard(FAILED, reduce="Last")).by_revision == {}
        found = desk.overall(name=ERRORS)
        assert isinstance(found, Reading)
        assert found.value == 0.5
        assert server.requests[0].path_qs == "/crm/metrics?provider=hubspot"
        assert "Authorization" not in server.requests[0].headers


@pytest.mark.parametrize(
    ("body", "root", "found"),
    [
        pytest.param({"metrics": {FAILED: 3}}, "metrics", 3, id="an integer"),
        pytest.param({"metrics": {FAILED: -0.5}}, "metrics", -0.5, id="below zero"),
        pytest.param({"data": {"metrics": {FAILED: 3}}}, "data.metrics", 3, id="a way of two"),
        pytest.param({FAILED: 3}, "", 3, id="the answer itself"),
        pytest.param({"metrics": {FAILED: "3"}}, "metrics", "MetricInvalid", id="a text"),
        pytest.param({"metrics": {FAILED: True}}, "metrics", "MetricInvalid", id="yes"),
        pytest.param({"metrics": {FAILED: None}}, "metrics", "MetricInvalid", id="nothing"),
        pytest.param({"metrics": {FAILED: {"hubspot": 3}}}, "metrics", "MetricInvalid", id="an object"),
        pytest.param({"metrics": {"x": 3}}, "metrics", "MetricMissing", id="another name"),
        pytest.param({"metric": {FAILED: 3}}, "metrics", "MetricsInvalid", id="another root"),
        pytest.param({"metrics": [3]}, "metrics", "MetricsInvalid", id="a list"),
        pytest.param({"metrics": {FAILED: 3}}, "metrics.all", "MetricsInvalid", id="too far"),
    ],
)
def test_what_of_an_answer_counts(body: Any, root: str, found: float | str) -> None:
    names = frozenset({FAILED})
    answer = parse(json.dumps(body).encode(), root=root.split(".") if root else (), names=names)
    sample = answer if isinstance(answer, Unknown) else answer[FAILED]
    if isinstance(found, str):
        assert isinstance(sample, Unknown)
        assert sample.reason == found
    else:
        assert isinstance(sample, Sample)
        assert sample.worst == found


def test_a_name_twice_is_no_answer() -> None:
    answer = parse(b'{"metrics": {"a": 1, "a": 2}}', root=("metrics",), names=frozenset({"a"}))
    assert isinstance(answer, Unknown)
    assert answer.reason == "MetricsInvalid"


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_no_answer_breaks_the_parser(body: bytes) -> None:
    parse(body, root=("metrics",), names=frozenset({"a"}))


_JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["metrics", "a"]), inner, max_size=3),
)


@given(_JSON)
def test_only_finite_numbers_are_values(content: Any) -> None:
    answer = parse(json.dumps(content).encode(), root=("metrics",), names=frozenset({"a"}))
    if isinstance(answer, Unknown):
        return
    sample = answer["a"]
    if isinstance(sample, Sample):
        assert isinstance(sample.worst, float)
        assert sample.worst == float(content["metrics"]["a"])
        assert abs(sample.worst) < float("inf")


async def test_counters_that_fall_twice_are_those_of_several_processes() -> None:
    """Two replicas behind one Service: nothing of what goes up and down happened."""
    async with a_desk(numbers(failed_syncs=100)) as (desk, server):
        await desk.when(lambda found: isinstance(found, Reading), reduce="Increase")
        server.handler = numbers(failed_syncs=40)
        await desk.when(is_value(40))
        assert is_value(0)(desk.overall("Increase")), "the other's history is no increase"
        server.handler = numbers(failed_syncs=41)
        await desk.when(is_value(1), reduce="Increase")
        server.handler = numbers(failed_syncs=39)
        unknown = await desk.when(is_unknown("MetricUnsteady"), reduce="Increase")
        assert "several processes" in unknown.why


async def test_another_place_begins_anew_and_another_password_does_not() -> None:
    async with a_desk(numbers(failed_syncs=100)) as (desk, server), served(numbers(failed_syncs=900)) as other:
        await desk.when(lambda found: isinstance(found, Reading), reduce="Increase")
        desk.hub.watch(KEY, a_source(f"http://127.0.0.1:{server.port}/crm/metrics?provider=hubspot", token=Secret("t")))
        server.handler = numbers(failed_syncs=103)
        await desk.when(is_value(3), reduce="Increase")
        assert server.requests[-1].headers["Authorization"] == "Bearer t"
        desk.hub.watch(KEY, a_source(f"http://127.0.0.1:{other.port}/crm/metrics"))
        assert isinstance(desk.overall("Increase"), Unknown)
        found = await desk.when(lambda r: isinstance(r, Reading), reduce="Increase")
        assert found.value == 0
        assert "Authorization" not in other.requests[-1].headers


async def test_another_root_begins_anew() -> None:
    """The same name there is another number, and what it shows more is no increase."""

    async def both(request: web.BaseRequest) -> web.StreamResponse:
        return web.json_response({"metrics": {FAILED: 100}, "all": {FAILED: 900}})

    async with a_desk(both) as (desk, server):
        await desk.when(is_value(0), reduce="Increase")
        source = a_source(f"http://127.0.0.1:{server.port}/crm/metrics?provider=hubspot")
        desk.hub.watch(KEY, dataclasses.replace(source, root=("all",)))
        assert isinstance(desk.overall("Increase"), Unknown)
        await desk.when(is_value(900))
        found = await desk.when(lambda r: isinstance(r, Reading), reduce="Increase")
        assert found.value == 0


@pytest.mark.parametrize(
    ("user", "parts", "sent"),
    [
        pytest.param("", {"token": Secret("t0ken")}, "Bearer t0ken", id="a token"),
        pytest.param("me:s%2Fcret@", {}, "Basic bWU6cy9jcmV0", id="a user in the URL"),
    ],
)
async def test_credentials_are_sent_and_never_shown(
    user: str, parts: Any, sent: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    async with served(numbers(failed_syncs=1)) as server:
        desk = Desk()
        source = a_source(f"http://{user}127.0.0.1:{server.port}/m", **parts)
        desk.hub.watch(KEY, source)
        async with running(desk.hub):
            await desk.when(is_value(1))
            assert server.requests[0].headers["Authorization"] == sent
            server.handler = answers(status=401, text="s/cret t0ken")
            health = await desk.changes.until(lambda: desk.hub.health(KEY), is_so=is_unknown("AuthenticationFailed"))
    seen = caplog.text + repr(source) + str(health)
    for secret in ("t0ken", "s%2Fcret", "s/cret", "bWU6"):
        assert secret not in seen


async def test_an_answer_from_a_cache_is_as_old_as_the_cache_says() -> None:
    def from_cache(age: str) -> Handler:
        return answers(text=json.dumps({"metrics": {FAILED: 1}}), headers={"Age": age})

    async with a_desk(from_cache("4")) as (desk, server):
        await desk.when(is_unknown("Stale"))
        server.handler = from_cache("soon")
        await desk.when(is_unknown("Stale"))
        server.handler = from_cache("2")
        await desk.when(is_value(1))


async def test_a_backend_that_hangs_delays_no_other() -> None:
    async with a_desk(hang) as (desk, _), served(numbers(failed_syncs=1)) as good:
        other = Key("crm", "zoho")
        desk.hub.watch(other, a_source(f"http://127.0.0.1:{good.port}/"))
        await desk.when(is_value(1), key=other)
        asked = len(good.requests)
        await desk.changes.until(lambda: desk.hub.health(KEY), is_so=is_unknown("Timeout"))
        assert len(good.requests) > asked


async def test_many_that_hang_do_not_starve_one_that_answers() -> None:
    """More hang than may be asked at once; each is left alone for longer and longer."""
    asked, enough = 0, asyncio.Event()

    async def answer(request: Any) -> Any:
        nonlocal asked
        asked += 1
        if asked > 10:
            enough.set()
        return await numbers(failed_syncs=1)(request)

    async with served(hang) as stuck, served(answer) as good:
        desk = Desk()
        desk.hub = backend_hub(dataclasses.replace(surroundings(desk.changes), concurrency=2))
        for number in range(6):
            desk.hub.watch(Key("crm", f"stuck-{number}"), a_source(f"http://127.0.0.1:{stuck.port}/"))
        desk.hub.watch(KEY, a_source(f"http://127.0.0.1:{good.port}/"))
        async with running(desk.hub):
            await desk.when(is_value(1))
            await asyncio.wait_for(enough.wait(), 20)


async def test_the_same_answers_are_no_news() -> None:
    async with a_desk(numbers(failed_syncs=1)) as (desk, server):
        await desk.when(is_value(1))
        enough, reached = asyncio.Event(), len(server.requests)

        async def count(request: Any) -> Any:
            if len(server.requests) > reached + 5:
                enough.set()
            return await numbers(failed_syncs=1)(request)

        server.handler = count
        await asyncio.wait_for(enough.wait(), 10)
        assert len(desk.changes.keys) == 2, "the first value, and once more for gauges that need two"


async def test_a_secret_that_is_gone_for_a_moment_loses_no_window() -> None:
    async with a_desk(numbers(failed_syncs=1)) as (desk, server):
        await desk.when(lambda found: isinstance(found, Reading), reduce="Increase")
        gone = Unknown("Secret s does not exist", "SecretNotFound")
        desk.hub.watch(KEY, gone)
        assert desk.overall() == gone
        assert desk.hub.health(KEY) == gone
        server.handler = numbers(failed_syncs=5)
        desk.hub.watch(KEY, a_source(f"http://127.0.0.1:{server.port}/crm/metrics?provider=hubspot"))
        await desk.when(is_value(4), reduce="Increase")
        desk.hub.watch(KEY, None)
        assert desk.hub.health(KEY) is None
        assert is_unknown("Starting")(desk.overall())


async def test_tls_with_a_private_authority(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "pki")
    pair = authority.server("backend", "localhost", ["localhost"])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.certificate, pair.key)
    async with served(numbers(failed_syncs=1), context) as server:
        desk = Desk()
        source = a_source(f"https://localhost:{server.port}/")
        desk.hub.watch(KEY, source)
        async with running(desk.hub):
            unknown = await desk.when(is_unknown("TlsUntrusted"))
            assert "tls.caFrom" in unknown.why
            trusting = dataclasses.replace(source.endpoint, ca=Secret(authority.file.read_text()))
            desk.hub.watch(KEY, dataclasses.replace(source, endpoint=trusting))
            await desk.when(is_value(1))
            assert server.requests[0].headers["Host"] == f"localhost:{server.port}"


# -- URLs -------------------------------------------------------------------------------------------------------------


def resolved(url: str, *, allow: tuple[str, ...] = (), **parts: Any) -> Endpoint | Unknown:
    return endpoint_of(EndpointSource(Secret(url), FIELD, **parts), namespace="crm", policy=AddressPolicy(allow))


@pytest.mark.parametrize(
    ("url", "host", "port", "path"),
    [
        pytest.param("http://api/crm/metrics", "api.crm.svc", 80, "/crm/metrics", id="a Service here"),
        pytest.param("https://api.crm.svc:8443", "api.crm.svc", 8443, "/", id="no path"),
        pytest.param("https://api.crm?provider=hubspot", "api.crm.svc", 443, "/?provider=hubspot", id="a query"),
    ],
)
def test_urls(url: str, host: str, port: int, path: str) -> None:
    found = resolved(url)
    assert isinstance(found, Endpoint)
    assert (found.host.host, found.host.port, found.path) == (host, port, path)


@pytest.mark.parametrize(
    ("url", "parts", "reason"),
    [
        pytest.param("http://api.other/m", {}, "HostNotAllowed", id="another namespace"),
        pytest.param("http://127.0.0.1/m", {}, "HostNotAllowed", id="the operator's own host"),
        pytest.param("http://169.254.169.254/m", {}, "HostNotAllowed", id="cloud metadata"),
        pytest.param("ftp://api/m", {}, "MetricsUrlInvalid", id="another scheme"),
        pytest.param("http:///m", {}, "MetricsUrlInvalid", id="no host"),
        pytest.param("http://api:99999/m", {}, "MetricsUrlInvalid", id="no port"),
        pytest.param("http://api/m#s3cret", {}, "MetricsUrlInvalid", id="a fragment"),
        pytest.param("http://u:s3/cret@api/m", {}, "MetricsUrlInvalid", id="a password with a slash"),
        pytest.param("http://u:s3cret@api/m", {"token": Secret("t")}, "MetricsUrlInvalid", id="two credentials"),
        pytest.param("http://api/m", {"token": Secret("s3cret\nX: y")}, "TokenInvalid", id="a token of two lines"),
        pytest.param("http://api/m", {"ca": Secret("x")}, "MetricsUrlInvalid", id="a CA without TLS"),
        pytest.param("https://api/m", {"ca": Secret("x")}, "CaInvalid", id="no CA"),
    ],
)
def test_urls_that_are_not_followed(url: str, parts: Any, reason: str) -> None:
    found = resolved(url, **parts)
    assert isinstance(found, Unknown)
    assert found.reason == reason
    assert "s3" not in found.why
