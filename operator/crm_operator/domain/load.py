"""What scaling remembers of one integration between two looks: its arrivals, and the largest need of a while ago.

Kept in memory only. After a restart, or a gap in the readings, it begins anew, and until the readings have been good
for `scaleDownAfter` nothing goes down (`domain/scaling`): by then the window is full again. `controller/observe` feeds
it on every look with the world as far as it is known, and puts its answer into the world.
"""

from collections.abc import Callable
from datetime import datetime, timedelta

from crm_operator.domain.arrivals import Arrivals
from crm_operator.domain.drain_law import busy, drain_target
from crm_operator.domain.job_duration import job_duration
from crm_operator.domain.scaling import LATE, Demand, demand, whole
from crm_operator.domain.series import PeakWindow
from crm_operator.domain.world import Load, QueueReading, World

_SECOND = timedelta(seconds=1)
#: Seconds that are looked ahead while the rate still moves although the readings do not.
_AHEAD = 5


class LoadMemory:
    """Bounded by `scaleDownAfter`, see `domain/series`, and by what `Arrivals` remembers."""

    def __init__(self) -> None:
        self._arrivals = Arrivals()
        self._good_since: datetime | None = None
        self._peak = PeakWindow()

    def notice(self, world: World) -> Load:
        """Take the world's newest reading; what it and those before it say."""
        reading = world.queue.latest
        if not isinstance(reading, QueueReading):
            return Load()
        if world.queue.good_since != self._good_since:
            self._good_since, self._arrivals = world.queue.good_since, Arrivals()
        job = job_duration(world).mean
        self._arrivals.record(backlog=reading.backlog, busy=busy(world, reading), at=reading.at)
        now = max(world.now, reading.at)
        rate = self._arrivals.rate(job=job, now=now)
        window = world.spec.scaling.scale_down_after
        asked = demand(world, reading)
        self._peak.record(asked(rate).workers, now, window=window)
        falls_at = self._peak.falls_at
        times = [None if falls_at is None else falls_at + window, *_grows_late(world, reading)]
        if world.spec.scaling.backlog_per_replica is None:  # else no size depends on the rate
            times.append(self._moves_at(asked, job=job, now=now))
        return Load(
            arrival_rate=rate,
            peak=self._peak.peak,
            look_again=min((time for time in times if time is not None and time > world.now), default=None),
        )

    def _moves_at(self, asked: Callable[[float], Demand], *, job: timedelta, now: datetime) -> datetime | None:
        """When to look again because the rate moves although the readings do not; None: it does not.

        To look ahead is cheap, and to look is not: so the next time is when the needed workers change in number, to the
        second, or the end of what was looked ahead.
        """

        def needed(at: datetime) -> int:
            return whole(asked(self._arrivals.rate(job=job, now=at)).workers)

        at, present = now, needed(now)
        for _ in range(_AHEAD):
            if self._arrivals.settled(job=job, now=at):
                return None
            at += _SECOND
            if needed(at) != present:
                break
        return at


def _grows_late(world: World, reading: QueueReading) -> list[datetime]:
    """When the oldest job's wait reaches what asks for a step more, and drainTarget: no reading tells that."""
    if world.spec.scaling.backlog_per_replica is not None or reading.oldest_age is None:
        return []
    since = reading.at - reading.oldest_age
    return [since + share * drain_target(world.spec) + _SECOND for share in (LATE, 1.0)]
