"""How many jobs arrive, estimated without a counter of arrivals: what the backlog grew, plus what was finished.

What was finished follows from Little's law: `b` busy threads finish b / d jobs a second when one takes `d`. A steady
load therefore needs busy / concurrency / 0.85 workers whatever `d` is guessed to be.

A batch that comes at once must not pass for a lasting rate, and an average would carry it along for its half-life. So
the rate is the smaller one of two windows, the last 3 s and the 3 s before: a batch is in one of them at a time. And
it is at most twice what is finished: a batch that is sent for seconds is sized by the backlog, too, and a load that
lasts is followed by doubling, each time as soon as the workers of the last time work.

Windows so short scatter: 35 jobs/s that come by chance are 29 to 41 in them. As long as they say no other rate than the
last minute does, within what chance makes of it, the minute counts. tests/unit/domain/test_drain_law.py has the traces.

Pure: times are arguments; they must not run backwards. Fed by `load`.
"""

import math
from bisect import bisect_right
from datetime import datetime, timedelta
from typing import NamedTuple

from crm_operator.domain.drain_law import UTILIZATION

#: The newer and the older window.
RECENT, BEFORE = timedelta(seconds=3), timedelta(seconds=3)
#: The long window, and how many standard deviations of a Poisson process the short ones may be off it.
LONG, SCATTER = timedelta(seconds=60), 2.0
#: Growth of the backlog counts as arrivals up to this share of what is finished.
GREATEST_GROWTH = 1.0
#: A job that was begun is finished one duration later; beyond this it is not worth remembering.
LONGEST_LAG = timedelta(seconds=60)
#: Readings remembered at most: one a second for as long as the estimate looks back, and some to spare.
_MOST = 128


class _Sample(NamedTuple):
    at: datetime
    backlog: int  # jobs, from `at` until the next sample
    busy: int  # of them worked on
    work: float  # job-seconds done until `at`, from an arbitrary beginning


class Arrivals:
    """Fed with every reading of one integration's queues; what was before the first one is taken to have been alike."""

    def __init__(self) -> None:
        self._samples: list[_Sample] = []

    def record(self, *, backlog: int, busy: int, at: datetime) -> None:
        """Take the newest reading, in jobs; one that is not newer than the last is none."""
        work = 0.0
        if self._samples:
            last = self._samples[-1]
            if at <= last.at:
                return
            work = last.work + last.busy * (at - last.at).total_seconds()
            # Equal ones in a row are one: the values last until the next sample.
            if (last.backlog, last.busy) == (backlog, busy):
                return
        self._samples.append(_Sample(at, backlog, busy, work))
        forgotten = self._index_at(at - LONG - LONGEST_LAG)
        del self._samples[: max(forgotten, len(self._samples) - _MOST)]

    def rate(self, *, job: timedelta, now: datetime) -> float:
        """Jobs per second (>= 0) that arrive, when one takes `job`."""
        lately, minute = self._sudden(job=job, now=now), self._flow(now - LONG, now, job=job)
        seconds = (RECENT + BEFORE).total_seconds()
        both = self._flow(now - RECENT - BEFORE, now, job=job)
        # Nothing lately is no scatter: what stopped must not hold a worker, or start one, for a minute.
        if both > 0 and abs(both - minute) * seconds <= SCATTER * math.sqrt(max(both, minute) * seconds):
            return max(0.0, minute)
        return lately

    def _sudden(self, *, job: timedelta, now: datetime) -> float:
        """What the two short windows say."""
        middle = now - RECENT
        finished, growth = self._flows(middle, now, job=job)
        if growth < 0:
            # Whoever works it off is enough to keep up, however wrong `job` is.
            return max(0.0, min(finished + growth, UTILIZATION * finished))
        finished_before, growth_before = self._flows(middle - BEFORE, middle, job=job)
        lasting = finished_before + growth_before
        if growth_before < 0:
            # It was worked off until just now; with a wrong `job` the sum says too little.
            lasting = max(lasting, finished)
        return max(0.0, min(finished + growth, lasting, (1 + GREATEST_GROWTH) * finished))

    def settled(self, *, job: timedelta, now: datetime) -> bool:
        """Whether the rate stays as it is while the readings do."""
        if len(self._samples) < 2:
            return True
        last = self._samples[-1]
        # Where nobody works any more, the last minute is not asked.
        looks_back = LONG if last.busy else RECENT + BEFORE
        return last.at <= now - looks_back - min(job, LONGEST_LAG)

    @property
    def remembered(self) -> int:
        """Stored readings."""
        return len(self._samples)

    def _flow(self, begin: datetime, end: datetime, *, job: timedelta) -> float:
        return sum(self._flows(begin, end, job=job))

    def _flows(self, begin: datetime, end: datetime, *, job: timedelta) -> tuple[float, float]:
        """Jobs finished, and growth of the backlog, per second between two times."""
        if not self._samples:
            return 0.0, 0.0
        lag, seconds = min(job, LONGEST_LAG), (end - begin).total_seconds()
        work = self._work_at(end - lag) - self._work_at(begin - lag)
        growth = self._backlog_at(end) - self._backlog_at(begin)
        return work / job.total_seconds() / seconds, growth / seconds

    def _index_at(self, time: datetime) -> int:
        """Of the sample that holds at `time`; the first one holds for all times before it."""
        return max(0, bisect_right(self._samples, time, key=lambda sample: sample.at) - 1)

    def _backlog_at(self, time: datetime) -> int:
        return self._samples[self._index_at(time)].backlog

    def _work_at(self, time: datetime) -> float:
        sample = self._samples[self._index_at(time)]
        return sample.work + sample.busy * (time - sample.at).total_seconds()
