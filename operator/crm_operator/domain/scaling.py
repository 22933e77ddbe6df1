"""How many workers the backlog needs. The law and its reasons: docs/scaling.md."""

import math
from dataclasses import dataclass
from datetime import timedelta

from crm_operator.api.v1alpha1 import CrmIntegrationSpec
from crm_operator.domain.world import QueueReading, Unknown, World

#: Used when neither drainTarget nor backlogPerReplica is given.
DEFAULT_DRAIN_TARGET = timedelta(seconds=60)


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How many workers should run, canary included, before a pause is looked at."""

    replicas: int
    reason: str  # of the condition Scaled
    why: str
    #: Whether the number rests on a good reading of the queue.
    known: bool


def needed(backlog: int, spec: CrmIntegrationSpec) -> int:
    """Workers that clear `backlog` jobs (>= 0) as the spec asks, before any bound.

    drainTarget: ceil(backlog x jobDuration / (concurrency x drainTarget)); by Little's law a steady stream of jobs then
    waits about drainTarget. backlogPerReplica: ceil(backlog / backlogPerReplica). At least 1 for one job.
    """
    scaling = spec.scaling
    if scaling.backlog_per_replica is not None:
        return math.ceil(backlog / scaling.backlog_per_replica)
    target: timedelta = scaling.drain_target or DEFAULT_DRAIN_TARGET
    job: timedelta = scaling.job_duration
    return math.ceil(backlog * (job / (spec.workers.concurrency * target)))


def size(world: World) -> Size:
    """The wanted number of workers: up at once, down to the largest need of `scaleDownAfter`, hold on a missing read.

    Nothing goes down before readings have been good for `scaleDownAfter` without a gap: a broker that comes back empty
    after an outage says nothing about the work to come.
    """
    spec, view = world.spec, world.queue
    held = _current(world)
    match view.latest:
        case Unknown(why):
            return Size(
                replicas=_bound(held, spec), reason="QueueUnread", why=f"holding {held} workers: {why}", known=False
            )
        case QueueReading() as reading:
            return _from_reading(world, reading, held)


def _from_reading(world: World, reading: QueueReading, held: int) -> Size:
    spec, view = world.spec, world.queue
    peak = max(reading.backlog, view.peak_backlog or 0)
    need = needed(peak, spec)
    covered = view.good_since is not None and world.now - view.good_since >= spec.scaling.scale_down_after
    if not covered:
        need = max(need, held)
    replicas = _bound(need, spec)
    jobs = f"{reading.backlog} jobs to do"
    if need > spec.scaling.max_replicas:
        return Size(
            replicas=replicas,
            reason="AtMaximum",
            why=f"{jobs} need {need} workers; maxReplicas is {replicas}",
            known=True,
        )
    slow = "; going down slowly" if needed(reading.backlog, spec) < replicas > spec.scaling.min_replicas else ""
    return Size(replicas=replicas, reason="AtTarget", why=f"{jobs}, {replicas} workers{slow}", known=True)


def _bound(replicas: int, spec: CrmIntegrationSpec) -> int:
    return min(max(replicas, spec.scaling.min_replicas), spec.scaling.max_replicas)


def _current(world: World) -> int:
    """What was last wanted. The record wins over the Deployments, so that a hand-made change does not become ours."""
    if world.status.workers is not None:
        return world.status.workers.desired
    return sum(workload.replicas for workload in (world.stable, world.canary) if workload is not None)
