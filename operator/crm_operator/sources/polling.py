"""Metric endpoints of many integrations, each asked again and again by a task of its own.

One that hangs is left alone for a while, and all share a bound on exchanges under way, so none blocks another. One
event loop, no locks: `watch`, `forget` and what reads the memory never wait. `backend` and `prometheus` say what is
asked and what is made of the answer.
"""

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Generic, Protocol, TypeVar

from crm_operator.api.v1alpha1 import Guard
from crm_operator.domain.key import Key
from crm_operator.domain.world import Evidence, Unknown
from crm_operator.sources.address import AddressPolicy
from crm_operator.sources.endpoint import Endpoint, EndpointClient, EndpointSource, endpoint_of

_UNREAD = Unknown("the metrics are not read yet", "Starting")

log = logging.getLogger(__name__)

#: A sample is stale after this many intervals, and never before this time.
_STALE_INTERVALS, _STALE_LEAST = 3, timedelta(seconds=3)
#: One that hangs is asked at least this often, in seconds.
_LONGEST_REST = 30.0


class PolledSource(Protocol):
    """What the controller asks for."""

    @property
    def endpoint(self) -> EndpointSource: ...

    @property
    def interval(self) -> timedelta:
        """Between two looks."""


S = TypeVar("S", bound=PolledSource)


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What all endpoints of one kind share."""

    policy: AddressPolicy
    on_change: Callable[[Key], None]  # must not block
    clock: Callable[[], datetime]
    timeout: timedelta = timedelta(seconds=2)  # of one exchange
    max_bytes: int = 1024 * 1024  # of one answer
    concurrency: int = 50  # exchanges under way


class Polled(ABC, Generic[S]):
    """One integration's endpoint. Created by the hub; `run` ends after `end`."""

    def __init__(self, key: Key, source: S, surroundings: Surroundings) -> None:
        self.key = key
        self.source = source
        self._around = surroundings
        #: Why the newest look failed as a whole; None: it did not.
        self.fault: Unknown | None = _UNREAD
        self._endpoint = self._resolve(source.endpoint)
        self._client: EndpointClient | None = None
        self._good_at: datetime | None = None  # when it was read last
        self._health: Unknown | None = None  # what was told last
        self._just_changed = False
        self._ended = False
        self._wake = asyncio.Event()
        self._wake.set()

    @abstractmethod
    async def look(self, client: EndpointClient) -> bool:
        """Ask, remember, set `fault`, and say whether anything is new."""

    @abstractmethod
    def evidence(self, guard: Guard) -> Evidence:
        """What is remembered of a guard's metric."""

    @abstractmethod
    def begin_anew(self) -> None:
        """Another place is asked from now on: forget what the old one said."""

    @property
    def stale_after(self) -> timedelta:
        """A sample older than that is none."""
        return max(_STALE_INTERVALS * self.source.interval, _STALE_LEAST)

    @property
    def blocked(self) -> Unknown | None:
        """Why it is not asked at all."""
        return self._endpoint if isinstance(self._endpoint, Unknown) else None

    def health(self) -> Unknown | None:
        """Why it cannot be read; None: it can, or could a moment ago. One that never was is told at once."""
        fresh = self._good_at is not None and self._around.clock() - self._good_at <= self.stale_after
        return self.blocked or (None if fresh else self.fault)

    def update(self, source: S) -> None:
        """Take what is wanted now."""
        if source == self.source:
            return
        before, self.source = self._endpoint, source
        self._endpoint = self._resolve(source.endpoint)
        if isinstance(self._endpoint, Endpoint) and _place(before) != self._endpoint.place:
            self.fault, self._good_at = _UNREAD, None
            self.begin_anew()
        self._wake.set()

    def end(self) -> None:
        self._ended = True
        self._wake.set()

    async def run(self, running: asyncio.Semaphore) -> None:
        """Look after look until `end`."""
        loop = asyncio.get_running_loop()
        due, hung = loop.time(), 0
        try:
            while True:
                try:
                    async with asyncio.timeout_at(due):
                        await self._wake.wait()
                except TimeoutError:
                    pass  # the usual end: it is due
                self._wake.clear()
                if self._ended:
                    return
                due = loop.time() + self.source.interval.total_seconds()
                if isinstance(self._endpoint, Unknown):
                    continue
                async with running:
                    await self._look(self._endpoint)
                hung = hung + 1 if self.fault is not None and self.fault.reason == "Timeout" else 0
                if hung:
                    rest = min(_LONGEST_REST, self._around.timeout.total_seconds() * 2.0 ** min(hung, 10))
                    due = max(due, loop.time() + rest)
        finally:
            if self._client is not None:
                await self._client.close()

    async def _look(self, endpoint: Endpoint) -> None:
        client = await self._client_for(endpoint)
        is_new = await self.look(client)
        if endpoint is not self._endpoint:
            return  # what came is of the place before
        if self.fault is None:
            self._good_at = self._around.clock()
        health = self.health()
        self._say(health)
        # A guard of a gauge needs two readings above its limit, so the one after a change is news too.
        if is_new or self._just_changed or health != self._health:
            self._around.on_change(self.key)
        self._just_changed, self._health = is_new, health

    async def _client_for(self, endpoint: Endpoint) -> EndpointClient:
        if self._client is not None and self._client.endpoint != endpoint:
            await self._client.close()
            self._client = None
        if self._client is None:
            self._client = EndpointClient(
                endpoint,
                policy=self._around.policy,
                timeout_seconds=self._around.timeout.total_seconds(),
                max_bytes=self._around.max_bytes,
            )
        return self._client

    def _resolve(self, source: EndpointSource) -> Endpoint | Unknown:
        return endpoint_of(source, namespace=self.key.namespace, policy=self._around.policy)

    def _say(self, health: Unknown | None) -> None:
        """One line when reading fails in another way than before, one when it works again."""
        was, now = (None if fault is None else fault.reason for fault in (self._health, health))
        if now is not None and now != was:
            log.warning("Metrics cannot be read", extra={"integration": str(self.key), "reason": now})
        elif now is None and was is not None:
            log.info("Metrics can be read again", extra={"integration": str(self.key)})


class PollingHub(Generic[S]):
    """All integrations' endpoints of one kind. `make` builds what asks one of them."""

    def __init__(self, make: Callable[[Key, S, Surroundings], Polled[S]], surroundings: Surroundings) -> None:
        self._make = make
        self._around = surroundings
        self._polled: dict[Key, Polled[S]] = {}
        self._unread: dict[Key, Unknown] = {}  # those whose credentials are missing, and why
        self._arrived: asyncio.Queue[Polled[S]] = asyncio.Queue()

    def watch(self, key: Key, source: S | Unknown | None) -> None:
        """Ask for `key` from now on. None: nothing is configured; Unknown: why it cannot be. Cheap when unchanged."""
        self._unread.pop(key, None)
        if source is None:
            self.forget(key)
            return
        if isinstance(source, Unknown):
            self._unread[key] = source  # what is remembered stays: a Secret that is gone for a moment loses no window
            return
        polled = self._polled.get(key)
        if polled is None:
            polled = self._polled[key] = self._make(key, source, self._around)
            self._arrived.put_nowait(polled)
        else:
            polled.update(source)

    def forget(self, key: Key) -> None:
        """The integration is gone, or has no such endpoint any more."""
        self._unread.pop(key, None)
        polled = self._polled.pop(key, None)
        if polled is not None:
            polled.end()

    def evidence(self, key: Key, guard: Guard) -> Evidence:
        """What a guard reads there."""
        why = self._blocked(key)
        return Evidence(overall=why) if why is not None else self._polled[key].evidence(guard)

    def health(self, key: Key) -> Unknown | None:
        """Why the endpoint cannot be read; None: it can, or there is none."""
        if key in self._unread:
            return self._unread[key]
        polled = self._polled.get(key)
        return None if polled is None else polled.health()

    async def run(self) -> None:
        """Ask until cancelled."""
        running = asyncio.Semaphore(self._around.concurrency)
        async with asyncio.TaskGroup() as tasks:
            while True:
                polled = await self._arrived.get()
                tasks.create_task(polled.run(running), name=f"metrics of {polled.key}")

    def _blocked(self, key: Key) -> Unknown | None:
        if key in self._unread:
            return self._unread[key]
        polled = self._polled.get(key)
        return _UNREAD if polled is None else polled.blocked


def _place(endpoint: Endpoint | Unknown) -> tuple[str, int, str] | None:
    return None if isinstance(endpoint, Unknown) else endpoint.place
