"""How the scrapes of many pods become the evidence of a guard, and the count of jobs done.

Pods come and go, their counters begin anew, scrapes fail: none of this may create an increase that did not happen,
nor hide one that did. Pure: the times are arguments, memory is bounded by `keep` and by the number of pods that were
there within it. `PodFleet` is fed by `sources/pods`; the controller reads it through there.

One pod's history of one counter, and what counts (`domain/series` has the rule):

    12:00 pod starts    12:01 first seen, 4     12:02 9     12:03 container restarts    12:04 2     12:05 pod is gone
    5m before 12:05:30: 4 (counted from zero) + 5 + 2 = 11    5m before 12:06: 7    3m before 12:06: 2    12:20: 0
"""

import math
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from crm_operator.api.v1alpha1 import Guard, Reduce
from crm_operator.domain.series import CounterSeries
from crm_operator.domain.world import Evidence, JobsDone, JobTime, Reading, Recent, Unknown

#: Jobs that a worker has processed, as Dramatiq's Prometheus middleware counts them.
JOBS_METRIC = "dramatiq_messages_total"

#: The shortest time over which versions are compared; doubled up to the guard's window.
SHORTEST_SPAN = timedelta(seconds=2)
#: How long jobs took, in milliseconds, and how many they were: Dramatiq's histogram.
JOB_TIME_METRICS = (
    "dramatiq_message_duration_milliseconds_sum",
    "dramatiq_message_duration_milliseconds_count",
)
#: Over this time, and from this many jobs on, the mean is told.
JOB_TIME_WINDOW, JOB_TIME_LEAST = timedelta(minutes=5), 20
#: No job may take longer, by Dramatiq's own time limit; beyond it a pod talks nonsense.
_LONGEST_JOB = timedelta(hours=1)

_UNREAD = Unknown("not read yet", "Starting")
#: The reason that a source gives when a pod does not have the metric at all.
METRIC_MISSING = "MetricMissing"


@dataclass(frozen=True, slots=True)
class Sample:
    """One metric in one scrape of one pod, over all its label sets."""

    total: float | Unknown  # the sum, as a counter: finite and >= 0
    worst: float | Unknown  # the largest, as a gauge: finite


#: What one scrape gave: each wanted metric, or why not; or why the pod could not be read at all.
Scrape = Mapping[str, Sample | Unknown]


@dataclass(slots=True)
class MetricMemory:
    """One metric of one pod over time."""

    counter: CounterSeries
    #: The newest two values as a gauge, newest first; None: there is no such.
    newest: tuple[float, datetime] | None = None
    before: tuple[float, datetime] | None = None
    #: Why the newest scrape gave no value, as a counter and as a gauge. None: it gave one.
    counter_fault: Unknown | None = _UNREAD
    gauge_fault: Unknown | None = _UNREAD

    def record(self, sample: Sample | Unknown, at: datetime) -> None:
        total, worst = (sample, sample) if isinstance(sample, Unknown) else (sample.total, sample.worst)
        self.counter_fault = total if isinstance(total, Unknown) else None
        self.gauge_fault = worst if isinstance(worst, Unknown) else None
        if not isinstance(total, Unknown):
            self.counter.record(total, at)
        if not isinstance(worst, Unknown):
            self.newest, self.before = (worst, at), self.newest


@dataclass(slots=True)
class PodMemory:
    """One pod, remembered until its last increase has left the window."""

    revision: str
    started_at: datetime | None
    first_at: datetime  # when it was first a target
    is_target: bool = True
    gone_at: datetime | None = None
    fault: Unknown | None = _UNREAD  # of the newest scrape; None: it was read
    read_at: datetime | None = None  # the newest good scrape
    metrics: dict[str, MetricMemory] = field(default_factory=dict)

    def metric(self, name: str) -> MetricMemory:
        if name not in self.metrics:
            self.metrics[name] = MetricMemory(CounterSeries(started_at=self.started_at))
        return self.metrics[name]


class PodFleet:
    """All pods of one integration. `stale_after`: a sample older than that is none."""

    def __init__(self, *, keep: timedelta, stale_after: timedelta) -> None:
        self.keep = keep
        self.stale_after = stale_after
        self.pods: dict[str, PodMemory] = {}  # by uid
        self._jobs_of_gone: dict[str, JobsDone] = {}  # by revision, of pods that are forgotten

    def targets(self, pods: Iterable[tuple[str, str, datetime | None]], now: datetime) -> None:
        """The pods that are there now: uid, revision, start of the process."""
        present = {uid: (revision, started_at) for uid, revision, started_at in pods}
        for uid, (revision, started_at) in present.items():
            pod = self.pods.get(uid)
            if pod is None:
                self.pods[uid] = PodMemory(revision=revision, started_at=started_at, first_at=now)
            else:
                pod.is_target, pod.gone_at = True, None
                pod.started_at = pod.started_at if pod.metrics else started_at
        for uid, pod in self.pods.items():
            if uid not in present and pod.is_target:
                pod.is_target, pod.gone_at = False, now
        self._forget(now)

    def record(self, uid: str, scrape: Scrape | Unknown, at: datetime) -> None:
        """What a pod answered at `at`; one that is unknown or gone is not written to."""
        pod = self.pods.get(uid)
        if pod is None or not pod.is_target:
            return
        if isinstance(scrape, Unknown):
            pod.fault = scrape
            return
        pod.fault, pod.read_at = None, at
        for name, sample in scrape.items():
            memory = pod.metric(name)
            memory.record(sample, at)
            memory.counter.forget_before(at - self.keep)

    def evidence(self, guard: Guard, now: datetime) -> Evidence:
        """One guard's metric by revision, for revisions that have pods, and over all."""
        live = [pod for pod in self.pods.values() if pod.is_target]
        if not live:
            return Evidence(overall=Unknown(f"{guard.metric.name}: there is no pod to read", "NoPods"))
        sides = sorted({pod.revision for pod in live})
        everyone = list(self.pods.values())
        by_revision: dict[str, Reading | Unknown] = {}
        for side in sides:
            pods = [pod for pod in everyone if pod.revision == side]
            reading = self._reduce(pods, guard, now)
            if len(sides) > 1 and isinstance(reading, Reading) and guard.window is not None:
                reading = replace(reading, recent=tuple(self._recent(pods, guard, guard.window, now)))
            by_revision[side] = reading
        return Evidence(by_revision=by_revision, overall=self._reduce(everyone, guard, now))

    def jobs_done(self, now: datetime) -> dict[str, JobsDone | Unknown]:
        """Jobs of each revision that has pods, from the start of its pods on, those included that are gone."""
        done: dict[str, JobsDone | Unknown] = {}
        for side in sorted({pod.revision for pod in self.pods.values() if pod.is_target}):
            pods = [pod for pod in self.pods.values() if pod.revision == side]
            readable = [pod for pod in pods if self._fault(pod, JOBS_METRIC, now, as_counter=True) is None]
            if not any(pod.is_target for pod in readable):
                done[side] = self._why(pods, JOBS_METRIC, now, as_counter=True)
                continue
            done[side] = _sum_jobs([*map(_jobs_of, pods), self._jobs_of_gone.get(side)])
        return done

    def job_times(self, now: datetime) -> dict[str, JobTime]:
        """The mean duration of each revision's jobs over the window, for revisions that have pods and did enough."""
        found: dict[str, JobTime] = {}
        for side in sorted({pod.revision for pod in self.pods.values() if pod.is_target}):
            millis, jobs = (
                sum(
                    memory.counter.increase(JOB_TIME_WINDOW, now)
                    for pod in self.pods.values()
                    if pod.revision == side and (memory := pod.metrics.get(name)) is not None
                )
                for name in JOB_TIME_METRICS
            )
            if jobs >= JOB_TIME_LEAST and millis > 0:
                mean = min(millis / jobs / 1000, _LONGEST_JOB.total_seconds())
                jobs = min(jobs, 2.0**53)
                found[side] = JobTime(mean=max(timedelta(seconds=mean), timedelta.resolution), jobs=int(jobs))
        return found

    def unread(self, now: datetime, *, among: Collection[str]) -> tuple[Unknown, int, int] | None:
        """The commonest reason why pods of `among` give no sample any more, how many have it, of how many pods.

        None: all do.
        """
        live = [pod for uid, pod in self.pods.items() if pod.is_target and uid in among]
        faults = [
            pod.fault
            for pod in live
            if pod.fault is not None and now - (pod.read_at or pod.first_at) > self.stale_after
        ]
        if not faults:
            return None
        [(fault, count)] = Counter(faults).most_common(1)
        return fault, count, len(live)

    def _reduce(self, pods: Sequence[PodMemory], guard: Guard, now: datetime) -> Reading | Unknown:
        match guard.reduce:
            case Reduce.LAST:
                return self._last(pods, guard.metric.name, now)
            case Reduce.INCREASE:
                return self._increase(pods, guard.metric.name, guard.window or self.keep, now)
            case Reduce.RATIO:
                return self._ratio(pods, guard.metric.name, guard.metric.per or "", guard.window or self.keep, now)

    def _last(self, pods: Sequence[PodMemory], name: str, now: datetime) -> Reading | Unknown:
        """The worst pod's newest value; before it the worst of those pods' values one scrape earlier."""
        seen = [
            (memory.newest, memory.before)
            for pod in pods
            if pod.is_target and self._fault(pod, name, now, as_counter=False) is None
            if (memory := pod.metrics[name]).newest is not None
        ]
        newest = [new for new, _ in seen if new is not None]
        if not newest:
            return self._why(pods, name, now, as_counter=False)
        before = [
            old[0] for new, old in seen if new is not None and old is not None and new[1] - old[1] <= self.stale_after
        ]
        return Reading(
            max(value for value, _ in newest),
            samples=len(newest),
            at=max(at for _, at in newest),
            previous=max(before, default=None),
        )

    def _increase(self, pods: Sequence[PodMemory], name: str, window: timedelta, now: datetime) -> Reading | Unknown:
        """Summed over the pods that are there and those that left within the window.

        If some pods cannot be read, what the others say is a lower bound, and above a limit it is real.
        """
        read = [
            pod
            for pod in pods
            if pod.is_target
            and self._fault(pod, name, now, as_counter=True) is None
            and pod.metrics[name].counter.counts_from(window)
        ]
        if not read:
            return self._why(pods, name, now, as_counter=True)
        counters = [memory.counter for pod in pods if (memory := pod.metrics.get(name)) is not None]
        return _reading(
            name,
            sum(counter.increase(window, now) for counter in counters),
            samples=len(read),
            at=max(at for pod in read if (at := pod.metrics[name].counter.seen_at) is not None),
        )

    def _ratio(
        self, pods: Sequence[PodMemory], name: str, per: str, window: timedelta, now: datetime
    ) -> Reading | Unknown:
        above, below = self._increase(pods, name, window, now), self._increase(pods, per, window, now)
        if isinstance(above, Unknown):
            return above
        if isinstance(below, Unknown):
            return below
        if below.value <= 0:
            return Unknown(f"{per} did not grow in {_seconds(window)}, so there is no ratio", "NoData")
        return _reading(
            name, above.value / below.value, samples=min(above.samples, below.samples), at=min(above.at, below.at)
        )

    def _recent(self, pods: Sequence[PodMemory], guard: Guard, window: timedelta, now: datetime) -> Iterator[Recent]:
        """Over 2 s, 4 s, 8 s, ... and the window: two versions that ran for different times, compared over one."""
        per = guard.metric.per if guard.reduce is Reduce.RATIO else JOBS_METRIC
        assert per is not None, "the API server lets no Ratio through without metric.per"
        span = SHORTEST_SPAN
        while True:
            span = min(span, window)
            value, base = (_growth(pods, name, span, now) for name in (guard.metric.name, per))
            if guard.reduce is Reduce.INCREASE and base is not None:
                base = max(base, value or 0.0)  # an error is counted before its job is done, and is one try at least
            yield Recent(span, value or 0.0, base)
            if span == window:
                return
            span *= 2

    def _fault(self, pod: PodMemory, name: str, now: datetime, *, as_counter: bool) -> Unknown | None:
        """Why this pod gives no fresh value of `name`. None: it does.

        A failed scrape does not undo the sample before while that is fresh; a scrape that gives nonsense does.
        """
        memory = pod.metrics.get(name)
        if memory is None:
            return pod.fault or _UNREAD
        nonsense = memory.counter_fault if as_counter else memory.gauge_fault
        if nonsense is not None and pod.fault is None:
            return nonsense
        at = memory.counter.seen_at if as_counter else (memory.newest[1] if memory.newest else None)
        if at is None:
            return pod.fault or nonsense or _UNREAD
        if now - at <= self.stale_after:
            return None
        cause = "" if pod.fault is None else f": {pod.fault.why}"
        return Unknown(f"no sample for over {_seconds(self.stale_after)}{cause}", "Stale")

    def _why(self, pods: Sequence[PodMemory], name: str, now: datetime, *, as_counter: bool) -> Unknown:
        """Why no pod gives `name`: the commonest reason."""
        live = [pod for pod in pods if pod.is_target]
        faults = Counter(
            self._fault(pod, name, now, as_counter=as_counter) or Unknown("only one sample so far", "Starting")
            for pod in live
        )
        if not faults:
            return Unknown(f"{name}: there is no pod to read", "NoPods")
        [(fault, count)] = faults.most_common(1)
        return Unknown(f"{name}: {fault.why} ({count} of {len(live)} pods)", fault.reason)

    def _forget(self, now: datetime) -> None:
        """Drop pods that left longer ago than any window reaches; their jobs stay counted with their revision."""
        for uid, pod in list(self.pods.items()):
            if pod.gone_at is None or now - pod.gone_at <= self.keep:
                continue
            del self.pods[uid]
            total = _sum_jobs([_jobs_of(pod), self._jobs_of_gone.get(pod.revision)])
            if total.count:
                self._jobs_of_gone[pod.revision] = total
        living = {pod.revision for pod in self.pods.values()}
        for revision in [revision for revision in self._jobs_of_gone if revision not in living]:
            del self._jobs_of_gone[revision]


def _growth(pods: Sequence[PodMemory], name: str, span: timedelta, now: datetime) -> float | None:
    """What all pods together added to a counter within `span`; None: none of them has it."""
    counters = [memory.counter for pod in pods if (memory := pod.metrics.get(name)) is not None]
    known = [counter for counter in counters if counter.value is not None]
    return sum(counter.increase(span, now) for counter in known) if known else None


def _reading(name: str, value: float, *, samples: int, at: datetime) -> Reading | Unknown:
    if not math.isfinite(value):
        return Unknown(f"{name} is not a finite number", "MetricInvalid")
    return Reading(value, samples=samples, at=at)


def _jobs_of(pod: PodMemory) -> JobsDone:
    memory = pod.metrics.get(JOBS_METRIC)
    # A pod may claim any number; beyond this one a counter cannot count, and infinity has no int.
    count = int(min(memory.counter.lifetime, 2.0**53)) if memory else 0
    return JobsDone(count=count, since=pod.started_at or pod.first_at)


def _sum_jobs(parts: Iterable[JobsDone | None]) -> JobsDone:
    known = [part for part in parts if part is not None]
    return JobsDone(count=sum(part.count for part in known), since=min(part.since for part in known))


def _seconds(time: timedelta) -> str:
    return f"{time.total_seconds():g}s"
