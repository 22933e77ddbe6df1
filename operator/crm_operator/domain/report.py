"""Puts the new status together, and says whether it is worth a write.

A decision is written at once. Live numbers (jobs, Ready workers, guards' values, the sentences that quote them) are
written at most every 15 s, and only when they changed enough to matter: the operator's metrics have them to the second.
"""

import re
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

from crm_operator.api.v1alpha1 import CrmIntegrationStatus, Decision, QueueStatus, ScalingStatus, WorkersStatus
from crm_operator.domain import health, next_step, observing, rate_limit, step_back, verdict
from crm_operator.domain.health import Findings
from crm_operator.domain.job_duration import job_duration
from crm_operator.domain.rollout import verbs
from crm_operator.domain.world import QueueReading

#: Why a status is written that holds no decision.
LIVE_NUMBERS = "live numbers"
LIVE_INTERVAL = timedelta(seconds=15)
#: A number matters when it moved by this share of the larger one; from and to zero always.
ENOUGH = 0.1
#: Two statuses tell of the same oldest job when their times for it differ by no more: ages are whole seconds, and of
#: the reading before the status.
AGE_SLACK = timedelta(seconds=3)
MAX_DECISIONS = 10
#: Of them in a row about what happens every few minutes.
MAX_CHATTER, CHATTER = 3, ("Scaled", observing.WOULD["Scaled"], "GuardWarning")

#: Numbers, and durations as `api.duration` writes them: 59s and 1m1s are one text.
_DIGITS = re.compile(r"(?:[0-9][0-9.:]*(?:(?:ms|[hms])\b|(?:ms|[hms])(?=[0-9]))?)+")


def status_of(found: Findings) -> CrmIntegrationStatus:
    """The status as of now, with the decisions of before."""
    world = found.world
    ready = sum(workload.ready for workload in (world.stable, world.canary) if workload is not None)
    allocation = found.allocation
    then = next_step.next_step(found)
    observed = observing.is_on(world)
    return CrmIntegrationStatus(
        observed_generation=world.generation,
        phase=observing.phase(found) if observed else health.phase(found),
        message=observing.message(found) if observed else next_step.message(found, then),
        next=then,
        workers=WorkersStatus(
            desired=0 if found.sync.paused else found.size.replicas,
            ready=ready,
            stable=allocation.stable.replicas if allocation.stable is not None else 0,
            canary=allocation.canary.replicas if allocation.canary is not None else 0,
        ),
        queue=_queue(found),
        scaling=_scaling(found),
        rollout=found.rollout,
        guards=verdict.recorded(found.verdicts, world, found.response.answers),
        verbs=verbs.merged(world.status.verbs, found.move.verbs),
        sync=found.sync.status,
        automatic_pause=found.response.pause,
        decisions=world.status.decisions,
        conditions=observing.conditions(found) if observed else health.conditions(found),
    )


def _queue(found: Findings) -> QueueStatus | None:
    reading = found.world.queue.latest
    if not isinstance(reading, QueueReading):
        return found.world.status.queue
    return QueueStatus(
        waiting=reading.waiting,
        running=reading.running,
        delayed=reading.delayed,
        dead=reading.dead,
        oldest_age_seconds=None if reading.oldest_age is None else int(reading.oldest_age.total_seconds()),
        observed_time=found.world.now,
    )


def _scaling(found: Findings) -> ScalingStatus:
    world = found.world
    job, used, rate = job_duration(world), rate_limit.throttle(world), world.load.arrival_rate
    return ScalingStatus(
        job_duration_milliseconds=max(1, round(job.mean.total_seconds() * 1000)),
        learned_revision=job.learned_from,
        arrival_rate=None if rate is None else float(f"{rate:.3g}"),
        rate_limit_percent=None if used is None else used.percent,
        rate_limit_time=None if used is None else used.since,
        growth=step_back.growth(world, found.size),
        ceiling=found.step_back.ceiling,
    )


def with_decisions(status: CrmIntegrationStatus, new: Sequence[Decision]) -> CrmIntegrationStatus:
    """`status` with what has just been decided."""
    return status.model_copy(update={"decisions": _append(status.decisions, new)}) if new else status


def _append(before: list[Decision], new: Iterable[Decision]) -> list[Decision]:
    """The last decisions. Chatter in a row is kept short, so that it does not push a rollback out of sight."""
    result = list(before)
    for decision in new:
        tail = result[-MAX_CHATTER:]
        if decision.what in CHATTER and len(tail) == MAX_CHATTER and all(d.what in CHATTER for d in tail):
            del result[-MAX_CHATTER]
        result.append(decision)
    return result[-MAX_DECISIONS:]


def worth_writing(old: CrmIntegrationStatus, new: CrmIntegrationStatus, now: datetime) -> str | None:
    """Why `new` should be stored now, or None."""
    if _skeleton(old) != _skeleton(new):
        return "decision"
    if live_due(old, now) <= now and _numbers_matter(old, new):
        return LIVE_NUMBERS
    return None


def live_due(old: CrmIntegrationStatus, now: datetime) -> datetime:
    """When live numbers may be written again."""
    return now if old.queue is None else old.queue.observed_time + LIVE_INTERVAL


def live_pending(old: CrmIntegrationStatus, new: CrmIntegrationStatus) -> bool:
    """Whether live numbers are waiting for their turn."""
    return _numbers_matter(old, new)


def _skeleton(status: CrmIntegrationStatus) -> Any:
    """All that is a decision or a verdict: no live numbers, no sentences; of what a rollout waits for, the topic."""
    rollout = status.rollout
    if rollout is not None and rollout.reason is not None:
        rollout = rollout.model_copy(update={"reason": _topic(rollout.reason)})
    workers = status.workers
    return (
        status.observed_generation,
        status.phase,
        rollout,
        status.sync,
        status.automatic_pause,
        [(v.name, v.value, v.result) for v in status.verbs],
        [(d.time.replace(microsecond=0), d.what, d.from_, d.to) for d in status.decisions],
        [(c.type, c.status, c.reason, c.observed_generation) for c in status.conditions],
        [(g.name, g.state, g.blame, g.revision, g.clear_time, g.stable_clear_time, g.answer) for g in status.guards],
        None
        if workers is None
        else (workers.desired, workers.stable, workers.canary, workers.ready == workers.desired),
        status.queue is None,
        None
        if status.scaling is None
        else (status.scaling.learned_revision, status.scaling.rate_limit_percent, status.scaling.ceiling),
    )


def _topic(reason: str) -> str:
    """`holding at 20 % until 03:00:10` -> `holding at`; when that is over, what objects is news."""
    return re.split(r"[\d:]", reason, maxsplit=1)[0]


def _numbers_matter(old: CrmIntegrationStatus, new: CrmIntegrationStatus) -> bool:
    if not _same_sentences(_sentences(old), _sentences(new)):
        return True
    mine, theirs = _numbers(old), _numbers(new)
    return _grew_older(old.queue, new.queue) or any(_moved(mine.get(name), value) for name, value in theirs.items())


def _grew_older(old: QueueStatus | None, new: QueueStatus | None) -> bool:
    """The oldest job's wait moved, and not only by the time that passed: the old status tells that as well."""
    if old is None or new is None:
        return new is not None
    if not _moved(old.oldest_age_seconds or 0, new.oldest_age_seconds or 0):
        return False
    before, now = _oldest_since(old), _oldest_since(new)
    return before is None or now is None or abs(now - before) > AGE_SLACK


def _oldest_since(queue: QueueStatus) -> datetime | None:
    age = queue.oldest_age_seconds
    return None if age is None else queue.observed_time - timedelta(seconds=age)


def _numbers(status: CrmIntegrationStatus) -> dict[str, float]:
    numbers: dict[str, float] = {}
    if status.queue is not None:
        for name in ("waiting", "running", "delayed", "dead"):
            numbers[name] = getattr(status.queue, name)
    if status.workers is not None:
        numbers["ready"] = status.workers.ready
    if status.scaling is not None:
        # Not the rate of arrivals: it scatters, and is written with the rest.
        numbers["job"] = status.scaling.job_duration_milliseconds
    for guard in status.guards:
        if guard.value is not None:
            numbers[f"guard {guard.name}"] = float(guard.value)
    return numbers


def _moved(old: float | None, new: float) -> bool:
    if old is None:
        return True
    return old != new and (old == 0 or new == 0 or abs(old - new) >= ENOUGH * max(abs(old), abs(new)))


def _same_sentences(old: Sequence[str], new: Sequence[str]) -> bool:
    """Whether they say the same but for numbers and durations."""
    return len(old) == len(new) and all(
        mine == theirs or _DIGITS.sub("#", mine) == _DIGITS.sub("#", theirs)
        for mine, theirs in zip(old, new, strict=True)
    )


def _sentences(status: CrmIntegrationStatus) -> list[str]:
    """All texts, in an order of their own; one that is not there is empty."""
    texts = [status.message, None if status.next is None else status.next.what]
    texts += [None if status.rollout is None else status.rollout.reason]
    texts += [condition.message for condition in status.conditions] + [guard.message for guard in status.guards]
    return [text or "" for text in texts]
