"""Healthy workers on fake nodes, as far as a scraper can see them; only their metrics' pages may misbehave.

Each worker finishes jobs at a steady pace and has an error now and then. Its counters follow from the time since it
began, so nothing has to run between two scrapes.
"""

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web

from bench.outages.faults import FAULTS, READABLE, Told, page
from tests.pod_servers import PodServers, pod_servers

JOBS_PER_SECOND = 5.0
#: Of jobs, while the provider is down.
FAILING = 0.5


@dataclass(slots=True)
class Worker:
    """One pod; times are seconds since the epoch."""

    name: str
    born: float
    good: list[float] = field(default_factory=list)  # when its page was right, or could be taken for it
    fault: str | None = None
    frozen: tuple[int, int] = (0, 0)
    last: tuple[int, int] = (0, 0)
    turn: int = 0


class Workers:
    """All pods. A healthy worker has `first` errors as it begins, and then `background` a second."""

    def __init__(self, *, first: int = 0, background: float = 0.0, clock: Callable[[], float] = time.time) -> None:
        self.servers: PodServers
        self._first, self._background = first, background
        self._clock = clock
        self._workers: dict[str, Worker] = {}
        self._outages: list[list[float]] = []  # of the provider: from when to when

    def __getitem__(self, pod: str) -> Worker:
        return self._workers[pod]

    def has(self, pod: str) -> bool:
        return pod in self._workers

    async def begin(self, pod: str) -> str:
        """The pod starts to work; its address."""
        self._workers[pod] = Worker(pod, self._clock())
        return await self.servers.open(pod)

    async def misbehave(self, pod: str, fault: str) -> None:
        """From now on its page does this, see FAULTS."""
        worker = self._workers[pod]
        worker.fault, worker.turn = fault, 0
        worker.frozen = self.counted(pod)
        if fault == "refuses connections":
            await self.servers.refuse(pod)

    async def behave(self, pod: str) -> None:
        self._workers[pod].fault = None
        await self.servers.open(pod)

    def provider_fails(self) -> None:
        """Half of all workers' jobs fail from now on."""
        self._outages.append([self._clock(), float("inf")])

    def provider_works(self) -> None:
        self._outages[-1][1] = self._clock()

    async def serve(self, pod: str, request: web.BaseRequest) -> web.StreamResponse:
        worker = self._workers[pod]
        now, (errors, jobs) = self._clock(), self.counted(pod)
        if worker.fault is None or worker.fault in READABLE:
            worker.good.append(now)
        told = Told(errors=errors, jobs=jobs, frozen=worker.frozen, last=worker.last, turn=worker.turn)
        worker.turn, worker.last = worker.turn + 1, (errors, jobs)
        if worker.fault is not None:
            return await FAULTS[worker.fault](told, request)
        return web.Response(text=page(errors, jobs))

    def counted(self, pod: str) -> tuple[int, int]:
        """Errors and jobs so far."""
        worker, now = self._workers[pod], self._clock()
        lived = now - worker.born
        failing = sum(max(0.0, min(end, now) - max(begin, worker.born)) for begin, end in self._outages)
        jobs = JOBS_PER_SECOND * lived
        return self._first + int(self._background * lived + FAILING * JOBS_PER_SECOND * failing), int(jobs)


@asynccontextmanager
async def serving(workers: Workers) -> AsyncIterator[Workers]:
    """They can be scraped until the end of the block."""
    async with pod_servers(workers.serve) as workers.servers:
        yield workers
