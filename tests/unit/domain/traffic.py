"""Jobs that arrive and workers that are sized for them, in virtual time: `LoadMemory` and `size` in a closed loop.

A fluid model in steps of a second, as the queue is read: jobs are real numbers, pods start after `start` seconds and
end at once. What it leaves out (prefetching, uneven work) the tests on real brokers have.
"""

import dataclasses
from bisect import bisect_right
from collections.abc import Callable
from datetime import timedelta

from crm_operator.api.v1alpha1 import CrmIntegrationSpec
from crm_operator.domain.load import LoadMemory
from crm_operator.domain.scaling import Size, size
from crm_operator.domain.world import QueueView
from tests.unit.domain.builders import NOW, SECOND, a_reading, a_status, a_workload, a_world


@dataclasses.dataclass(frozen=True, slots=True)
class Tick:
    """What one second looked like."""

    backlog: float  # jobs, after the second's arrivals
    wanted: int  # workers
    ready: int
    size: Size


@dataclasses.dataclass(frozen=True, slots=True)
class Course:
    """A whole run."""

    ticks: list[Tick]
    arrived: float

    @property
    def most(self) -> int:
        return max(tick.wanted for tick in self.ticks)

    @property
    def changes(self) -> int:
        return sum(a.wanted != b.wanted for a, b in zip(self.ticks, self.ticks[1:], strict=False))

    @property
    def mean_wait(self) -> float:
        """Seconds from arrival to the end, by Little's law."""
        return sum(tick.backlog for tick in self.ticks) / max(1.0, self.arrived)

    @property
    def replica_seconds(self) -> int:
        return sum(tick.wanted for tick in self.ticks)

    def drained(self, *, after: int) -> int:
        """Seconds from `after` until a tick that leaves nothing to do."""
        return next(n for n, tick in enumerate(self.ticks[after:]) if tick.backlog < 1)


def drive(
    arrivals: Callable[[int], float],
    *,
    spec: CrmIntegrationSpec,
    seconds: int,
    job: float = 1.0,
    start: int = 10,
    workers: int = 0,
    ages: bool = False,
) -> Course:
    """`arrivals` gives each second's jobs; `job`: how long one takes, in seconds (>= 1); `ages`: they can be read."""
    memory, ticks = LoadMemory(), list[Tick]()
    backlog, arrived, wanted, ready = 0.0, 0.0, workers, workers
    sent: list[float] = []  # jobs that had arrived by the end of each second
    starting: list[int] = []  # when each pod will be Ready
    for second in range(seconds):
        now = NOW + second * SECOND
        new = arrivals(second)
        backlog, arrived = backlog + new, arrived + new
        sent.append(arrived)
        ready, starting = ready + sum(at <= second for at in starting), [at for at in starting if at > second]
        running = min(round(backlog), ready * spec.workers.concurrency)
        waiting = round(backlog) - running
        # First come, first served: the oldest that waits came when all before it had.
        age = (second - bisect_right(sent, arrived - waiting)) * SECOND if ages and waiting > 0 else None
        reading = a_reading(waiting, running=running, oldest_age=age, at=now)
        seen = a_world(
            now=now,
            spec=spec,
            status=a_status(desired=wanted),
            stable=a_workload(wanted, ready=ready, pods=()),
            queue=QueueView(latest=reading, good_since=NOW - timedelta(hours=1)),
        )
        found = size(dataclasses.replace(seen, load=memory.notice(seen)))
        wanted = found.replicas
        starting += [second + start] * (wanted - ready - len(starting))
        # The youngest go first.
        starting = starting[: max(0, wanted - ready)]
        ready = min(ready, wanted)
        ticks.append(Tick(backlog, wanted, ready, found))
        backlog -= min(backlog, ready * spec.workers.concurrency) / job
    return Course(ticks, arrived)
