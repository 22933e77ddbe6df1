"""How many workers should run: the drain law's need, held against the past and the bounds. See docs/scaling.md."""

import math
from collections.abc import Callable
from dataclasses import dataclass

from crm_operator.api.duration import render
from crm_operator.api.v1alpha1 import CrmIntegrationSpec
from crm_operator.domain.drain_law import busy, drain_target, needed, speed
from crm_operator.domain.job_duration import job_duration
from crm_operator.domain.rate_limit import Cap, cap, throttle
from crm_operator.domain.world import QueueReading, Unknown, World

#: A step down that saves little costs pods that start, when chance wants them back. So the need must be this many
#: workers below the lower size; and a size above 20 is not lowered for less than a twentieth of it.
SPARE, DEADBAND_ABOVE, DEADBAND = 0.15, 20, 0.05
#: Of drainTarget: from here on the oldest job's wait asks for a step more, of this share of the need.
LATE, STEP = 0.5, 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How many workers should run, canary included, before a pause is looked at."""

    replicas: int
    reason: str  # of the condition Scaled
    why: str
    #: Whether the number rests on a good reading of the queue.
    known: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """What one reading asks for, before the past and the spec's bounds."""

    need: float  # workers that the load needs, >= 0
    cap: Cap | None  # what the provider's rate limit feeds; None: no limit

    @property
    def workers(self) -> float:
        return self.need if self.cap is None else min(self.need, self.cap.workers)


def demand(world: World, reading: QueueReading) -> Callable[[float], Demand]:
    """What `reading` asks for, by the rate of arrivals (jobs/s, >= 0); all that the rate does not change is found once.

    One step more, a tenth and at least one worker, when the oldest job has waited for over half of `drainTarget`: then
    something is slower than the law believes.
    """
    spec, job = world.spec, job_duration(world).mean
    working, late = busy(world, reading), waits_longer_than(world, reading, share=LATE)
    limit = cap(world, speed=speed(spec, job), used=throttle(world))

    def at(rate: float) -> Demand:
        need = needed(spec, backlog=reading.backlog, working=working, rate=rate, job=job)
        if late:
            need += max(1.0, STEP * need)
        return Demand(need=need, cap=limit)

    return at


def waits_longer_than(world: World, reading: QueueReading, *, share: float) -> bool:
    """Whether the oldest job has waited for more than `share` of `drainTarget`, where that is the objective."""
    if world.spec.scaling.backlog_per_replica is not None or reading.oldest_age is None:
        return False
    return reading.oldest_age > share * drain_target(world.spec)


def size(world: World) -> Size:
    """The wanted number of workers: up at once, down to the largest need of `scaleDownAfter`, hold on a missing read.

    Nothing goes down before readings have been good for `scaleDownAfter` without a gap: a broker that comes back empty
    after an outage says nothing about the work to come.
    """
    spec, view = world.spec, world.queue
    held = _current(world)
    match view.latest:
        case Unknown(why):
            replicas = _bound(held, spec)
            return Size(replicas=replicas, reason="QueueUnread", why=f"holding {replicas} workers: {why}", known=False)
        case QueueReading() as reading:
            return _from_reading(world, reading, held)


def _from_reading(world: World, reading: QueueReading, held: int) -> Size:
    spec, view = world.spec, world.queue
    asked = demand(world, reading)(world.load.arrival_rate or 0.0)
    now = whole(asked.workers)
    lasting = max(asked.workers, world.load.peak or 0.0)
    need = whole(lasting)
    covered = view.good_since is not None and world.now - view.good_since >= spec.scaling.scale_down_after
    if not covered or _too_small_a_step(spec, held, lasting, asked.cap):
        need = max(need, held)
    if waits_longer_than(world, reading, share=LATE):
        # No worker goes while jobs are late, unless the provider would refuse their requests.
        need = max(need, held if asked.cap is None else min(held, asked.cap.workers))
    replicas = _bound(need, spec)
    reason, why = _told(world, reading, asked, need=need, replicas=replicas)
    if reason == "AtTarget" and now < replicas > spec.scaling.min_replicas:
        why += "; going down slowly"
    return Size(replicas=replicas, reason=reason, why=why, known=True)


def _told(world: World, reading: QueueReading, asked: Demand, *, need: int, replicas: int) -> tuple[str, str]:
    """Reason and message of the condition Scaled: the bound that bites, else a broken objective, else all is well."""
    scaling, limit = world.spec.scaling, asked.cap
    jobs, late = f"{reading.backlog} jobs to do", ""
    if waits_longer_than(world, reading, share=1.0) and reading.oldest_age is not None:
        age = int(reading.oldest_age.total_seconds())
        late = f"; the oldest waits for {age} s, longer than drainTarget ({render(drain_target(world.spec))})"
    if limit is not None and whole(asked.need) > limit.workers and limit.workers <= scaling.max_replicas:
        remedy = "; one worker alone may exceed it, lower workers.concurrency" if limit.exceeded_by_one else ""
        return "RateLimited", (
            f"{jobs} need {whole(asked.need)} workers; scaling.rateLimit ({limit.why}) feeds {limit.workers}, so more "
            f"would only be refused; raise it if the provider allows more{remedy}{late}"
        )
    if need > scaling.max_replicas:
        return "AtMaximum", f"{jobs} need {need} workers; maxReplicas is {scaling.max_replicas}{late}"
    if late:
        return "SLOBreached", f"{jobs}, {replicas} workers{late}"
    return "AtTarget", f"{jobs}, {replicas} workers"


def whole(workers: float) -> int:
    """Rounded up; what is a rounding error of floating point above a whole number is that number."""
    return math.ceil(round(workers, 6))


def _too_small_a_step(spec: CrmIntegrationSpec, held: int, need: float, limit: Cap | None) -> bool:
    if need <= 0 or whole(need) >= held or (limit is not None and held > limit.workers):
        return False
    if held > DEADBAND_ABOVE:
        return held - whole(need) < DEADBAND * held
    # backlogPerReplica is a number that somebody chose; chance is no part of it.
    spare = SPARE if spec.scaling.backlog_per_replica is None else 0.0
    return whole(need + spare) >= held


def _bound(replicas: int, spec: CrmIntegrationSpec) -> int:
    return min(max(replicas, spec.scaling.min_replicas), spec.scaling.max_replicas)


def _current(world: World) -> int:
    """What was last wanted. The record wins over the Deployments, so that a hand-made change does not become ours."""
    if world.status.workers is not None:
        return world.status.workers.desired
    return sum(workload.replicas for workload in (world.stable, world.canary) if workload is not None)
