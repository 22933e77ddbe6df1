"""What is made of answers that a RabbitMQ gives rarely or never: from a small HTTP server, and as pure functions."""

import asyncio
import gzip
import json
import re
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from crm_operator.api.v1alpha1 import BrokerKind
from crm_operator.domain.key import Key
from crm_operator.domain.world import QueueReading, Unknown
from crm_operator.sources.address import AddressPolicy
from crm_operator.sources.queues import QueueSource
from crm_operator.sources.queues.failure import Failure
from crm_operator.sources.queues.management_address import ManagementAddress, management_address
from crm_operator.sources.queues.rabbitmq import EMPTY, NOT_COUNTED, Depth, counts_of, depths_of, name_patterns
from crm_operator.sources.queues.reader import BrokerUnread
from crm_operator.sources.secret import Secret
from dev.cluster.pki import Authority
from tests.sources.conftest import running
from tests.sources.desk import KEY, WINDOW, Desk

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
NAMES = st.from_regex(r"[a-zA-Z_][a-zA-Z0-9._-]{0,127}", fullmatch=True)


def a_source(url: str, *names: str) -> QueueSource:
    return QueueSource(Secret(url), "dramatiq", names or ("sync",), WINDOW, broker=BrokerKind.RABBITMQ)


def page(*items: Any) -> dict[str, Any]:
    return {"items": list(items), "filtered_count": len(items)}


def item(name: str, ready: Any, unacknowledged: Any = 0) -> dict[str, Any]:
    return {"name": name, "messages_ready": ready, "messages_unacknowledged": unacknowledged}


@asynccontextmanager
async def served(handler: Handler, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """The port on which `handler` answers."""
    runner = web.ServerRunner(web.Server(handler, handler_cancellation=True), shutdown_timeout=0)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


async def answer(
    handler: Handler,
    *,
    tls: ssl.SSLContext | None = None,
    ca: Secret | None = None,
    url: str = "http://u:pw@localhost",
) -> Any:
    """The first reading, from a server with this handler."""
    desk = Desk(policy=AddressPolicy(("localhost",)), interval=30, timeout=0.5)
    async with served(handler, tls) as port:
        desk.hub.watch(KEY, replace(a_source(f"{url}:{port}/crm"), ca=ca))
        async with running(desk.hub):
            await desk.hub.refresh(KEY)
            return desk.hub.view(KEY).latest


async def hang(request: web.BaseRequest) -> web.StreamResponse:
    await asyncio.sleep(60)
    return web.Response()


def says(**response: Any) -> Handler:
    async def handler(request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(**response)

    return handler


@pytest.mark.parametrize(
    ("handler", "reason"),
    [
        pytest.param(hang, "Timeout", id="nothing"),
        pytest.param(says(status=302, headers={"Location": "http://169.254.169.254/"}), "Redirected", id="a redirect"),
        pytest.param(says(status=500, text="s3cret"), "BrokerError", id="an error"),
        pytest.param(says(status=400, text='{"error":"s3cret"}'), "ProtocolError", id="a refusal"),
        pytest.param(says(status=401, text="s3cret"), "ProtocolError", id="a refusal of something else"),
        pytest.param(says(status=401, text='{"reason":["s3cret"]}'), "AuthenticationFailed", id="an odd refusal"),
        pytest.param(says(text="<html>s3cret</html>"), "ProtocolError", id="a web page"),
        pytest.param(says(text="[" * 100_000), "ProtocolError", id="an endless nest"),
        pytest.param(says(text='["s3cret"]'), "ProtocolError", id="another kind of JSON"),
        pytest.param(says(body=b"x" * 600_000), "TooLarge", id="too much"),
        pytest.param(
            says(body=gzip.compress(b"{}"), headers={"Content-Encoding": "gzip"}), "EncodingRefused", id="compressed"
        ),
        pytest.param(says(text=json.dumps({"items": [], "filtered_count": 700})), "ProtocolError", id="not all"),
        pytest.param(says(text=json.dumps(page({"name": "sync", "state": "down"}))), "QueueNotCounted", id="no counts"),
    ],
)
async def test_an_answer_without_counts_is_no_reading(handler: Handler, reason: str) -> None:
    latest = await answer(handler)
    assert isinstance(latest, Unknown)
    assert latest.reason == reason
    assert "s3cret" not in latest.why


async def test_one_request_a_tick_reads_all_integrations_of_a_virtual_host() -> None:
    asked: list[web.BaseRequest] = []

    async def handler(request: web.BaseRequest) -> web.StreamResponse:
        asked.append(request)
        return web.json_response(page(item("q7", 5), item("q7.XQ", 2)))

    desk = Desk(policy=AddressPolicy(("localhost",)), interval=30, timeout=2)
    keys = [Key("crm", f"i{n}") for n in range(100)]
    async with served(handler) as port:
        for number, key in enumerate(keys):
            desk.hub.watch(key, a_source(f"http://u:p%2Fw@localhost:{port}/%2Fcrm", f"q{number}"))
        async with running(desk.hub):
            await desk.reading(keys[7])
    assert len(asked) == 1
    (request,) = asked
    assert request.raw_path.startswith("/api/queues/%2Fcrm?")
    assert request.method == "GET"
    assert request.headers["Host"] == f"localhost:{port}"
    assert request.headers["Authorization"] == "Basic dTpwL3c="  # u:p/w
    seen = [desk.hub.view(key).latest for key in keys]
    assert [(one.waiting, one.dead) for one in seen if isinstance(one, QueueReading)] == [
        (5, 2) if number == 7 else (0, 0) for number in range(100)
    ]


async def test_a_connection_that_the_server_ends_between_two_ticks_is_no_gap() -> None:
    async def handler(request: web.BaseRequest) -> web.StreamResponse:
        response = web.json_response(page())
        response.force_close()
        return response

    desk = Desk(policy=AddressPolicy(("localhost",)), interval=30, timeout=2)
    async with served(handler) as port:
        desk.hub.watch(KEY, a_source(f"http://localhost:{port}"))
        async with running(desk.hub):
            first = await desk.reading()
            await desk.reading()
            assert desk.hub.view(KEY).good_since == first.at


@pytest.mark.parametrize(
    ("named", "trusted", "reason"),
    [
        pytest.param("localhost", True, None, id="the right name"),
        pytest.param("elsewhere", True, "TlsUntrusted", id="another name"),
        pytest.param("localhost", False, "TlsUntrusted", id="an authority that nobody knows"),
    ],
)
async def test_a_certificate_is_checked_against_the_name_in_the_url(
    tmp_path: Path, named: str, trusted: bool, reason: str | None
) -> None:
    """Although the address that the name led to is dialled."""
    authority = Authority(tmp_path / "pki")
    pair = authority.server("server", named, [named])
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(pair.certificate, pair.key)
    ca = Secret(authority.file.read_text()) if trusted else None
    latest = await answer(says(text=json.dumps(page())), tls=context, ca=ca, url="https://u:pw@localhost")
    assert (latest.reason if isinstance(latest, Unknown) else None) == reason


POLICY = AddressPolicy()


@pytest.mark.parametrize(
    ("url", "port", "vhost", "user"),
    [
        pytest.param("http://rabbit:15672", 15672, "/", (None, None), id="no virtual host"),
        pytest.param("http://rabbit:15672/", 15672, "/", (None, None), id="a slash"),
        pytest.param("http://rabbit:15672/%2F", 15672, "/", (None, None), id="the default one"),
        pytest.param(
            "https://a:s3cret@rabbit:15671/crm%2Feu", 15671, "crm/eu", ("a", "s3cret"), id="a slash in the name"
        ),
        pytest.param("http://a%40b:p%2F%23@rabbit:1/%C3%BC", 1, "ü", ("a@b", "p/#"), id="all percent-encoded"),
    ],
)
def test_a_url_is_taken_apart(url: str, port: int, vhost: str, user: tuple[str | None, str | None]) -> None:
    address = management_address(a_source(url), namespace="crm", policy=POLICY)
    assert isinstance(address, ManagementAddress)
    assert (address.host, address.port, address.vhost) == ("rabbit.crm.svc", port, vhost)
    assert (address.username, address.password) == user
    assert address.tls == url.startswith("https")
    assert not user[1] or user[1] not in repr(address)


@pytest.mark.parametrize(
    "url",
    [
        *("amqp://u:s3cret@rabbit:5672/crm", "redis://u:s3cret@rabbit:6379/0", "http://u:s3cret@rabbit/crm", "s3cret"),
        *("http://u:s3/cret@rabbit:1/", "http://u:s3#cret@rabbit:1/", "http://rabbit:1/?s3cret", "http://:1/s3cret"),
        *("http://u:s3cret@rabbit:99999/", "http://rabbit:15672/s3cret/more", "http://rabbit:1/%ffs3cret", ""),
    ],
)
def test_a_url_that_cannot_be_read_is_refused_and_not_repeated(url: str) -> None:
    refused = management_address(a_source(url), namespace="crm", policy=POLICY)
    assert isinstance(refused, Unknown)
    assert refused.reason == "QueueUrlInvalid"
    assert refused.why.startswith("spec.queue.url: ")
    assert "write http://HOST:15672/VHOST" in refused.why
    assert "cret" not in refused.why


def test_a_host_outside_the_namespace_is_refused() -> None:
    refused = management_address(a_source("http://rabbit.other.svc:15672/"), namespace="crm", policy=POLICY)
    assert isinstance(refused, Unknown)
    assert refused.reason == "HostNotAllowed"


@given(names=st.sets(NAMES, min_size=1, max_size=400), other=NAMES)
def test_patterns_match_each_wanted_queue_once_and_no_other(names: set[str], other: str) -> None:
    patterns = list(name_patterns(names))
    wanted = {f"{name}{suffix}" for name in names for suffix in ("", ".DQ", ".XQ")}
    for queue in sorted(wanted)[:20]:
        assert sum(bool(re.search(pattern, queue)) for pattern in patterns) >= 1
    assert other in wanted or not any(re.search(pattern, other) for pattern in patterns)
    for pattern in patterns:
        assert len(pattern) < 4200
        assert pattern.count("|") < 166, "a page holds the three queues of each name"


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(), st.lists, max_leaves=5))
def test_a_count_is_a_whole_number_or_none_at_all(value: Any) -> None:
    seen = depths_of(page(item("sync", value)))["sync"]
    good = type(value) is int and value >= 0
    assert seen == (Depth(value, 0) if good else NOT_COUNTED)


@given(
    st.recursive(
        st.none() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["items", "filtered_count", "name"]), inner),
        max_leaves=10,
    )
)
def test_any_other_answer_is_refused(content: Any) -> None:
    try:
        depths = depths_of(content)
    except BrokerUnread:
        return
    assert set(depths.values()) <= {NOT_COUNTED}


@given(delayed=st.builds(Depth, st.integers(0, 9), st.integers(0, 9)))
def test_one_delayed_job_is_due_while_there_are_any(delayed: Depth) -> None:
    counts = counts_of("sync", {"sync": Depth(3, 4), "sync.DQ": delayed, "sync.XQ": Depth(5, 1)})
    assert not isinstance(counts, Failure)
    assert (counts.waiting, counts.running, counts.delayed, counts.dead) == (3, 4, sum(delayed), 6)
    assert counts.due == (1 if delayed != EMPTY else 0)


@pytest.mark.parametrize("queue", ["sync", "sync.DQ", "sync.XQ"])
def test_a_queue_that_is_there_but_not_counted_is_no_zero(queue: str) -> None:
    assert counts_of("sync", {queue: NOT_COUNTED}) is NOT_COUNTED
