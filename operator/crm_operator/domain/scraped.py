"""What one process said of its metrics over time: a worker pod, the application's backend, a series of Prometheus.

Scrapes fail, and counters begin anew: none of this may create an increase that did not happen, nor hide one that did.
Pure: the times are arguments. `reductions` turns several of these into one value; `fleet` keeps those of pods.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum

from crm_operator.domain.breadth import Workspaces, WorkspaceSeries
from crm_operator.domain.gauge import GaugeSeries
from crm_operator.domain.histogram import Buckets, HistogramSeries
from crm_operator.domain.series import CounterSeries
from crm_operator.domain.world import Unknown

UNREAD = Unknown("not read yet", "Starting")
#: A process that is to be read within this time after it began has said nothing before: workers need as long to answer.
COMES_UP = timedelta(seconds=30)
#: While a version is tried each process is read every second; one that was not for so long could not be.
GAP = timedelta(seconds=3)
#: The reason that a source gives when what it reads does not have the metric at all.
METRIC_MISSING = "MetricMissing"


class Kind(Enum):
    """As what a metric is looked at."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True)
class Sample:
    """One metric in one scrape of one process, over all its label sets.

    What is wrong with it does not name the metric: `Group.why` does, for all that processes say.
    """

    total: float | Unknown  # the sum, as a counter: finite and >= 0
    worst: float | Unknown  # the largest, as a gauge: finite
    buckets: Buckets | Unknown | None = None  # the sums, as a histogram; None: it is none
    workspaces: Workspaces | Unknown | None = None  # the sums, as counters by workspace; None: nobody asks


#: What one scrape gave: each wanted metric, or why not; that does not name the metric either.
Scrape = Mapping[str, Sample | Unknown]


@dataclass(slots=True)
class MetricMemory:
    """One metric of one process over time."""

    counter: CounterSeries
    histogram: HistogramSeries | None = None  # None: it has shown no buckets
    level: GaugeSeries | None = None  # None: nobody asks what it was over a window
    workspaces: WorkspaceSeries | None = None  # None: nobody asks in how many it grew
    workspaces_fault: Unknown | None = None  # why the newest scrape does not tell
    #: The newest two values as a gauge, newest first; None: there is no such.
    newest: tuple[float, datetime] | None = None
    before: tuple[float, datetime] | None = None
    #: Why the newest scrape gave no value. None: it gave one.
    faults: dict[Kind, Unknown | None] = field(default_factory=lambda: dict.fromkeys(Kind, UNREAD))

    def seen_at(self, kind: Kind) -> datetime | None:
        """When it last had a value."""
        match kind:
            case Kind.COUNTER:
                return self.counter.seen_at
            case Kind.GAUGE:
                return None if self.newest is None else self.newest[1]
            case Kind.HISTOGRAM:
                return None if self.histogram is None else self.histogram.seen_at

    def _record_gauge(self, value: float, at: datetime, apart: timedelta) -> None:
        self.newest, self.before = (value, at), self.newest
        if self.level is not None:
            self.level.record(value, at, apart=apart)


@dataclass(slots=True, kw_only=True)
class Scraped:
    """One process."""

    started_at: datetime | None  # None: not known
    first_at: datetime  # when it was first to be read
    #: The source has the past itself, so a window is whole from the first reading on.
    whole: bool = False
    one_process: bool = True  # False: who answers is not known
    told_of_restarts: bool = False  # `restarted` is called
    is_there: bool = True  # False: it is gone, and remembered until its last increase has left the window
    fault: Unknown | None = UNREAD  # of the newest scrape; None: it was read
    heard_at: datetime | None = None  # the first good scrape
    read_at: datetime | None = None  # the newest one
    read_since: datetime | None = None  # the first one after the last `GAP`
    metrics: dict[str, MetricMemory] = field(default_factory=dict)

    def record(
        self, scrape: Scrape | Unknown, at: datetime, *, keep: timedelta, apart: timedelta, levels: frozenset[str]
    ) -> None:
        """What it answered at `at`.

        Windows reach back for `keep`; samples further `apart` have a gap between them; of `levels` it is remembered
        what they were over the window.
        """
        if isinstance(scrape, Unknown):
            self.fault = scrape
            return
        if self.read_since is None or self.read_at is None or at - self.read_at > GAP:
            self.read_since = at
        self.fault, self.read_at, self.heard_at = None, at, self.heard_at or at
        for name, sample in scrape.items():
            memory = self._metric(name)
            if name in levels and memory.level is None:
                memory.level = GaugeSeries(since=at)
            self._take(memory, sample, at, apart)
            for series in (memory.counter, memory.histogram, memory.level, memory.workspaces):
                if series is not None:
                    series.forget_before(at - keep)

    def restarted(self) -> None:
        """The process began anew, and its counters with it."""
        for memory in self.metrics.values():
            memory.counter.restarted()

    def is_heard_from_the_start(self, since: datetime) -> bool:
        """What it has said since its process began is known to whoever listens from `since` on."""
        watched = self.started_at is not None and self.first_at - self.started_at <= COMES_UP
        return watched and self.heard_at is not None and since <= self.heard_at

    def moves(self, window: timedelta, now: datetime) -> bool:
        """Whether an average over `window` still changes although no new value comes."""
        levels = [memory.level for memory in self.metrics.values() if memory.level is not None]
        return any(level.same_since is not None and now - level.same_since <= window for level in levels)

    def fault_of(self, name: str, kind: Kind, now: datetime, stale_after: timedelta) -> Unknown | None:
        """Why this process gives no fresh value of `name`. None: it does.

        A failed scrape does not undo the sample before while that is fresh; a scrape that gives nonsense does.
        """
        memory = self.metrics.get(name)
        if memory is None:
            return self.fault or UNREAD
        nonsense = memory.faults[kind]
        if nonsense is not None and self.fault is None:
            return nonsense
        at = memory.seen_at(kind)
        if at is None:
            return self.fault or nonsense or UNREAD
        if now - at <= stale_after:
            return None
        cause = "" if self.fault is None else f": {self.fault.why}"
        return Unknown(f"no sample for over {stale_after.total_seconds():g}s{cause}", "Stale")

    def _metric(self, name: str) -> MetricMemory:
        if name not in self.metrics:
            counter = CounterSeries(
                started_at=self.started_at,
                whole=self.whole,
                one_process=self.one_process,
                told_of_restarts=self.told_of_restarts,
            )
            self.metrics[name] = MetricMemory(counter)
        return self.metrics[name]

    def _take(self, memory: MetricMemory, sample: Sample | Unknown, at: datetime, apart: timedelta) -> None:
        total, worst, buckets = (
            (sample,) * 3 if isinstance(sample, Unknown) else (sample.total, sample.worst, sample.buckets)
        )
        faults = memory.faults
        faults[Kind.COUNTER] = total if isinstance(total, Unknown) else None
        if not isinstance(total, Unknown):
            memory.counter.record(total, at)
            self._take_workspaces(memory, sample, at)
        faults[Kind.GAUGE] = worst if isinstance(worst, Unknown) else None
        if not isinstance(worst, Unknown):
            memory._record_gauge(worst, at, apart)
        faults[Kind.HISTOGRAM] = buckets if isinstance(buckets, Unknown) else None if buckets else NO_HISTOGRAM
        if buckets and not isinstance(buckets, Unknown):
            if memory.histogram is None:
                memory.histogram = HistogramSeries(started_at=self.started_at, whole=self.whole)
            memory.histogram.record(buckets, at)

    def _take_workspaces(self, memory: MetricMemory, sample: Sample | Unknown, at: datetime) -> None:
        found = None if isinstance(sample, Unknown) else sample.workspaces
        if found is None:
            return
        memory.workspaces_fault = found if isinstance(found, Unknown) else None
        if not isinstance(found, Unknown):
            if memory.workspaces is None:
                memory.workspaces = WorkspaceSeries(started_at=self.started_at)
            memory.workspaces.record(found, at)


NO_HISTOGRAM = Unknown("it has no buckets, so it is no histogram; check metric.name", "MetricInvalid")
