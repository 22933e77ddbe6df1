"""Kopf as the event source: what changes goes into the cache, and the owner's key on the queue. Nothing else.

No diff handlers, timers, daemons, indices or patches of Kopf's (docs/decisions.md). Kopf runs on a thread and loop of
its own, because on exit it cancels every task of its loop that is younger than itself, and in the main thread it takes
over the signals. Its requests run on a session that we make: it carries a token as fresh as `Kube`'s, and hears
bookmarks, which Kopf keeps to itself.

`main.py` runs `watch` after the first list and after the lease is held; a watch that ends is the end of the process.
"""

import asyncio
import concurrent.futures
import logging
import threading
import time
from collections.abc import AsyncIterator, Callable, Collection, Iterator
from typing import Any

import aiohttp
import kopf

from crm_operator.controller.cache import CHILDREN, KINDS, Cache, owners
from crm_operator.controller.kube import Kube, Object
from crm_operator.controller.resources import AUTOSCALERS, SYNCPAUSES
from crm_operator.controller.resync import CHILD_SELECTOR
from crm_operator.controller.watchdog import Freshness, Scope, guard_watchers
from crm_operator.domain.key import Key

log = logging.getLogger(__name__)

#: kind, event type (None: from a list), object
Deliver = Callable[[str, str | None, Object], None]
#: host, status code
RequestObserver = Callable[[str, str], None]

STOP_WITHIN = 10.0  # seconds; the thread is left to die with the process after that
_LOGIN_BACKOFFS = (0.0, 0.5, 1.0, 2.0, 5.0, 10.0)  # seconds before the n-th login in a row
_PLURALS = {resource.plural: kind for kind, resource in KINDS.items()}


class WatchEnded(Exception):
    """Kopf stopped without being asked."""


async def watch(
    stop: asyncio.Event,
    *,
    kube: Kube,
    cache: Cache,
    enqueue: Callable[[Key], None],
    enqueue_pause: Callable[[Key], None],
    freshness: Freshness,
    fail: Callable[[str], object],
    observe: RequestObserver,
) -> None:
    """Watch the cache's namespaces until `stop`.

    `fail` is called, on the watch thread, when a watcher dies; it ends the process. Raises WatchEnded when all of Kopf
    does.
    """
    loop = asyncio.get_running_loop()

    def receive(kind: str, event: str | None, obj: Object) -> None:
        for key in take(cache, kind, event, obj):
            (enqueue_pause if kind == SYNCPAUSES.kind else enqueue)(key)

    def deliver(kind: str, event: str | None, obj: Object) -> None:
        loop.call_soon_threadsafe(receive, kind, event, obj)

    freshness.expect(cache.scopes)
    registry = build_registry(kube, deliver, freshness, observe)
    runner = _Thread(registry, cache.scopes, freshness, fail)
    runner.start()
    ended = asyncio.wrap_future(runner.outcome)
    stopped = asyncio.create_task(stop.wait(), name="watch stopper")
    either: set[asyncio.Future[Any]] = {ended, stopped}
    try:
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if ended.done():
            error = ended.exception()
            raise WatchEnded(f"{type(error).__name__}: {error}" if error else "Kopf returned") from error
    finally:
        stopped.cancel()
        runner.stop()
        await asyncio.wait({ended}, timeout=STOP_WITHIN)


def take(cache: Cache, kind: str, event: str | None, obj: Object) -> set[Key]:
    """Put an event into the cache; the keys to look at, none when the cache knew it already."""
    metadata = obj["metadata"]
    before = cache.get(kind, metadata["namespace"], metadata["name"])
    changed = cache.remove(kind, obj) if event == "DELETED" else cache.upsert(kind, obj)
    if not changed or _same_but_version(kind, before, cache.get(kind, metadata["namespace"], metadata["name"])):
        return set()
    return owners(kind, obj) | (owners(kind, before) if before is not None else set())


def _same_but_version(kind: str, before: Object | None, now: Object | None) -> bool:
    """An autoscaler writes its status every 15 s; what is kept of it stays the same."""
    if kind != AUTOSCALERS.kind or before is None or now is None:
        return False
    owners_of = [obj["metadata"].get("ownerReferences") for obj in (before, now)]
    return bool(before["spec"] == now["spec"] and owners_of[0] == owners_of[1])


def build_registry(
    kube: Kube, deliver: Deliver, freshness: Freshness, observe: RequestObserver
) -> kopf.OperatorRegistry:
    """The login, and one handler per kind."""
    registry = kopf.OperatorRegistry()
    kopf.on.login(id="login", registry=registry)(_login(kube, freshness, observe))
    for kind, resource in KINDS.items():
        on_event = kopf.on.event(resource.group, resource.version, resource.plural, id=kind, registry=registry)
        on_event(_handler(kind, deliver))
    return registry


def settings() -> kopf.OperatorSettings:
    """Kopf as event source only: bounded requests, endless retries, no writes, no scanning, no peering."""
    s = kopf.OperatorSettings()
    # With backoffs that end, a watcher dies of a minute's outage. A retry for ever shows in readiness and in
    # crm_watch_last_event_age_seconds instead.
    s.networking.error_backoffs = Endless((0.5, 1.0, 2.0, 3.0, 5.0))
    s.networking.request_timeout = 15
    s.networking.connect_timeout = 5
    s.watching.server_timeout = 300
    s.watching.client_timeout = 330
    s.watching.connect_timeout = 5
    s.watching.chunk_size = 500
    for kind in CHILDREN:
        resource = KINDS[kind]
        s.watching.label_selectors[resource.group, resource.version, resource.plural] = CHILD_SELECTOR
    s.scanning.disabled = True
    s.peering.standalone = True
    s.posting.enabled = False
    s.process.ultimate_exiting_timeout = None  # how the process ends is main.py's
    # A task per object lives this long after its last event; handlers take microseconds.
    s.queueing.idle_timeout = 0.5
    s.queueing.exit_timeout = 1.0
    s.execution.default_backoff = 1.0
    s.persistence.diffbase_storage = NoDiffs()
    return s


class Endless:
    """Backoffs whose last one repeats for ever."""

    def __init__(self, backoffs: Collection[float]) -> None:
        self._backoffs = tuple(backoffs)

    def __iter__(self) -> Iterator[float]:
        yield from self._backoffs
        while True:
            yield self._backoffs[-1]


class NoDiffs(kopf.DiffBaseStorage):
    """Kopf copies and compares every object twice for diffs that no handler of ours reads; this leaves that out."""

    def build(self, **_: Any) -> kopf.BodyEssence:
        return kopf.BodyEssence()

    def fetch(self, **_: Any) -> None:
        return None

    def store(self, **_: Any) -> None:
        """Nothing: nothing is ever read back."""


def _handler(kind: str, deliver: Deliver) -> Callable[..., Any]:
    # A coroutine, because Kopf runs plain functions on a thread pool.
    async def on_event(event: Any, **_: Any) -> None:
        deliver(kind, event["type"], event["object"])

    return on_event


def _login(kube: Kube, freshness: Freshness, observe: RequestObserver) -> Callable[..., Any]:
    """A login handler. Kopf asks again after each 401; a new session is never one that it has marked as bad."""
    times: list[float] = []

    async def login(**_: Any) -> kopf.AiohttpSession:
        now = time.monotonic()
        times[:] = [at for at in times if now - at < 60]
        await asyncio.sleep(_LOGIN_BACKOFFS[min(len(times), len(_LOGIN_BACKOFFS) - 1)])
        times.append(time.monotonic())
        session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, ssl=kube.tls),
            proxy=kube.proxy,
            trust_env=False,
            middlewares=(_middleware(kube, freshness, observe),),
        )
        return kopf.AiohttpSession(server=kube.server, aiohttp_session=session)

    return login


def _middleware(kube: Kube, freshness: Freshness, observe: RequestObserver) -> aiohttp.ClientMiddlewareType:
    async def carry(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        authorization = await kube.authorization()
        if authorization:
            request.headers["Authorization"] = authorization
        if kube.tls_server_name:
            request.server_hostname = kube.tls_server_name
        host, code = request.url.authority, "<error>"
        try:
            response = await handler(request)
            code = str(response.status)
        finally:
            observe(host, code)
        scope = _scope(request.url.path)
        if scope is not None and response.status == 200:
            freshness.heard(scope)
            if request.url.query.get("watch") == "true":
                response.content = _Heard(response.content, scope, freshness)  # type: ignore[assignment]
        return response

    return carry


def _scope(path: str) -> Scope | None:
    """What a list or watch covers: `/api/v1/namespaces/crm/pods` -> Pod in crm. None: some other request."""
    *_, before, namespace, plural = ("", "", *path.split("/"))
    kind = _PLURALS.get(plural)
    return None if kind is None else (kind, namespace if before == "namespaces" else None)


class _Heard:
    """A response's content that notes when something comes in: events, and the bookmarks that Kopf does not pass on."""

    def __init__(self, content: aiohttp.StreamReader, scope: Scope, freshness: Freshness) -> None:
        self._content, self._scope, self._freshness = content, scope, freshness

    async def iter_chunked(self, size: int) -> AsyncIterator[bytes]:
        async for chunk in self._content.iter_chunked(size):
            self._freshness.heard(self._scope)
            yield chunk

    def __getattr__(self, name: str) -> Any:
        return getattr(self._content, name)


class _Thread(threading.Thread):
    """Kopf and the guard of its watchers, on a loop of their own."""

    def __init__(
        self,
        registry: kopf.OperatorRegistry,
        scopes: Collection[str | None],
        freshness: Freshness,
        fail: Callable[[str], object],
    ) -> None:
        super().__init__(name="kopf", daemon=True)
        self._registry, self._scopes = registry, scopes
        self._freshness, self._fail = freshness, fail
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop = threading.Event()
        self._stop_flag: asyncio.Event | None = None
        self.outcome: concurrent.futures.Future[None] = concurrent.futures.Future()

    def stop(self) -> None:
        self._stop.set()
        if self._loop is not None and self._stop_flag is not None and not self.outcome.done():
            self._loop.call_soon_threadsafe(self._stop_flag.set)

    def run(self) -> None:
        try:
            asyncio.run(self._operator())
        except BaseException as error:  # noqa: BLE001 (given to whoever waits for the outcome)
            self.outcome.set_exception(error)
        else:
            self.outcome.set_result(None)

    async def _operator(self) -> None:
        self._stop_flag = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        if self._stop.is_set():
            return
        namespaces = [scope for scope in self._scopes if scope is not None]
        # Made before Kopf, which leaves older tasks alone.
        guard = asyncio.create_task(guard_watchers(self._freshness, self._failed), name="watcher guard")
        try:
            await kopf.operator(
                registry=self._registry,
                settings=settings(),
                namespaces=namespaces,
                clusterwide=not namespaces,
                stop_flag=self._stop_flag,
            )
        finally:
            guard.cancel()
            # TLS connections take some turns of the loop to close; without them they are dropped half-open.
            await asyncio.sleep(0.1)

    def _failed(self, why: str) -> None:
        if not self._stop.is_set():
            self._fail(why)
