"""One integration's readings over time: the newest, since when they are good, and what queue guards ask.

A failed read or a new connection is a gap: everything starts anew, because a broker that came back empty must not
look as if it had been empty for long, nor as if its dead letters had just appeared. No I/O and no clock here.
Used by `broker` (writes) and `hub` (reads).
"""

import math
from dataclasses import replace
from datetime import datetime, timedelta

from crm_operator.api.v1alpha1 import Guard, QueueMetric, Reduce
from crm_operator.domain.gauge import GaugeSeries
from crm_operator.domain.reductions import needs_levels, not_filled
from crm_operator.domain.series import CounterSeries, LevelSeries
from crm_operator.domain.world import STARTING, Evidence, QueueReading, QueueView, Reading, Unknown

#: What decides whether a reading differs from the one before. Not the age: it grows with every second.
Counts = tuple[int, int, int, int, int, int]

#: A count that guards reduce over a window, and whether as a gauge (Average, Max) or by its growth.
_Asked = tuple[QueueMetric, bool]
#: Readings further apart have a gap between them: three times the second after which a broker is read again.
_APART = timedelta(seconds=3)


class QueueHistory:
    """Bounded by the windows in use, see `domain/series`."""

    def __init__(self, *, window: timedelta) -> None:
        self._window = window
        self.latest: QueueReading | Unknown = Unknown("the queue is not read yet", STARTING)
        self._asked: dict[_Asked, timedelta] = {}  # the longest window
        self._limits: dict[QueueMetric, float] = {}  # the lowest one of a Last guard
        self._just_changed = False
        self._restart()

    def _restart(self) -> None:
        self._previous: QueueReading | None = None
        self._good_since: datetime | None = None
        self._readings = 0
        self._series: dict[_Asked, RisingLevel | LevelSeries | GaugeSeries] = {}

    def set_window(self, window: timedelta) -> None:
        """A longer `scaleDownAfter` starts anew: readings count as good for as long as the window remembers."""
        if window > self._window:
            self._restart()
            if isinstance(self.latest, QueueReading):
                self.latest = Unknown("scaling.scaleDownAfter grew; reading anew", STARTING)
        self._window = window

    def record(self, reading: QueueReading | Unknown, *, after_gap: bool = False) -> bool:
        """Take the newest reading; says whether it differs from the one before.

        A guard of a level needs two readings above its limit, so above one the reading after a change counts as one
        too: `previous` differs. So does any reading by which an average moves.
        """
        before, self.latest = self.latest, reading
        if after_gap or isinstance(reading, Unknown) or isinstance(before, Unknown):
            self._restart()
        if isinstance(reading, Unknown):
            return reading != before
        if isinstance(before, QueueReading) and not after_gap:
            self._previous = before
        if self._good_since is None:
            self._good_since = reading.at
        self._readings += 1
        for asked in self._asked:
            self._record_asked(asked, reading)
        changed = isinstance(before, Unknown) or _counts(before) != _counts(reading)
        settled = self._just_changed and self._is_above(reading)
        self._just_changed = changed
        return changed or settled or any(self._moves(asked, reading.at) for asked in self._asked)

    def _moves(self, asked: _Asked, now: datetime) -> bool:
        """Whether an average changes although the count does not."""
        series = self._series[asked]
        if not isinstance(series, GaugeSeries) or series.same_since is None:
            return False
        return now - series.same_since <= self._asked[asked]

    def _is_above(self, reading: QueueReading) -> bool:
        return any(_value(metric, reading) > limit for metric, limit in self._limits.items())

    def view(self) -> QueueView:
        """For scaling."""
        if isinstance(self.latest, Unknown):
            return QueueView(latest=self.latest)
        return QueueView(latest=self.latest, good_since=self._good_since)

    def evidence(self, guard: Guard) -> Evidence:
        """For one guard with metric.from = queue. A window is remembered from the first time it is asked for."""
        metric = QueueMetric(guard.metric.name or "")
        window = guard.window or timedelta(0)
        asked = (metric, needs_levels(guard))
        if guard.reduce is Reduce.LAST:
            limits = [threshold.above for threshold in (guard.warning, guard.critical) if threshold is not None]
            self._limits[metric] = min(self._limits.get(metric, math.inf), *limits)
        elif window > self._asked.get(asked, timedelta(0)):
            self._ask(asked, window)
        if isinstance(self.latest, Unknown):
            return Evidence(overall=self.latest)
        return Evidence(overall=self._reduced(guard.reduce, metric, window, self.latest))

    def _reduced(
        self, reduce: Reduce, metric: QueueMetric, window: timedelta, latest: QueueReading
    ) -> Reading | Unknown:
        match reduce:
            case Reduce.LAST:
                previous = None if self._previous is None else float(_value(metric, self._previous))
                return Reading(float(_value(metric, latest)), samples=1, at=latest.at, previous=previous)
            case Reduce.AVERAGE | Reduce.MAX:
                return self._of_level(reduce, metric, window, latest)
            case Reduce.RATE:
                grown = self._increase(metric, window, latest)
                seconds = window.total_seconds()
                return grown if isinstance(grown, Unknown) else replace(grown, value=grown.value / seconds)
            case _:
                return self._increase(metric, window, latest)  # the API server lets no other reduction through

    def _increase(self, metric: QueueMetric, window: timedelta, latest: QueueReading) -> Reading | Unknown:
        """Of dead jobs: how many were added, a purge or replay notwithstanding. Of a level: against the window's start.

        Until readings have been good for the window, the first is a lower bound, and the second is not known.
        """
        series = self._series[metric, False]
        assert isinstance(series, RisingLevel | LevelSeries), series
        filled_at = series.filled_at(window, latest.at)
        unfilled = None if filled_at is None else not_filled(metric.value, window, filled_at)
        if isinstance(series, CounterSeries):
            if not series.counts_from(window):
                return Unknown(f"only one reading of {metric.value} so far", STARTING)
            value = series.increase(window, latest.at)
            return Reading(value, samples=self._readings, at=latest.at, lower_bound=unfilled)
        if unfilled is not None:
            return unfilled
        start = series.at(latest.at - window) or 0.0
        return Reading(max(0.0, _value(metric, latest) - start), samples=self._readings, at=latest.at)

    def _of_level(
        self, reduce: Reduce, metric: QueueMetric, window: timedelta, latest: QueueReading
    ) -> Reading | Unknown:
        """Until readings have been good for the window, a maximum is a lower bound, and an average is not known."""
        series = self._series[metric, True]
        assert isinstance(series, GaugeSeries), series
        first_at = series.first_at or latest.at
        filled_at = first_at + window
        unfilled = not_filled(metric.value, window, filled_at) if filled_at > latest.at else None
        if reduce is Reduce.MAX:
            return Reading(
                series.peak(window, latest.at) or 0.0,
                samples=self._readings,
                at=latest.at,
                previous=series.held(window, latest.at),
                lower_bound=unfilled,
            )
        if unfilled is not None:
            return unfilled
        return Reading(
            _mean(series, window, latest.at) or 0.0,
            samples=self._readings,
            at=latest.at,
            previous=_mean(series, window, latest.at, without_newest=True),
        )

    def _ask(self, asked: _Asked, window: timedelta) -> None:
        """From now on; what was remembered for a shorter window does not reach back far enough."""
        self._asked[asked] = window
        self._series.pop(asked, None)
        if isinstance(self.latest, QueueReading):
            self._record_asked(asked, self.latest)

    def _record_asked(self, asked: _Asked, reading: QueueReading) -> None:
        if asked not in self._series:
            self._series[asked] = _series_for(asked, reading.at)
        series, value = self._series[asked], float(_value(asked[0], reading))
        if isinstance(series, RisingLevel):
            series.record_level(value, reading.at)
        elif isinstance(series, GaugeSeries):
            series.record(value, reading.at, apart=_APART)
        else:
            series.record(value, reading.at)
        series.forget_before(reading.at - self._asked[asked])


class RisingLevel(CounterSeries):
    """The rises of a level: dead letters come one by one, and leave by a purge or a replay, which is no rise."""

    def __init__(self) -> None:
        super().__init__()
        self._level: float | None = None
        self._risen = 0.0

    def record_level(self, level: float, at: datetime) -> None:
        """Take the newest level."""
        if self._level is not None and level > self._level:
            self._risen += level - self._level
        self._level = level
        self.record(self._risen, at)


def _series_for(asked: _Asked, now: datetime) -> RisingLevel | LevelSeries | GaugeSeries:
    metric, as_gauge = asked
    if as_gauge:
        return GaugeSeries(since=now)
    return RisingLevel() if metric is QueueMetric.DEAD else LevelSeries()


def _mean(series: GaugeSeries, window: timedelta, now: datetime, *, without_newest: bool = False) -> float | None:
    area, seconds = series.area(window, now, without_newest=without_newest)
    return area / seconds if seconds > 0 else None


def _value(metric: QueueMetric, reading: QueueReading) -> int:
    match metric:
        case QueueMetric.WAITING:
            return reading.waiting
        case QueueMetric.RUNNING:
            return reading.running
        case QueueMetric.DELAYED:
            return reading.delayed
        case QueueMetric.DEAD:
            return reading.dead


def _counts(reading: QueueReading) -> Counts:
    return (reading.waiting, reading.running, reading.delayed, reading.due, reading.dead, reading.orphaned)
