"""Watches collections and stamps each change with the time of its receipt: the one clock of the benchmarks."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import httpx

Json = dict[str, Any]
T = TypeVar("T")

WATCH_SECONDS = 3600


@dataclass(frozen=True, slots=True)
class Change:
    """One watch event; `at` in seconds since the epoch, taken before the event is parsed."""

    at: float
    kind: str
    type: str  # ADDED, MODIFIED, DELETED
    object: Json

    @property
    def name(self) -> str:
        name: str = self.object["metadata"]["name"]
        return name

    @property
    def label(self) -> dict[str, str]:
        return self.object["metadata"].get("labels") or {}


class _Lost(Exception):
    """What came since a watch ended is not kept any more."""


class Recorder:
    """All changes since `clear`, and the objects as they are now.

    The API server ends a watch whose reader is late; it goes on where it ended, and what came meanwhile has the later
    time of its receipt.
    """

    def __init__(self) -> None:
        self.changes: list[Change] = []
        self._now: dict[tuple[str, str], Json] = {}
        self._changed = asyncio.Condition()
        self._error: str | None = None

    def get(self, kind: str, name: str) -> Json | None:
        return self._now.get((kind, name))

    def all(self, kind: str) -> list[Json]:
        return [obj for (of, _), obj in self._now.items() if of == kind]

    def clear(self) -> None:
        """Forget past changes; the objects stay."""
        self.changes.clear()

    def first(self, holds: Callable[[Change], bool]) -> Change | None:
        """The first change since `clear` for which it holds."""
        return next((change for change in self.changes if holds(change)), None)

    def check(self) -> None:
        """Raises RuntimeError when a watch has failed, so that changes are missing."""
        if self._error is not None:
            raise RuntimeError(self._error)

    async def until(self, look: Callable[[], T | None], *, within: float, what: str) -> T:
        """What `look` returns, as soon as that is not None or False; it is asked after each change.

        Raises TimeoutError that says `what` did not happen.
        """
        try:
            async with asyncio.timeout(within), self._changed:
                while not (found := look()):
                    self.check()
                    await self._changed.wait()
                return found
        except TimeoutError:
            raise TimeoutError(f"{what}: not within {within:g} s") from None

    @asynccontextmanager
    async def watching(self, kube: httpx.AsyncClient, collections: dict[str, str]) -> AsyncIterator[None]:
        """Watch these collections (kind -> path) while in the context; it begins when all watches are open."""
        opened = [asyncio.Event() for _ in collections]
        tasks = [
            asyncio.create_task(self._follow(kube, kind, path, event), name=f"watch {kind}")
            for (kind, path), event in zip(collections.items(), opened, strict=True)
        ]
        try:
            async with asyncio.timeout(30):
                for event in opened:
                    await event.wait()
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _follow(self, kube: httpx.AsyncClient, kind: str, path: str, opened: asyncio.Event) -> None:
        # Without a resourceVersion a watch begins with the objects as they are.
        parameters = {"watch": "1", "timeoutSeconds": str(WATCH_SECONDS)}
        try:
            while True:
                async with kube.stream("GET", path, params=parameters, timeout=None) as lines:
                    lines.raise_for_status()
                    opened.set()
                    async for line in lines.aiter_lines():
                        parameters["resourceVersion"] = await self._take(kind, line, time.time())
        except (httpx.HTTPError, _Lost) as error:
            self._error = f"the watch of {path} failed: {error!r}"
        opened.set()
        async with self._changed:
            self._changed.notify_all()

    async def _take(self, kind: str, line: str, at: float) -> str:
        """Where the watch is now."""
        event = json.loads(line)
        if event["type"] == "ERROR":
            raise _Lost(event["object"].get("message"))
        change = Change(at, kind, event["type"], event["object"])
        async with self._changed:
            if change.type == "DELETED":
                self._now.pop((kind, change.name), None)
            else:
                self._now[kind, change.name] = change.object
            self.changes.append(change)
            self._changed.notify_all()
        version: str = change.object["metadata"]["resourceVersion"]
        return version
