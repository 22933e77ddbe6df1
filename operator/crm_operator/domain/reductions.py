"""How the samples of several processes in a window become one value: what a guard's `reduce` means.

| reduce   | of a     | over the processes                                    | window known in part |
|----------|----------|-------------------------------------------------------|----------------------|
| Increase | counter  | summed, those that left within the window included    | a lower bound        |
| Rate     | counter  | the Increase by the window's seconds                  | a lower bound        |
| Ratio    | counters | one Increase by the other                             | Unknown              |
| Quantile | histogram| of all observations of the window together            | Unknown              |
| Last     | gauge    | the worst process's newest value                      | has no window        |
| Max      | gauge    | the largest, those that left included                 | a lower bound        |
| Average  | gauge    | over all time that all processes were read            | Unknown              |

One pod's history of one counter, and what counts (`series` has the rule):

    12:00 pod starts    12:01 first seen, 4     12:02 9     12:03 container restarts    12:04 2     12:05 pod is gone
    5m before 12:05:30: 4 (counted from zero) + 5 + 2 = 11    5m before 12:06: 7    3m before 12:06: 2    12:20: 0

A gauge has no such beginning. Its window is full when it was read since before the window, or heard since its process
began. Pure; used by `fleet` for pods and by the other metric sources.
"""

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TypedDict, TypeVar

from crm_operator.api.v1alpha1 import Guard, Reduce
from crm_operator.domain.gauge import GaugeSeries
from crm_operator.domain.histogram import HistogramSeries, added, quantile
from crm_operator.domain.scraped import Kind, MetricMemory, Scraped
from crm_operator.domain.series import CounterSeries, Growth
from crm_operator.domain.world import Breadth, Reading, Recent, Unknown

#: The shortest time over which versions are compared; doubled up to the guard's window.
SHORTEST_SPAN = timedelta(seconds=2)
#: A worker may claim any number; beyond this one a float does not count on.
MOST = 2.0**53

_T = TypeVar("_T")
_BUCKET = "_bucket"


def metric_names(guard: Guard) -> tuple[str, str | None]:
    """The series that a guard reads, and of Ratio the one to divide by. Of a histogram they are its buckets.

    A query has no name of its own, and is called by its field.
    """
    if guard.metric.query is not None:
        return guard.metric.name or "query", "perQuery"
    name = guard.metric.name or ""
    if guard.reduce is Reduce.QUANTILE:
        name = name.removesuffix(_BUCKET) + _BUCKET
    return name, guard.metric.per


def needs_levels(guard: Guard) -> bool:
    """Whether its metric has to be remembered as a gauge over the window."""
    return guard.reduce in (Reduce.AVERAGE, Reduce.MAX)


@dataclass(frozen=True, slots=True)
class Group:
    """Processes whose samples are reduced together, at one time."""

    members: Sequence[Scraped]
    now: datetime
    stale_after: timedelta  # a sample older than that is none
    called: str  # what they are, in the plural: `pods`
    forgotten_at: datetime | None = None  # when the last of those left that are not remembered; None: all are

    def reduce(self, guard: Guard) -> Reading | Unknown:
        """The guard's value, with its breadth where that is asked, or why there is none."""
        found = self._reduced(guard)
        if not guard.min_workspaces or isinstance(found, Unknown):
            return found
        return replace(found, breadth=self._breadth(metric_names(guard)[0], guard.window or timedelta()))

    def _reduced(self, guard: Guard) -> Reading | Unknown:
        name, per = metric_names(guard)
        window = guard.window or timedelta()
        match guard.reduce:
            case Reduce.LAST:
                return self._last(name)
            case Reduce.INCREASE:
                return self._increase(name, window)
            case Reduce.RATE:
                grown = self._increase(name, window)
                return grown if isinstance(grown, Unknown) else replace(grown, value=grown.value / _seconds(window))
            case Reduce.RATIO:
                return self._ratio(name, per or "", window)
            case Reduce.QUANTILE:
                return self._quantile(name, guard.metric.quantile or 0.5, window)
            case Reduce.AVERAGE:
                return self._average(name, window)
            case Reduce.MAX:
                return self._max(name, window)

    def recent(self, guard: Guard, *, jobs: str, window_only: bool = False) -> tuple[Recent, ...]:
        """Over 2 s, 4 s, 8 s, ... and the window: two versions that ran for different times, compared over one.

        With `window_only` over the window: what a version that has none beside it did of late.

        Of counters the growth and, as its base, that of the counter `jobs` or of what a Ratio divides by; of a
        histogram the quantile and the number of observations; of a gauge's average or maximum how many processes had
        one. Nothing of the last value of a gauge, nor of a gauge's window alone.
        """
        window = guard.window or timedelta()
        spans = (window,) if window_only else tuple(_spans(window))
        name, per = metric_names(guard)
        match guard.reduce:
            case Reduce.INCREASE | Reduce.RATE | Reduce.RATIO:
                values = self._growths(name, spans) or [0.0] * len(spans)
                bases = self._growths(per or jobs, spans)
                if bases is None:
                    return tuple(Recent(span, value, None) for span, value in zip(spans, values, strict=True))
                if guard.reduce is not Reduce.RATIO:
                    # An error is counted before its job is done, and is one try at least.
                    bases = [max(base, value) for base, value in zip(bases, values, strict=True)]
                return tuple(Recent(*found) for found in zip(spans, values, bases, strict=True))
            case Reduce.QUANTILE:
                q, known = guard.metric.quantile or 0.5, self._histograms(name)
                counts = [added([histogram.growth(span, self.now) for histogram in known]) for span in spans]
                return tuple(
                    Recent(span, quantile(q, count) or 0.0, count.get(math.inf, 0.0))
                    for span, count in zip(spans, counts, strict=True)
                )
            case Reduce.AVERAGE | Reduce.MAX:
                return () if window_only else tuple(self._level(name, guard.reduce, span) for span in spans)
            case Reduce.LAST:
                return ()

    def why(self, name: str, kind: Kind) -> Unknown:
        """Why no process gives `name`: the commonest reason."""
        live = [member for member in self.members if member.is_there]
        faults = Counter(self._fault(member, name, kind) or _ONE_SAMPLE for member in live)
        if not faults:
            return Unknown(f"{name}: there are no {self.called} to read", "NoPods")
        [(fault, count)] = faults.most_common(1)
        share = f" ({count} of {len(live)} {self.called})" if self.called else ""
        return Unknown(f"{name}: {fault.why}{share}", fault.reason)

    def _fault(self, member: Scraped, name: str, kind: Kind) -> Unknown | None:
        return member.fault_of(name, kind, self.now, self.stale_after)

    def _fresh(self, name: str, kind: Kind) -> list[MetricMemory]:
        """Of those that are there and give a value."""
        return [
            member.metrics[name]
            for member in self.members
            if member.is_there and self._fault(member, name, kind) is None
        ]

    def _all(self, name: str) -> list[MetricMemory]:
        """Of those too that left."""
        return [memory for member in self.members if (memory := member.metrics.get(name)) is not None]

    def _last(self, name: str) -> Reading | Unknown:
        """The worst process's newest value; before it the worst of those processes' values one scrape earlier."""
        seen = [(memory.newest, memory.before) for memory in self._fresh(name, Kind.GAUGE)]
        newest = [new for new, _ in seen if new is not None]
        if not newest:
            return self.why(name, Kind.GAUGE)
        before = [
            old[0] for new, old in seen if new is not None and old is not None and new[1] - old[1] <= self.stale_after
        ]
        return Reading(
            max(value for value, _ in newest),
            samples=len(newest),
            previous=max(before, default=None),
            **_times([at for _, at in newest]),
        )

    def _increase(self, name: str, window: timedelta) -> Reading | Unknown:
        """Summed over the processes that are there and those that left within the window.

        If some cannot be read, what the others say is a lower bound, and above a limit it is real.
        """
        read = [memory.counter for memory in self._fresh(name, Kind.COUNTER) if memory.counter.counts_from(window)]
        if not read:
            return self.why(name, Kind.COUNTER)
        counters = [memory.counter for memory in self._all(name)]
        unsteady = [counter for counter in counters if counter.is_unsteady(window, self.now)]
        in_part = self._filled_at(name, counters, window)
        if unsteady:
            in_part = Unknown(
                f"{name} fell twice in {_seconds(window):g}s: several processes seem to answer, each with counters of "
                "its own; let them answer for all",
                "MetricUnsteady",
            )
            if not all(counter.told_of_restarts for counter in unsteady):
                return in_part  # one whose restarts are not told of counts what it showed after a fall
        value = sum(counter.increase(window, self.now) for counter in counters)
        return self._reading(name, value, read, lower_bound=in_part)

    def _breadth(self, name: str, window: timedelta) -> Breadth:
        grown: set[int] = set()
        for memory in self._all(name):
            if memory.workspaces is not None:
                grown |= memory.workspaces.grown(window, self.now)
        faults = [memory.workspaces_fault for memory in self._fresh(name, Kind.COUNTER)]
        return Breadth(len(grown), unsure=next((fault for fault in faults if fault is not None), None))

    def _ratio(self, name: str, per: str, window: timedelta) -> Reading | Unknown:
        above, below = self._increase(name, window), self._increase(per, window)
        for part in (above, below):
            if isinstance(part, Unknown):
                return part
            if part.lower_bound is not None:
                return part.lower_bound
        assert isinstance(above, Reading), above
        assert isinstance(below, Reading), below
        if below.value <= 0:
            return Unknown(f"{per} did not grow in {_seconds(window):g}s, so there is no ratio", "NoData")
        return _finite(
            name,
            Reading(
                above.value / below.value,
                samples=min(above.samples, below.samples),
                at=min(above.at, below.at),
                oldest=min((part.oldest for part in (above, below) if part.oldest is not None), default=None),
            ),
        )

    def _quantile(self, name: str, q: float, window: timedelta) -> Reading | Unknown:
        read = [
            histogram
            for memory in self._fresh(name, Kind.HISTOGRAM)
            if (histogram := memory.histogram) is not None and histogram.counts_from(window)
        ]
        if not read:
            return self.why(name, Kind.HISTOGRAM)
        known = self._histograms(name)
        unfilled = self._filled_at(name, known, window)
        if unfilled is not None:
            return unfilled
        counts = added([histogram.growth(window, self.now) for histogram in known])
        if not counts.get(math.inf):
            return Unknown(f"{name} did not grow in {_seconds(window):g}s, so there is no quantile", "NoData")
        value = quantile(q, counts)
        if value is None:
            return Unknown(f"{name}: the {self.called or 'samples'} have no bucket in common", "MetricInvalid")
        return self._reading(name, value, read)

    def _average(self, name: str, window: timedelta) -> Reading | Unknown:
        known = self._levels(name)
        if not known:
            return self.why(name, Kind.GAUGE)
        unfilled = self._unfilled_levels(name, window)
        if unfilled is not None:
            return unfilled
        value = _mean([level.area(window, self.now) for level in known])
        if value is None:
            return self.why(name, Kind.GAUGE)
        before = _mean([level.area(window, self.now, without_newest=True) for level in known])
        return self._of_levels(name, value, previous=before)

    def _max(self, name: str, window: timedelta) -> Reading | Unknown:
        """`previous` is what two samples running reached: a gauge must be over a limit twice."""
        known = self._levels(name)
        value = max((peak for level in known if (peak := level.peak(window, self.now)) is not None), default=None)
        if value is None:
            return self.why(name, Kind.GAUGE)
        held = max((top for level in known if (top := level.held(window, self.now)) is not None), default=None)
        found = self._of_levels(name, value, previous=held)
        if isinstance(found, Unknown):
            return found
        return replace(found, lower_bound=self._unfilled_levels(name, window))

    def _of_levels(self, name: str, value: float, *, previous: float | None) -> Reading | Unknown:
        fresh = [memory.newest[1] for memory in self._fresh(name, Kind.GAUGE) if memory.newest is not None]
        if not fresh:
            return self.why(name, Kind.GAUGE)
        return _finite(name, Reading(value, samples=len(fresh), previous=previous, **_times(fresh)))

    def _levels(self, name: str) -> list[GaugeSeries]:
        return [memory.level for memory in self._all(name) if memory.level is not None]

    def _level(self, name: str, reduce: Reduce, span: timedelta) -> Recent:
        known = [level for level in self._levels(name) if level.peak(span, self.now) is not None]
        if reduce is Reduce.MAX:
            value = max((level.peak(span, self.now) or 0.0 for level in known), default=0.0)
        else:
            value = _mean([level.area(span, self.now) for level in known]) or 0.0
        return Recent(span, value, float(len(known)))

    def _histograms(self, name: str) -> list[HistogramSeries]:
        return [memory.histogram for memory in self._all(name) if memory.histogram is not None]

    def _reading(
        self, name: str, value: float, read: Sequence[Growth[_T]], *, lower_bound: Unknown | None = None
    ) -> Reading | Unknown:
        times = _times([series.seen_at for series in read if series.seen_at is not None])
        return _finite(name, Reading(value, samples=len(read), lower_bound=lower_bound, **times))

    def _filled_at(self, name: str, known: Sequence[Growth[_T]], window: timedelta) -> Unknown | None:
        times = [at for series in known if (at := series.filled_at(window, self.now)) is not None]
        times += [at + window for at in self._forgotten(window)]
        return not_filled(name, window, max(times)) if times else None

    def _forgotten(self, window: timedelta) -> list[datetime]:
        """When somebody left who may have added within the window and is not remembered."""
        return [at for at in (self.forgotten_at,) if at is not None and at > self.now - window]

    def _unfilled_levels(self, name: str, window: timedelta) -> Unknown | None:
        known = [
            _known_since(member, level)
            for member in self.members
            if (memory := member.metrics.get(name)) is not None and (level := memory.level) is not None
        ]
        times = [at for at in known if at is not None and at > self.now - window] + self._forgotten(window)
        return not_filled(name, window, max(times) + window) if times else None

    def _growths(self, name: str, spans: Sequence[timedelta]) -> list[float] | None:
        """What all together added to a counter within each of `spans`, at most MOST; None: none of them has it."""
        known: list[CounterSeries] = [memory.counter for memory in self._all(name) if memory.counter.value is not None]
        if not known:
            return None
        together = zip(*(counter.increases(spans, self.now) for counter in known), strict=True)
        return [min(sum(grown), MOST) for grown in together]


def _known_since(member: Scraped, level: GaugeSeries) -> datetime | None:
    """From when on it is known what a gauge was. None: since its process began, or as far as the source has it."""
    if member.whole:
        return None
    if member.is_heard_from_the_start(level.since):
        return level.forgotten_at
    return max((at for at in (level.first_at, level.forgotten_at) if at is not None), default=None)


_ONE_SAMPLE = Unknown("only one sample so far", "Starting")


class _Times(TypedDict):
    at: datetime
    oldest: datetime | None


def _times(newest: Sequence[datetime]) -> _Times:
    """Of the newest samples of several processes."""
    at, oldest = max(newest), min(newest)
    return {"at": at, "oldest": None if oldest == at else oldest}


def _spans(window: timedelta) -> Iterator[timedelta]:
    span = SHORTEST_SPAN
    while span < window:
        yield span
        span *= 2
    yield window


def _mean(areas: Sequence[tuple[float, float]]) -> float | None:
    seconds = sum(part for _, part in areas)
    return sum(area for area, _ in areas) / seconds if seconds > 0 else None


def not_filled(name: str, window: timedelta, until: datetime) -> Unknown:
    """Why a reading over `window` is a lower bound, or none at all."""
    return Unknown(
        f"{name}: its window of {_seconds(window):g}s is not filled yet; it will be at {until:%H:%M:%S}",
        "WindowNotFilled",
    )


def _finite(name: str, reading: Reading) -> Reading | Unknown:
    numbers = [reading.value] + ([] if reading.previous is None else [reading.previous])
    return reading if all(map(math.isfinite, numbers)) else Unknown(f"{name} is not a finite number", "MetricInvalid")


def _seconds(time: timedelta) -> float:
    return time.total_seconds()
