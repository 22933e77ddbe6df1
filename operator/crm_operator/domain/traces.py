"""Traces of what is over: whose trouble a value of all versions tells of, told late.

A job that fails is a dead letter a moment after its error was counted, and the queue and a backend are read more seldom
than the workers. So a guard that cannot tell versions apart may turn Critical for what a version did that was rolled
back, or for what an automatic pause was made for, when no worker is left that says whose it was. Asked by guards.py.
"""

from crm_operator.api.v1alpha1 import Answer, Guard, RolloutPhase, SyncState
from crm_operator.domain import clearing, conditions
from crm_operator.domain.verdict import critical_since, said_before
from crm_operator.domain.world import World


def is_left_behind(world: World, guard: Guard) -> bool:
    """Whether a value of all versions is Critical for what the one did that was rolled back.

    It was so when that was decided, or turned so since: while the last workers of that version end, or within the
    guard's window. A job that fails is a dead letter a moment after its error was counted, and other sources are read
    more seldom than the workers.
    """
    rollout, was = world.status.rollout, said_before(world, guard.name)
    if was is not None and was.answer is Answer.ROLLBACK:
        return True
    decided = conditions.since(world.status.conditions, "RolledBack")
    began = critical_since(world, guard.name)
    if rollout is None or decided is None or began < decided:
        return False
    return rollout.phase is RolloutPhase.ROLLING_BACK or began < decided + clearing.forgotten_in(guard)


def is_of_pause(world: World, guard: Guard) -> bool:
    """Whether a value of all versions is Critical for what an automatic pause was made for.

    It turns so while that holds, or within the guard's window after it: dead letters come a moment after the last jobs,
    a backend is read more seldom than workers, and these, who said that the provider fails, say nothing since they
    ended.
    """
    pause, sync = world.status.automatic_pause, world.status.sync
    if pause is None or sync is None:
        return False
    if world.pauses or sync.state is not SyncState.RUNNING:
        return True
    return critical_since(world, guard.name) < sync.since_time + clearing.forgotten_in(guard)


def follows_a_rollback(world: World, guard: Guard) -> bool:
    """Whether the version on trial replaces one that was rolled back: nothing else ends that condition.

    And so lately that what that one did may show: hours later its workers may be gone for want of work, or start anew.
    """
    rollout = world.status.rollout
    if rollout is None or rollout.start_time is None or rollout.stable_revision is None:
        return False
    ended = conditions.since(world.status.conditions, "RolledBack", status="False")
    if ended is None or ended < rollout.start_time.replace(microsecond=0):
        return False
    return critical_since(world, guard.name) < ended + clearing.forgotten_in(guard)
