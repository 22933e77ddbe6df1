"""How many workers should run: the drain law's need, held against the past and the bounds. See docs/scaling.md."""

import math
from dataclasses import dataclass

from crm_operator.api.v1alpha1 import CrmIntegrationSpec
from crm_operator.domain.drain_law import busy, needed
from crm_operator.domain.world import QueueReading, Unknown, World

#: A size above this one is not lowered for less than a twentieth of it: a step that saves little costs pods that start.
DEADBAND_ABOVE, DEADBAND = 20, 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How many workers should run, canary included, before a pause is looked at."""

    replicas: int
    reason: str  # of the condition Scaled
    why: str
    #: Whether the number rests on a good reading of the queue.
    known: bool


def wanted(world: World, reading: QueueReading, *, rate: float) -> float:
    """Workers that `reading` and `rate` (jobs/s that arrive, >= 0) ask for, before the past and the spec's bounds."""
    spec = world.spec
    return needed(spec, backlog=reading.backlog, working=busy(world, reading), rate=rate, job=spec.scaling.job_duration)


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
    rate = world.load.arrival_rate or 0.0
    now = _whole(wanted(world, reading, rate=rate))
    need = max(now, _whole(world.load.peak or 0.0))
    covered = view.good_since is not None and world.now - view.good_since >= spec.scaling.scale_down_after
    if not covered or _too_small_a_step(held, need):
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
    slow = "; going down slowly" if now < replicas > spec.scaling.min_replicas else ""
    return Size(replicas=replicas, reason="AtTarget", why=f"{jobs}, {replicas} workers{slow}", known=True)


def _whole(workers: float) -> int:
    """Rounded up; what is a rounding error of floating point above a whole number is that number."""
    return math.ceil(round(workers, 6))


def _too_small_a_step(held: int, need: int) -> bool:
    return held > DEADBAND_ABOVE and 0 < held - need < DEADBAND * held


def _bound(replicas: int, spec: CrmIntegrationSpec) -> int:
    return min(max(replicas, spec.scaling.min_replicas), spec.scaling.max_replicas)


def _current(world: World) -> int:
    """What was last wanted. The record wins over the Deployments, so that a hand-made change does not become ours."""
    if world.status.workers is not None:
        return world.status.workers.desired
    return sum(workload.replicas for workload in (world.stable, world.canary) if workload is not None)
