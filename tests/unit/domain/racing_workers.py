"""Two versions of Dramatiq workers that race for the jobs of one Redis queue, and are read as the operator reads them.

A worker asks the queue for as many jobs as it has room for, and after each time in vain waits twice as long, up to a
second (Dramatiq's Redis consumer). So when there is less work than workers, one that fails fast asks oftener, and takes
the jobs and their retries from the others, who have hardly any to show how they fare.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from heapq import heappop, heappush
from itertools import count
from random import Random

from crm_operator.api.v1alpha1 import Guard, GuardStatus
from crm_operator.domain.blame import find
from crm_operator.domain.fleet import JOBS_METRIC, PodFleet
from crm_operator.domain.lasting import lasting_breach
from crm_operator.domain.scraped import Sample
from crm_operator.domain.world import Reading
from tests.unit.domain.builders import AT_ONCE, NOW, SECOND, a_guard, was

THREADS, PREFETCH = 2, 4
FIRST_WAIT, LONGEST_WAIT = 0.005, 1.0
#: Seconds until the trouble begins, at least; and from then on until a test gives up.
BEFORE, AFTER = 20, 60


@dataclass(frozen=True, kw_only=True)
class Race:
    """Times in seconds. From the trouble on, so large a share of the jobs that a version takes fails."""

    per_second: float = 8  # jobs that come
    workers: tuple[int, int] = (1, 2)  # of the new version, and of stable
    new: float = 1.0
    old: float = 1.0
    takes: float = 0.3  # a good job
    fails_in: float = 0.05
    retried_in: float = 0.3  # up to thrice as long
    unread: float = 0  # stable's workers do not answer for so long from the trouble on
    limit: float = 8
    window: float = 8


@dataclass(slots=True)
class _Worker:
    is_new: bool
    fetched: int = 0  # and not begun
    running: int = 0
    misses: int = 0
    done: int = 0
    failed: int = 0


def run(race: Race, seed: int) -> tuple[str, float] | None:
    """Whom the first settled verdict blames, and how long after the new version's first error. None: nobody, ever."""
    return _Run(race, Random(seed)).blamed()


class _Run:
    def __init__(self, race: Race, random: Random) -> None:
        self._race, self._random = race, random
        new, old = race.workers
        self._workers = {f"new-{n}": _Worker(True) for n in range(new)} | {
            f"old-{n}": _Worker(False) for n in range(old)
        }
        self._waiting = 0
        self._begins = BEFORE + random.random()
        self._first_error: float | None = None
        self._events: list[tuple[float, int, Iterator[float]]] = []
        self._number = count()
        self._fleet = PodFleet(keep=race.window * SECOND, stale_after=3 * SECOND)
        self._fleet.targets([(name, name[:3], NOW) for name in self._workers], NOW)
        self._guard: Guard = a_guard(warning=None, critical={"above": race.limit}, window=f"{race.window:g}s")
        self._was: GuardStatus | None = None
        self._found: tuple[str, float] | None = None

    def blamed(self) -> tuple[str, float] | None:
        self._at(self._random.random(), self._jobs_come())
        for worker in self._workers.values():
            self._at(self._random.random(), self._ask(worker))
        self._at(self._random.random(), self._look())
        while self._found is None:
            time, _, goes_on = heappop(self._events)
            if time > self._begins + AFTER:
                return None
            self.now = time
            wait = next(goes_on, None)
            if wait is not None:
                self._at(time + wait, goes_on)
        return self._found

    def _at(self, time: float, goes_on: Iterator[float]) -> None:
        heappush(self._events, (time, next(self._number), goes_on))

    def _jobs_come(self) -> Iterator[float]:
        while True:
            self._waiting += 1
            yield self._random.expovariate(self._race.per_second)

    def _ask(self, worker: _Worker) -> Iterator[float]:
        while True:
            found = min(PREFETCH - worker.fetched - worker.running, self._waiting)
            self._waiting -= found
            worker.fetched += found
            self._begin_jobs(worker)
            worker.misses = 0 if found else worker.misses + 1
            wait = FIRST_WAIT * 2 ** min(worker.misses, 16) * self._random.uniform(0.5, 1)
            yield min(wait, LONGEST_WAIT * self._random.uniform(0.5, 1))

    def _begin_jobs(self, worker: _Worker) -> None:
        while worker.fetched and worker.running < THREADS:
            worker.fetched -= 1
            worker.running += 1
            job = self._job(worker)
            self._at(self.now + next(job), job)

    def _job(self, worker: _Worker) -> Iterator[float]:
        race, random = self._race, self._random
        fails = self.now >= self._begins and random.random() < (race.new if worker.is_new else race.old)
        yield (race.fails_in if fails else race.takes) * random.uniform(0.7, 1.3)
        worker.running -= 1
        worker.done += 1
        worker.failed += fails
        self._begin_jobs(worker)
        if fails:
            if worker.is_new and self._first_error is None:
                self._first_error = self.now
            yield race.retried_in * random.uniform(1, 3)
            self._waiting += 1

    def _look(self) -> Iterator[float]:
        """The new version is read four times a second; stable once, or as often as it while a verdict is open."""
        race = self._race
        for number in count():
            now, was_said = NOW + self.now * SECOND, self._was
            for name, worker in self._workers.items():
                hangs = self._begins < self.now < self._begins + race.unread
                if worker.is_new or (not hangs and (was_said or number % 4 == 0)):
                    said = {self._guard.metric.shown: worker.failed, JOBS_METRIC: worker.done}
                    self._fleet.record(name, {key: Sample(value, value) for key, value in said.items()}, now)
            sides = self._fleet.evidence(self._guard, now).by_revision
            mine = sides["new"]
            self._was = None
            if isinstance(mine, Reading) and mine.value > race.limit and self._first_error is not None:
                found = find(self._guard, mine, sides["old"], was_said, now, beside=True)
                if found.blame != "undecided":
                    self._found = found.blame, self.now - self._first_error
                since = was("undecided").model_copy(update={"since": now})
                self._was = lasting_breach(was_said) or since
            yield 0.25 if was_said or self._was is None else AT_ONCE
