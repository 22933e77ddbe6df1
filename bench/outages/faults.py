"""What a worker's metrics page can do wrong while the worker itself works well: fault F15 for one version's pods."""

import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from aiohttp import web

from tests.misbehaving import FAULTS as OF_SERVERS
from tests.misbehaving import answers

ERRORS, JOBS = "crm_sync_errors_total", "dramatiq_messages_total"


@dataclass(frozen=True, slots=True)
class Told:
    """What is true, and what was said of it."""

    errors: int
    jobs: int
    frozen: tuple[int, int]  # errors and jobs as the fault began
    last: tuple[int, int]  # ... as they were when it was asked before
    turn: int  # how often it was asked since the fault began, from 0


Fault = Callable[[Told, web.BaseRequest], Awaitable[web.StreamResponse]]


def page(errors: object, jobs: object, *, at: float | None = None) -> str:
    """The Prometheus text of a worker; `at`: when the samples are of, in seconds since the epoch."""
    stamp = "" if at is None else f" {int(at * 1000)}"
    labels = '{queue_name="crm",actor_name="sync"}'
    values = {ERRORS: errors, JOBS: jobs}
    return "".join(f"# TYPE {name} counter\n{name}{labels} {value}{stamp}\n" for name, value in values.items())


def _says(text: Callable[[Told], str]) -> Fault:
    async def fault(told: Told, request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(text=text(told))

    return fault


def _of_server(name: str) -> Fault:
    handler, _ = OF_SERVERS[name]

    async def fault(told: Told, request: web.BaseRequest) -> web.StreamResponse:
        return await handler(request)

    return fault


async def _not_utf8(told: Told, request: web.BaseRequest) -> web.StreamResponse:
    return web.Response(body=page(told.errors, told.jobs).encode().replace(b'"crm"', b'"\xff\xfe"'))


async def _every_other(told: Told, request: web.BaseRequest) -> web.StreamResponse:
    if told.turn % 2:
        return web.Response(text=page(told.errors, told.jobs))
    return await answers(status=500)(request)


async def _refuses(told: Told, request: web.BaseRequest) -> web.StreamResponse:
    """Connections that are open already; new ones are refused by nobody listening."""
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


def _another_process(told: Told) -> str:
    """Two processes answer in turn, each with counters of its own, as behind one port without a multiprocess mode."""
    return page(told.errors // 3, told.jobs // 3) if told.turn % 2 == 0 else page(told.errors, told.jobs)


#: By what the page does.
FAULTS: Mapping[str, Fault] = {
    "refuses connections": _refuses,
    "hangs": _of_server("hangs"),
    "drips": _of_server("drips"),
    "fails with 500": _of_server("fails"),
    "sends 100 MB": _of_server("floods"),
    "sends a gzip bomb": _of_server("sends a gzip bomb"),
    "is cut off": _of_server("is cut off"),
    "redirects": _of_server("redirects"),
    "is empty": _says(lambda told: ""),
    "is not UTF-8": _not_utf8,
    "lacks the metric": _says(lambda told: "# TYPE up gauge\nup 1\n"),
    "says NaN and infinity": _says(lambda told: page("NaN", "+Inf")),
    "says negative numbers": _says(lambda told: page(-told.errors - 1, -told.jobs - 1)),
    "has old timestamps": _says(lambda told: page(told.errors, told.jobs, at=time.time() - 60)),
    "fails every other time": _every_other,
    "freezes": _says(lambda told: page(*told.frozen)),
    "begins anew each time": _says(lambda told: page(told.errors - told.last[0], told.jobs - told.last[1])),
    "is of two processes in turn": _says(_another_process),
}

#: Those that can be read: what they say is wrong, or right now and then.
READABLE = frozenset({"fails every other time", "freezes", "begins anew each time", "is of two processes in turn"})
