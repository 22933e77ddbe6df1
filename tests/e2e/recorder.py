"""Writes down every change that a watch tells, with its time: for statements about how things came to be."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self

import httpx

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Seen:
    """All objects as they were from `at` on, by name."""

    at: datetime  # when we were told
    objects: dict[str, Json]


class Recorder:
    """A context that watches a collection. `history` has the states, oldest first."""

    def __init__(self, kube: httpx.AsyncClient, path: str, **parameters: str) -> None:
        self._kube = kube
        self._path = path
        self._parameters = parameters
        self.history: list[Seen] = []
        self._task: asyncio.Task[None] | None = None
        self._news = asyncio.Condition()

    async def __aenter__(self) -> Self:
        found = (await self._kube.get(self._path, params=self._parameters)).raise_for_status().json()
        # Items of a list carry no kind, and need none here.
        self.history.append(Seen(datetime.now(UTC), {item["metadata"]["name"]: item for item in found["items"]}))
        self._task = asyncio.create_task(self._watch(found["metadata"]["resourceVersion"]))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        assert self._task is not None
        ended_early = self._task.done()
        self._task.cancel()
        result = (await asyncio.gather(self._task, return_exceptions=True))[0]
        if ended_early and error is None:
            raise AssertionError(f"the watch of {self._path} ended while it was needed: {result!r}")

    async def when(self, holds: Callable[[dict[str, Json]], bool], *, within: float) -> Seen:
        """The first state, from the beginning of the record on, that `holds`."""
        checked = 0
        try:
            async with asyncio.timeout(within), self._news:
                while True:
                    for seen in self.history[checked:]:
                        if holds(seen.objects):
                            return seen
                    checked = len(self.history)
                    await self._news.wait()
        except TimeoutError:
            last = json.dumps(self.history[-1].objects, indent=1)[-8000:]
            raise AssertionError(f"{self._path} did not get there within {within:g} s; last seen: {last}") from None

    async def _watch(self, version: str) -> None:
        parameters = {**self._parameters, "watch": "1", "resourceVersion": version, "timeoutSeconds": "600"}
        async with self._kube.stream("GET", self._path, params=parameters, timeout=600) as changes:
            async for line in changes.aiter_lines():
                change = json.loads(line)
                item = change["object"]
                objects = dict(self.history[-1].objects)
                if change["type"] == "DELETED":
                    objects.pop(item["metadata"]["name"], None)
                else:
                    objects[item["metadata"]["name"]] = item
                async with self._news:
                    self.history.append(Seen(datetime.now(UTC), objects))
                    self._news.notify_all()
