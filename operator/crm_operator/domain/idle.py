"""Built-in guard: workers that are Ready and do not work. Jobs wait, and for a while none is finished.

`WorkMemory` keeps since when, per version; it is fed by the observer, like `domain/load`, and starts anew with the
process, so that a restart costs time and never a false alarm. `judge` says what it means.

What counts as finished is the workers' own counter (Dramatiq's `dramatiq_messages_total`). Where there is none the
queue must tell. It cannot tell a finished job from one that just arrived, so while jobs are held any movement is work.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from crm_operator.api.v1alpha1 import Guard, GuardMetric, GuardState, MetricOrigin, Reduce, Threshold
from crm_operator.domain.guards import candidate_of
from crm_operator.domain.verdict import Verdict
from crm_operator.domain.world import Idle, JobsDone, QueueReading, Reading, World

#: Workers that hold no job although some wait.
EMPTY_HANDED = timedelta(seconds=60)
#: Workers that hold jobs are given so many job durations, and at least EMPTY_HANDED.
LONG_JOBS = 10
#: ... or, where nobody knows how long a job takes, a minute more than Dramatiq's own limit of one (10 minutes).
LONGEST_JOB = timedelta(minutes=11)
#: A stable version that finished something so much later than the new one works.
WORKS = EMPTY_HANDED / 2

READY_BUT_IDLE = Guard(
    name="ready-but-idle",
    metric=GuardMetric(from_=MetricOrigin.QUEUE, name="waiting"),
    reduce=Reduce.LAST,
    critical=Threshold(above=EMPTY_HANDED.total_seconds()),
)


@dataclass(slots=True)
class _Side:
    """What was last seen of one version."""

    progress: tuple[int, ...]  # the counter, or the queue's counts
    idle: Idle


class WorkMemory:
    """Since when each version with Ready workers has finished nothing. Bounded by the versions that run."""

    def __init__(self) -> None:
        self._sides: dict[str, _Side] = {}

    def notice(self, world: World) -> Mapping[str, Idle]:
        """Take the world's newest readings. Empty: nothing waits, nobody is Ready, or the trouble is known."""
        reading = world.queue.latest
        if not isinstance(reading, QueueReading) or reading.waiting == 0 or world.pauses or _is_refused(world):
            self._sides.clear()
            return {}
        ready = _ready_pods(world)
        self._sides = {
            revision: self._look(world, reading, revision, names) for revision, names in sorted(ready.items())
        }
        return {revision: side.idle for revision, side in self._sides.items()}

    def _look(self, world: World, reading: QueueReading, revision: str, names: set[str]) -> _Side:
        done = world.jobs_done.get(revision)
        finished = done.count if isinstance(done, JobsDone) else None
        holds = _holds_jobs(world, reading, names)
        counts = (reading.waiting, reading.running, reading.delayed, reading.dead)
        progress = counts if finished is None else (finished,)
        was = self._sides.get(revision)
        if was is None or _moved(was.progress, progress, holds=holds):
            idle = Idle(since=world.now, empty_handed=world.now if holds is False else None, finished=finished)
        else:
            empty_since = (was.idle.empty_handed or world.now) if holds is False else None
            idle = Idle(since=was.idle.since, empty_handed=empty_since, finished=finished)
        return _Side(progress, idle)


def _moved(was: tuple[int, ...], now: tuple[int, ...], *, holds: bool | None) -> bool:
    if len(was) == 1 or len(now) == 1:
        return was != now
    # The queue alone: while nobody holds a job, what changes is what arrives, or falls due.
    return was != now if holds is not False else now[0] < was[0]


def judge(world: World) -> Verdict | None:
    """The built-in guard's verdict. None: the user has no guards, or one of this name."""
    if not _is_wanted(world):
        return None
    if world.pauses or not _ready_pods(world) or not isinstance(world.queue.latest, QueueReading):
        return _verdict(GuardState.INACTIVE, "no worker is Ready, or the queue is not read; there is nothing to judge")
    late = {revision: idle for revision, idle in world.idle.items() if _fires(world, revision, idle) <= world.now}
    candidate = candidate_of(world)
    if not late or (candidate is not None and candidate not in late):
        return _verdict(GuardState.OK, "jobs are finished, or none waits")
    revision = candidate or min(late, key=lambda side: late[side].since)
    return _critical(world, revision, late[revision])


def _is_wanted(world: World) -> bool:
    guards = world.spec.guards
    return guards is None or (bool(guards) and all(guard.name != READY_BUT_IDLE.name for guard in guards))


def look_again(world: World) -> datetime | None:
    """When time alone can turn the verdict."""
    if not _is_wanted(world):
        return None
    times = [_fires(world, revision, idle) for revision, idle in world.idle.items()]
    return min((time for time in times if time > world.now), default=None)


def _critical(world: World, revision: str, idle: Idle) -> Verdict:
    """Whom it blames: the release, when only it idles, or when it never finished a job. Else nobody."""
    reading = world.queue.latest
    assert isinstance(reading, QueueReading), "without a reading nobody is late"
    rollout = world.status.rollout
    stable = None if rollout is None or candidate_of(world) is None else rollout.stable_revision
    beside = world.idle.get(stable or "")
    count = len(_ready_pods(world)[revision])
    where = "" if stable is None else " of the new version"
    seconds = (world.now - idle.since).total_seconds()
    message = f"{reading.waiting} jobs wait and {count} Ready workers{where} finished none for {seconds:.0f} s"
    blames = False
    if beside is not None and stable is not None:
        blames = beside.since >= idle.since + WORKS
        message += "; stable's do" if blames else "; nor did stable's"
    elif candidate_of(world) is not None and idle.finished == 0:
        blames = True
        message += ", nor any since they started"
    return Verdict(
        guard=READY_BUT_IDLE,
        state=GuardState.CRITICAL,
        value=round(seconds),
        threshold=(_fires(world, revision, idle) - idle.since).total_seconds(),
        samples=count,
        blame="revision" if blames else None,
        message=message,
    )


def _verdict(state: GuardState, message: str) -> Verdict:
    return Verdict(guard=READY_BUT_IDLE, state=state, message=message)


def _fires(world: World, revision: str, idle: Idle) -> datetime:
    """When a version that goes on like this is late."""
    with_jobs = idle.since + _patience(world, revision)
    return with_jobs if idle.empty_handed is None else min(with_jobs, idle.empty_handed + EMPTY_HANDED)


def _patience(world: World, revision: str) -> timedelta:
    """How long workers that hold jobs may take for the next one."""
    job = _known_duration(world, revision)
    return LONGEST_JOB if job is None else max(EMPTY_HANDED, LONG_JOBS * job)


def _known_duration(world: World, revision: str) -> timedelta | None:
    """What the version's own jobs took, or another's, or what the user says. None: only a default is left."""
    learned = world.job_times.get(revision)
    if learned is not None:
        return learned.mean
    if world.job_times:
        return max(time.mean for time in world.job_times.values())
    recorded = world.status.scaling
    if recorded is not None and recorded.learned_revision is not None:
        return timedelta(milliseconds=recorded.job_duration_milliseconds)
    scaling = world.spec.scaling
    said: timedelta | None = scaling.job_duration if "job_duration" in scaling.model_fields_set else None
    return said


def _holds_jobs(world: World, reading: QueueReading, names: set[str]) -> bool | None:
    """Whether workers of one version work on a job. None: not known."""
    if reading.running - reading.orphaned <= 0:
        return False
    known = [world.in_progress[name] for name in names if name in world.in_progress]
    if any(known):
        return True
    return False if len(known) == len(names) else None


def _is_refused(world: World) -> bool:
    """The provider refuses requests (HTTP 429): waiting is what the workers should do."""
    return isinstance(world.rate_limit_hits, Reading) and world.rate_limit_hits.value > 0


def _ready_pods(world: World) -> dict[str, set[str]]:
    """Names of the Ready pods that stay, by revision."""
    found: dict[str, set[str]] = {}
    for workload in (world.stable, world.canary):
        for pod in workload.pods if workload is not None else ():
            if pod.ready and not pod.terminating:
                found.setdefault(pod.revision, set()).add(pod.name)
    return found
