"""Workers that fetch ahead, job by job and in virtual time, sized by `LoadMemory` and `size` in a closed loop.

As Dramatiq on Redis does: a worker takes up to twice its threads from the queue, runs as many as it has threads and
holds the others, also when another worker is idle. `traffic.py` has the same loop without that, for long runs.
"""

import dataclasses
import heapq
import math
from collections import deque
from collections.abc import Sequence
from datetime import timedelta

from bench.scaling.traces import Arrival
from crm_operator.api.v1alpha1 import CrmIntegrationSpec
from crm_operator.domain.load import LoadMemory
from crm_operator.domain.scaling import size
from crm_operator.domain.world import QueueView
from tests.unit.domain.builders import NOW, SECOND, a_reading, a_status, a_workload, a_world

#: Steps of the workers a second; the operator looks once a second.
STEPS = 10
#: A worker is scraped every 5 s, each at its own time.
SCRAPED_EVERY = 5


@dataclasses.dataclass(slots=True)
class Worker:
    """One pod."""

    fetched: deque[float] = dataclasses.field(default_factory=deque)  # when each was sent
    working: int = 0


class Workers:
    """All pods and their queue."""

    def __init__(self, *, threads: int, job: float) -> None:
        self.queue: deque[float] = deque()
        self.workers: list[Worker] = []
        self.ends: list[tuple[float, int, Worker]] = []
        self.waits: list[float] = []
        self._threads, self._job = threads, job
        self._turn = 0

    @property
    def held(self) -> int:
        """Jobs fetched and not done, those of pods that drain included."""
        return len(self.ends) + sum(len(worker.fetched) for worker in self.workers)

    def step(self, now: float, *, ready: int) -> None:
        while self.ends and self.ends[0][0] <= now:
            at, _, worker = heapq.heappop(self.ends)
            worker.working -= 1
            self._begin(worker, at)
        while len(self.workers) > ready:
            given_back = self.workers.pop().fetched
            self.queue.extend(given_back)
            given_back.clear()
        self.workers += [Worker() for _ in range(ready - len(self.workers))]
        self._turn += 1
        for number in range(ready):
            worker = self.workers[(self._turn + number) % ready]
            while self.queue and worker.working + len(worker.fetched) < 2 * self._threads:
                worker.fetched.append(self.queue.popleft())
            self._begin(worker, now)

    def _begin(self, worker: Worker, now: float) -> None:
        while worker.fetched and worker.working < self._threads:
            self.waits.append(now - worker.fetched.popleft())
            worker.working += 1
            heapq.heappush(self.ends, (now + self._job, len(self.waits), worker))


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """A whole run."""

    backlog_seconds: int
    replica_seconds: int
    sizes: Sequence[int]  # wanted, by second
    p95_wait: float  # seconds from sending to beginning


def score(
    arrivals: Sequence[Arrival],
    *,
    spec: CrmIntegrationSpec,
    seconds: int,
    job: float,
    start: int = 5,
    scraped: bool = True,
) -> Score:
    """`job`: how long one takes; `start`: until a pod is Ready; both in seconds. `scraped`: pods say what they do."""
    workers, memory = Workers(threads=spec.workers.concurrency, job=job), LoadMemory()
    coming, starting = deque(arrivals), list[int]()
    wanted = ready = backlog_seconds = 0
    sizes, gauges = list[int](), dict[str, int]()
    for second in range(seconds):
        ready += sum(at == second for at in starting)
        starting = [at for at in starting if at > second]
        for step in range(STEPS):
            at = second + step / STEPS
            while coming and coming[0].at <= at:
                arrival = coming.popleft()
                workers.queue.extend([arrival.at] * arrival.jobs)
            workers.step(at, ready=ready)
        backlog_seconds += len(workers.queue) + workers.held
        for number, worker in enumerate(workers.workers):
            if (second + 3 * number) % SCRAPED_EVERY == 0:
                gauges[str(number)] = worker.working
        gauges = {name: value for name, value in gauges.items() if int(name) < ready}
        now, oldest = NOW + second * SECOND, workers.queue[0] if workers.queue else None
        reading = a_reading(
            len(workers.queue),
            running=workers.held,
            oldest_age=None if oldest is None else (second + 1 - oldest) * SECOND,
            at=now,
        )
        seen = a_world(
            now=now,
            spec=spec,
            status=a_status(desired=wanted),
            stable=a_workload(wanted, ready=ready, pods=()),
            queue=QueueView(latest=reading, good_since=NOW - timedelta(hours=1)),
            in_progress=gauges if scraped else {},
        )
        wanted = size(dataclasses.replace(seen, load=memory.notice(seen))).replicas
        starting += [second + start] * (wanted - ready - len(starting))
        starting = starting[: max(0, wanted - ready)]
        ready = min(ready, wanted)
        sizes.append(wanted)
    waits = sorted(workers.waits)
    return Score(
        backlog_seconds=backlog_seconds,
        replica_seconds=sum(sizes),
        sizes=sizes,
        p95_wait=waits[math.ceil(0.95 * len(waits)) - 1],
    )
