"""Workers that do no work but take as long as if they did: a fleet as large as the Ready pods, on a real queue.

Each worker is a Dramatiq broker of its own, so that fetching, acknowledging and giving back are Dramatiq's own script:
up to `2 x concurrency` jobs are fetched ahead, one that is fetched stays in the hash of messages until it is done, and
a worker that stops gives back what it has not begun and finishes the rest. Time is an argument. Between two steps
everything happens at its own second: throughput is exactly workers x concurrency / job seconds, however far apart the
steps are. Unlike real ones these workers fetch at once when something comes, instead of within a second.
"""

import heapq
import json
from collections import deque
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import redis
from dramatiq.brokers.redis import RedisBroker

from bench.scaling.traces import Limit

#: Seconds after which a refused job asks the provider again, as `Retry-After: 1` says.
RETRY_AFTER = 1.0


class Provider:
    """Says yes to `limit.requests` within any `limit.per_seconds`; to everything without a limit."""

    def __init__(self, limit: Limit | None) -> None:
        self.refused = 0
        self._limit = limit
        self._allowed: deque[float] = deque()

    def allows(self, at: float) -> bool:
        """Whether a job may begin now; times must not run backwards."""
        if self._limit is None:
            return True
        while self._allowed and self._allowed[0] <= at - self._limit.per_seconds:
            self._allowed.popleft()
        if len(self._allowed) >= self._limit.requests:
            self.refused += 1
            return False
        self._allowed.append(at)
        return True


class _Job(NamedTuple):
    id: str
    sent: float  # seconds since the epoch


@dataclass(slots=True)
class _Worker:
    broker: Any  # dramatiq's, untyped
    fetched: deque[_Job] = field(default_factory=deque)
    busy: int = 0  # threads with a job, refused ones included


class _Due(NamedTuple):
    at: float
    order: int  # makes what is due at one time happen in the order of its cause
    worker: _Worker
    job: _Job
    began: bool  # it ends; else it asks the provider again


class Fleet:
    """The workers of one queue. Not for several threads."""

    def __init__(
        self, client: redis.Redis, queue: str, *, concurrency: int, job_seconds: float, limit: Limit | None = None
    ) -> None:
        self.provider = Provider(limit)
        self.waits: list[float] = []  # seconds from sending to beginning of each job that began
        self.done = 0
        self._client, self._queue = client, queue
        self._concurrency, self._job_seconds = concurrency, job_seconds
        self._workers: list[_Worker] = []
        self._first = 0
        self._due: list[_Due] = []
        self._order = 0

    def step(self, now: float, *, ready: int) -> None:
        """Do everything until `now` (seconds since the epoch, not backwards) with the present workers, then be `ready`.

        Raises redis.RedisError.
        """
        while self._due and self._due[0].at <= now:
            self._happen(heapq.heappop(self._due))
        self._resize(ready)
        self._fetch(now)

    def unbegun(self, now: float) -> list[float]:
        """For how long each job in the queue that has not begun waits, in seconds."""
        begun = {due.job.id for due in self._due if due.began}
        bodies: dict[bytes, bytes] = self._client.hgetall(f"dramatiq:{self._queue}.msgs")  # type: ignore[assignment]
        return [now - _job(body).sent for job, body in bodies.items() if job.decode() not in begun]

    def _happen(self, due: _Due) -> None:
        if due.began:
            due.worker.broker.do_ack(self._queue, due.job.id)
            due.worker.busy -= 1
            self.done += 1
            self._begin_some(due.worker, due.at)
        else:
            self._begin(due.worker, due.job, due.at)

    def _resize(self, ready: int) -> None:
        # The newest go first, as a ReplicaSet chooses among Ready pods.
        while len(self._workers) > ready:
            worker = self._workers.pop()
            if worker.fetched:
                worker.broker.do_requeue(self._queue, *(job.id for job in worker.fetched))
                worker.fetched.clear()
        while len(self._workers) < ready:
            # Maintenance would take the jobs of a worker that is refused for a minute: it sends nothing meanwhile.
            broker = RedisBroker(client=self._client, middleware=[], maintenance_chance=0)
            self._workers.append(_Worker(broker))

    def _fetch(self, now: float) -> None:
        if not self._client.llen(f"dramatiq:{self._queue}"):
            return  # idle workers would each ask for themselves
        # Who asks first is chance with real ones, and not the least busy; here it goes in turn.
        self._first = (self._first + 1) % max(1, len(self._workers))
        for worker in self._workers[self._first :] + self._workers[: self._first]:
            space = 2 * self._concurrency - worker.busy - len(worker.fetched)
            if space > 0:
                bodies = worker.broker.do_fetch(self._queue, space)
                if not bodies:
                    break  # the others took them all
                worker.fetched.extend(map(_job, bodies))
                self._begin_some(worker, now)

    def _begin_some(self, worker: _Worker, at: float) -> None:
        while worker.fetched and worker.busy < self._concurrency:
            worker.busy += 1
            self._begin(worker, worker.fetched.popleft(), at)

    def _begin(self, worker: _Worker, job: _Job, at: float) -> None:
        allowed = self.provider.allows(at)
        if allowed:
            self.waits.append(max(0.0, at - job.sent))
        self._order += 1
        then = at + (self._job_seconds if allowed else RETRY_AFTER)
        heapq.heappush(self._due, _Due(then, self._order, worker, job, allowed))


def _job(body: bytes) -> _Job:
    message = json.loads(body)
    return _Job(message["options"]["redis_message_id"], message["message_timestamp"] / 1000)
