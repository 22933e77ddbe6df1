"""Trouble that our own growth has made: connections that fail right after more workers came.

A database, a proxy or a provider that allows so many connections fails for all when there are too many. More workers
would only make it worse, and a pause is more than it needs. So the size goes back to what it was before, and stays
there for a while; when it breaks there again, for twice as long. Steady state only: in a rollout the release is judged.
Called by decide, between the guards and what answers them.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from crm_operator.api.duration import render
from crm_operator.api.v1alpha1 import CeilingStatus, Decision, GrowthStatus, GuardState, Mode
from crm_operator.domain import conflict
from crm_operator.domain.guards import candidate_of
from crm_operator.domain.scaling import Size
from crm_operator.domain.verdict import Verdict, critical_since
from crm_operator.domain.world import World

#: Metrics that count connections which could not be made.
METRICS = frozenset({"connection_failures", "connection_failures_total"})
#: Trouble that begins within this time after more workers were asked for is theirs; growths closer together are one.
RIGHT_AFTER = timedelta(minutes=2)
#: How long the size stays back, at first and at most.
FIRST, LONGEST = timedelta(minutes=10), timedelta(hours=1)
REASON = "SteppedBack"


@dataclass(frozen=True, slots=True, kw_only=True)
class StepBack:
    """The ceiling, in force or remembered, and what was decided."""

    ceiling: CeilingStatus | None
    #: No more workers than the ceiling: its time is not over, or its guard is Critical still.
    in_force: bool = False
    decisions: tuple[Decision, ...] = ()

    def answers(self, guard: str, now: datetime) -> bool:
        """Whether it is what was done about the guard, and has its time."""
        return self.ceiling is not None and self.ceiling.guard == guard and now < self.ceiling.until_time

    def until(self, now: datetime) -> datetime | None:
        """When its time is over."""
        return self.ceiling.until_time if self.ceiling is not None and self.ceiling.until_time > now else None


def step_back(world: World, verdicts: Sequence[Verdict]) -> StepBack:
    """The ceiling after this pass. One that is over is remembered, so that the next one is longer."""
    was = None if world.status.scaling is None else world.status.scaling.ceiling
    if world.spec.mode is Mode.OBSERVE:
        return StepBack(ceiling=was)  # nothing of ours has grown
    if was is not None and world.now >= was.until_time + LONGEST:
        was = None
    if was is not None and world.now < was.until_time:
        return StepBack(ceiling=was, in_force=True)
    growth = None if world.status.scaling is None else world.status.scaling.growth
    broken = None if growth is None else _broken_by(world, verdicts, growth)
    if growth is None or broken is None:
        still = was is not None and any(v.name == was.guard and v.state is GuardState.CRITICAL for v in verdicts)
        return StepBack(ceiling=was, in_force=still)
    return _stepped(world, was, growth, broken)


def _broken_by(world: World, verdicts: Sequence[Verdict], growth: GrowthStatus) -> Verdict | None:
    """The guard whose trouble began with the growth, while the grown size still stands."""
    desired = 0 if world.status.workers is None else world.status.workers.desired
    if world.pauses or candidate_of(world) is not None:
        return None
    if desired <= growth.from_ or world.now - growth.time > RIGHT_AFTER:
        return None
    for verdict in verdicts:
        if verdict.guard.metric.name in METRICS and verdict.acts:
            return verdict if _began_after(world, verdict, growth) else None
    return None


def _stepped(world: World, was: CeilingStatus | None, growth: GrowthStatus, verdict: Verdict) -> StepBack:
    assert world.status.workers is not None, "without a size nothing has grown"
    desired = world.status.workers.desired
    # What has failed stays in the guard's window; before it has left nobody can tell whether the step has helped.
    leaves = (verdict.guard.window or timedelta()) + RIGHT_AFTER
    lasts = max(leaves, FIRST if was is None else min(LONGEST, 2 * (was.until_time - was.time)))
    # From nothing there is no size that is known to work.
    size = max(1, world.spec.scaling.min_replicas, growth.from_ or math.ceil(desired / 2))
    ceiling = CeilingStatus(
        size=size, broke_at=desired, guard=verdict.name, time=world.now, until_time=world.now + lasts
    )
    after = (world.now - growth.time).total_seconds()
    why = (
        f"guard {verdict.name}: {verdict.message}, {after:.0f} s after the workers grew from {growth.from_} to "
        f"{desired}; no more than {size} for {render(lasts)}"
    )
    return StepBack(
        ceiling=ceiling,
        in_force=True,
        decisions=(Decision(time=world.now, what=REASON, why=why, from_=str(desired), to=str(size)),),
    )


def limited(world: World, size: Size, back: StepBack) -> Size:
    """`size`, no larger than the ceiling."""
    ceiling = back.ceiling
    if ceiling is None or not back.in_force or size.replicas <= ceiling.size:
        return size
    if size.reason == conflict.REASON:
        return size
    end = f"until {ceiling.until_time:%H:%M:%S}" if world.now < ceiling.until_time else "until it is OK"
    why = (
        f"{size.replicas} workers are wanted; {ceiling.broke_at} broke connections (guard {ceiling.guard}), so no more "
        f"than {ceiling.size} {end}"
    )
    return replace(size, replicas=ceiling.size, reason=REASON, why=why)


def growth(world: World, size: Size) -> GrowthStatus | None:
    """The last growth, with this pass's."""
    was = None if world.status.scaling is None else world.status.scaling.growth
    before = None if world.status.workers is None else world.status.workers.desired
    if world.spec.mode is Mode.OBSERVE or world.pauses or size.reason == conflict.REASON:
        return was
    if before is None or size.replicas <= before:
        return was
    begun = was is not None and world.now - was.time <= RIGHT_AFTER
    return GrowthStatus(from_=was.from_ if was is not None and begun else before, time=world.now)


def _began_after(world: World, verdict: Verdict, growth: GrowthStatus) -> bool:
    """It was not Critical when the workers grew."""
    return critical_since(world, verdict.name) >= growth.time
