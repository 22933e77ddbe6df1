"""The pods of one integration: how their scrapes become evidence by revision, and the count of jobs done.

Pods come and go; what they added stays in the windows. Pure: the times are arguments, memory is bounded by `keep` and
by the number of pods that were there within it. Fed by `sources/pods`; the controller reads it through there.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from crm_operator.api.v1alpha1 import Guard
from crm_operator.domain.min_jobs import JobsWithin
from crm_operator.domain.reductions import Group
from crm_operator.domain.scraped import GAP, Kind, Scrape, Scraped
from crm_operator.domain.world import Evidence, JobsDone, JobTime, Reading, Unknown

#: Jobs that a worker has processed, as Dramatiq's Prometheus middleware counts them.
JOBS_METRIC = "dramatiq_messages_total"
#: How long jobs took, in milliseconds, and how many they were: Dramatiq's histogram.
JOB_TIME_METRICS = (
    "dramatiq_message_duration_milliseconds_sum",
    "dramatiq_message_duration_milliseconds_count",
)
#: Over this time, and from this many jobs on, the mean is told.
JOB_TIME_WINDOW, JOB_TIME_LEAST = timedelta(minutes=5), 20
#: The reason that a pod gives where nobody listens.
REFUSED = "ConnectionRefused"
#: No job may take longer, by Dramatiq's own time limit; beyond it a pod talks nonsense.
_LONGEST_JOB = timedelta(hours=1)


@dataclass(slots=True, kw_only=True)
class PodMemory(Scraped):
    """One pod, remembered until its last increase has left the window."""

    revision: str
    gone_at: datetime | None = None
    newest_start: datetime | None = None  # of its process; None: not known

    def begins(self, started_at: datetime | None) -> None:
        """What is known now of the start of its process. A later one than before is a restart."""
        if not self.metrics:
            self.started_at, self.told_of_restarts = started_at, started_at is not None
        elif started_at is not None and self.newest_start is not None and started_at > self.newest_start:
            self.restarted()
        self.newest_start = max(filter(None, (started_at, self.newest_start)), default=None)


class PodFleet:
    """All pods of one integration. `stale_after`: a sample older than that is none."""

    def __init__(self, *, keep: timedelta, stale_after: timedelta, levels: frozenset[str] = frozenset()) -> None:
        self.keep = keep
        self.stale_after = stale_after
        self.levels = levels  # metrics that are remembered as gauges over the window
        self.pods: dict[str, PodMemory] = {}  # by uid
        self._jobs_of_gone: dict[str, JobsDone] = {}  # by revision, of pods that are forgotten
        self._forgotten_at: datetime | None = None  # when the last of those left

    def targets(self, pods: Iterable[tuple[str, str, datetime | None]], now: datetime) -> None:
        """The pods that are there now: uid, revision, start of the process."""
        present = {uid: (revision, started_at) for uid, revision, started_at in pods}
        for uid, (revision, started_at) in present.items():
            pod = self.pods.get(uid)
            if pod is None:
                self.pods[uid] = PodMemory(
                    revision=revision,
                    started_at=started_at,
                    first_at=now,
                    newest_start=started_at,
                    told_of_restarts=started_at is not None,
                )
            else:
                pod.is_there, pod.gone_at = True, None
                pod.begins(started_at)
        for uid, pod in self.pods.items():
            if uid not in present and pod.is_there:
                pod.is_there, pod.gone_at = False, now
        self._forget(now)

    def record(self, uid: str, scrape: Scrape | Unknown, at: datetime) -> None:
        """What a pod answered at `at`; one that is unknown or gone is not written to."""
        pod = self.pods.get(uid)
        if pod is None or not pod.is_there:
            return
        pod.record(scrape, at, keep=self.keep, apart=self.stale_after, levels=self.levels)

    def evidence(self, guard: Guard, now: datetime) -> Evidence:
        """One guard's metric by revision, for revisions that have pods, and over all."""
        sides = self._sides()
        if not sides:
            return Evidence(overall=Unknown(f"{guard.metric.shown}: there is no pod to read", "NoPods"))
        by_revision: dict[str, Reading | Unknown] = {}
        for side, pods in sides.items():
            group = self._group(pods, now)
            reading = group.reduce(guard)
            if isinstance(reading, Reading):
                compared = len(sides) > 1
                recent = group.recent(guard, jobs=JOBS_METRIC, window_only=not compared)
                reading = replace(
                    reading,
                    recent=recent,
                    is_last=_have_ended(pods),
                    read_since=_read_since(pods, now),
                    worked_since=_worked_since(pods),
                )
            by_revision[side] = reading
        return Evidence(by_revision=by_revision, overall=self._group(list(self.pods.values()), now).reduce(guard))

    def jobs_done(self, now: datetime) -> dict[str, JobsDone | Unknown]:
        """Jobs of each revision that has pods, from the start of its pods on, those included that are gone."""
        done: dict[str, JobsDone | Unknown] = {}
        for side, pods in self._sides().items():
            if self._count_no_jobs(pods, now):
                done[side] = self._group(pods, now).why(JOBS_METRIC, Kind.COUNTER)
            else:
                done[side] = _sum_jobs([*map(_jobs_of, pods), self._jobs_of_gone.get(side)])
        return done

    def jobs_within(self, window: timedelta, now: datetime) -> JobsWithin:
        """Jobs finished within `window`, which must not reach back further than `keep`, as far as they were seen."""
        if not (sides := self._sides()):
            return JobsWithin(by_revision={}, overall=Unknown("there is no pod to read", "NoPods"))
        return JobsWithin(
            by_revision={side: self._jobs_within(pods, window, now) for side, pods in sides.items()},
            overall=self._jobs_within(list(self.pods.values()), window, now),
        )

    def job_times(self, now: datetime) -> dict[str, JobTime]:
        """The mean duration of each revision's jobs over the window, for revisions that have pods and did enough."""
        found: dict[str, JobTime] = {}
        for side, pods in self._sides().items():
            millis, jobs = (
                sum(
                    memory.counter.increase(JOB_TIME_WINDOW, now)
                    for pod in pods
                    if (memory := pod.metrics.get(name)) is not None
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
        live = [pod for uid, pod in self.pods.items() if pod.is_there and uid in among]
        faults = [
            pod.fault
            for pod in live
            if pod.fault is not None and now - (pod.read_at or pod.first_at) > self.stale_after
        ]
        if not faults:
            return None
        [(fault, count)] = Counter(faults).most_common(1)
        return fault, count, len(live)

    def moves(self, now: datetime) -> bool:
        """Whether an average may cross a limit although no pod says anything new."""
        return any(pod.moves(self.keep, now) for pod in self.pods.values())

    def _jobs_within(self, pods: Sequence[PodMemory], window: timedelta, now: datetime) -> float | Unknown:
        if self._count_no_jobs(pods, now):
            return self._group(pods, now).why(JOBS_METRIC, Kind.COUNTER)
        memories = [pod.metrics.get(JOBS_METRIC) for pod in pods]
        return sum(memory.counter.increase(window, now) for memory in memories if memory is not None)

    def _sides(self) -> dict[str, list[PodMemory]]:
        """By revision, of those that have a pod now, all its pods."""
        sides = sorted({pod.revision for pod in self.pods.values() if pod.is_there})
        return {side: [pod for pod in self.pods.values() if pod.revision == side] for side in sides}

    def _count_no_jobs(self, pods: Sequence[PodMemory], now: datetime) -> bool:
        """No pod of these that is there gives a count."""
        return all(pod.fault_of(JOBS_METRIC, Kind.COUNTER, now, self.stale_after) for pod in pods if pod.is_there)

    def _group(self, pods: Sequence[PodMemory], now: datetime) -> Group:
        left = self._forgotten_at
        return Group(pods, now=now, stale_after=self.stale_after, called="pods", forgotten_at=left)

    def _forget(self, now: datetime) -> None:
        """Drop pods that left longer ago than any window reaches; their jobs stay counted with their revision."""
        for uid, pod in list(self.pods.items()):
            if pod.gone_at is None or now - pod.gone_at <= self.keep:
                continue
            del self.pods[uid]
            self._forgotten_at = max(pod.gone_at, self._forgotten_at or pod.gone_at)
            total = _sum_jobs([_jobs_of(pod), self._jobs_of_gone.get(pod.revision)])
            if total.count:
                self._jobs_of_gone[pod.revision] = total
        living = {pod.revision for pod in self.pods.values()}
        for revision in [revision for revision in self._jobs_of_gone if revision not in living]:
            del self._jobs_of_gone[revision]


def _have_ended(pods: Iterable[PodMemory]) -> bool:
    """A worker stops serving its metrics when it is told to stop, before its pod is gone."""
    return all(pod.fault is not None and pod.fault.reason == REFUSED for pod in pods if pod.is_there)


def _read_since(pods: Iterable[PodMemory], now: datetime) -> datetime | None:
    read = (pod for pod in pods if pod.is_there and pod.read_at is not None and now - pod.read_at <= GAP)
    return min((pod.read_since for pod in read if pod.read_since is not None), default=None)


def _worked_since(pods: Iterable[PodMemory]) -> datetime | None:
    counted = (memory for pod in pods if (memory := pod.metrics.get(JOBS_METRIC)) is not None)
    return max((since for memory in counted if (since := memory.counter.grown_since) is not None), default=None)


def _jobs_of(pod: PodMemory) -> JobsDone:
    memory = pod.metrics.get(JOBS_METRIC)
    # A pod may claim any number; beyond this one a counter cannot count, and infinity has no int.
    count = int(min(memory.counter.lifetime, 2.0**53)) if memory else 0
    return JobsDone(count=count, since=pod.started_at or pod.first_at)


def _sum_jobs(parts: Iterable[JobsDone | None]) -> JobsDone:
    known = [part for part in parts if part is not None]
    return JobsDone(count=sum(part.count for part in known), since=min(part.since for part in known))
