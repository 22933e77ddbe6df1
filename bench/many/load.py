"""The load of `bench many`: one queue for each integration on one Redis, and some of them change every second.

Every queue holds jobs at all times, two of them fetched and not done, so that nothing here is a trivial zero. Jobs come
and go within one worker's size all the time; now and then a queue gets a burst that needs more workers, and is back at
its usual length some seconds later. Nobody works jobs off: the load itself takes them, oldest first, as workers would.
"""

import asyncio
import random
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import redis
from redis.client import Pipeline

from bench.jobs import messages

#: `backlogPerReplica` of all integrations.
JOBS_PER_WORKER = 10
#: Lengths that need one worker; a burst needs two or three.
USUAL = range(3, 10)
BURSTS = (15, 25)
#: Jobs that somebody has fetched.
RUNNING = 2
#: Of all queues, the share that changes within its size each second.
CHANGING = 1 / 10
#: Seconds from one burst of a queue to its next, on average.
BURST_EVERY = 200.0
#: Bursts a second at least: ten integrations would give no sample otherwise.
LEAST_BURSTS = 0.5
#: Seconds until a burst is gone.
BURST_FOR = 8.0


@dataclass(slots=True)
class LiveQueue:
    """One queue, and which jobs are in it; only this object changes it."""

    name: str
    jobs: deque[str] = field(default_factory=deque)  # the oldest first
    fetched: int = 0
    quiet_at: float = 0.0  # until then it has a burst

    def resize(self, pipeline: Pipeline, length: int) -> None:
        """Put commands into `pipeline` that make it `length` jobs long, fetched ones included."""
        key = f"dramatiq:{self.name}"
        done = [self.jobs.popleft() for _ in range(len(self.jobs) - length)]
        if done:
            pipeline.hdel(f"{key}.msgs", *done)
            self.fetched = max(0, self.fetched - len(done))
            if (unfetched := len(done) - RUNNING) > 0:
                pipeline.lpop(key, unfetched)
        elif length > len(self.jobs):
            new = messages(self.name, length - len(self.jobs))
            pipeline.hset(f"{key}.msgs", mapping=new)  # type: ignore[arg-type]  # redis-py's mapping is invariant
            pipeline.rpush(key, *new)
            self.jobs += new
        if fetch := min(RUNNING, len(self.jobs)) - self.fetched:
            pipeline.lpop(key, fetch)
            self.fetched += fetch


@dataclass(frozen=True, slots=True)
class Burst:
    """A queue that needs another size since then."""

    number: int  # of the integration
    workers: int
    at: float  # seconds since the epoch, on the broker's clock


class Load:
    """The queues of `count` integrations."""

    def __init__(
        self, broker: redis.Redis, names: Sequence[str], dice: random.Random, *, burst_every: float = BURST_EVERY
    ) -> None:
        self._broker = broker
        self._dice = dice
        self._burst_every = burst_every
        self.queues = [LiveQueue(name) for name in names]

    def fill(self) -> None:
        """Give each queue its first jobs."""
        pipeline = self._broker.pipeline(transaction=False)
        for queue in self.queues:
            queue.resize(pipeline, self._dice.choice(USUAL))
        pipeline.execute()

    def burst(self, number: int, length: int) -> Burst:
        """Make one queue so long, now."""
        pipeline = self._broker.pipeline(transaction=True)
        self.queues[number].resize(pipeline, length)
        pipeline.time()
        seconds, microseconds = pipeline.execute()[-1]
        return Burst(number, -(-length // JOBS_PER_WORKER), seconds + microseconds / 1e6)

    async def run(self, seconds: float, *, at_rest: Callable[[int], bool]) -> list[Burst]:
        """Change queues for so long; the bursts that were sent.

        Only an integration that is `at_rest`, with one worker, gets a burst: then any greater size is its answer.
        """
        bursts: list[Burst] = []
        rate = max(LEAST_BURSTS, len(self.queues) / self._burst_every)
        end = time.monotonic() + seconds

        async def send_bursts() -> None:
            while (wait := self._dice.expovariate(rate)) < end - time.monotonic():
                await asyncio.sleep(wait)
                ready = [n for n, queue in enumerate(self.queues) if not queue.quiet_at and at_rest(n)]
                if ready:
                    number = self._dice.choice(ready)
                    self.queues[number].quiet_at = time.monotonic() + BURST_FOR
                    bursts.append(self.burst(number, self._dice.choice(BURSTS)))

        async def change() -> None:
            share = CHANGING / 10
            while time.monotonic() < end:
                self._change([queue for queue in self.queues if self._dice.random() < share])
                await asyncio.sleep(0.1)

        async with asyncio.TaskGroup() as group:
            group.create_task(send_bursts())
            group.create_task(change())
        return bursts

    def calm(self) -> None:
        """Make an end of all bursts."""
        self._change([queue for queue in self.queues if queue.quiet_at], over=True)

    def _change(self, chosen: list[LiveQueue], *, over: bool = False) -> None:
        now = time.monotonic()
        pipeline = self._broker.pipeline(transaction=False)
        for queue in self.queues:
            if queue.quiet_at and (over or queue.quiet_at <= now):
                queue.quiet_at = 0.0
                queue.resize(pipeline, self._dice.choice(USUAL))
        for queue in chosen:
            if not queue.quiet_at:
                queue.resize(pipeline, self._dice.choice(USUAL))
        pipeline.execute()
