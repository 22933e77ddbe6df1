"""The drain law: how many workers a load needs, as a fraction, before any bound. Explained in docs/scaling.md.

    need = (rate / 0.85 + queued / drainTarget) / speed        speed  = concurrency / job duration, jobs/s of one worker
    need = backlog / backlogPerReplica                         queued = backlog without the jobs that are worked on

The first term keeps up with what arrives, the second clears what is there. By Little's law a job that is worked on is
in the first term already; counting it twice would cost half of the workers when jobs are long.
"""

from datetime import timedelta

from crm_operator.api.v1alpha1 import CrmIntegrationSpec
from crm_operator.domain.world import QueueReading, World

#: Used when neither drainTarget nor backlogPerReplica is given.
DEFAULT_DRAIN_TARGET = timedelta(seconds=60)
#: The share of their time that workers are meant to be busy under a steady load; the rest absorbs its scatter.
UTILIZATION = 0.85

#: What the smallest work needs, of a worker: rounded up, one.
SOME = 0.01


def drain_target(spec: CrmIntegrationSpec) -> timedelta:
    """The time in which a backlog should be gone."""
    target: timedelta | None = spec.scaling.drain_target
    return DEFAULT_DRAIN_TARGET if target is None else target


def speed(spec: CrmIntegrationSpec, job: timedelta) -> float:
    """Jobs per second that one worker does when each takes `job` (> 0)."""
    return float(spec.workers.concurrency / job.total_seconds())


def busy(world: World, reading: QueueReading) -> int:
    """Jobs that are worked on now: workers fetch ahead, so never more than the Ready ones can run at once.

    While jobs wait in the queue every thread has one. When none does, workers still hold what they fetched ahead, one
    more than it can run while another is idle; so where workers are scraped, they say themselves what they work on. One
    that was not read is taken to be as busy as the others. What a dead worker still holds is worked on by nobody.
    """
    workloads = [workload for workload in (world.stable, world.canary) if workload is not None]
    ready = sum(workload.ready for workload in workloads)
    held = min(reading.running - reading.orphaned, ready * world.spec.workers.concurrency)
    read = len(world.in_progress)
    if reading.waiting or not read:
        return held
    return min(held, round(sum(world.in_progress.values()) * max(1.0, ready / read)))


def needed(spec: CrmIntegrationSpec, *, backlog: int, working: int, rate: float, job: timedelta) -> float:
    """Workers for `backlog` jobs (>= 0), `working` of them (`busy`) worked on, with `rate` more (>= 0) every second.

    At least `SOME` for one job. With backlogPerReplica neither the rate nor the time of a job counts.
    """
    if spec.scaling.backlog_per_replica is not None:
        need = backlog / spec.scaling.backlog_per_replica
    else:
        queued = max(0, backlog - working)
        need = (rate / UTILIZATION + queued / drain_target(spec).total_seconds()) / speed(spec, job)
    return max(need, SOME) if backlog > 0 else need
