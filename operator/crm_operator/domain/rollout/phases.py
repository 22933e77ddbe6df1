"""What each phase waits for, and what ends it. Each function is one phase on one pass; it takes at most one edge."""

from collections.abc import Sequence
from datetime import datetime

from crm_operator.api.duration import render
from crm_operator.api.v1alpha1 import GuardState, RolloutStatus
from crm_operator.domain.rollout import blocked, edges, queued, seen
from crm_operator.domain.rollout.edges import Move
from crm_operator.domain.rollout.objections import MAY_ADVANCE, rolling, says, unseen
from crm_operator.domain.verdict import Verdict
from crm_operator.domain.world import World


def canary(world: World, was: RolloutStatus, verdicts: Sequence[Verdict]) -> Move:
    if blocked.is_kept_out(world, was):
        # A rollback was under way. Seen late when the operator was restarted, and had forgotten the refusal.
        return edges.start(world, was, stable=was.stable_revision)
    now = was.model_copy(update=seen.clocks(world, was, running=seen.canary_is_up(world, was)))
    if (failure := seen.start_failure(world, now)) is not None:
        return edges.roll_back(world, was, failure)
    if (late := seen.deadline(world, now)) is not None and world.now >= late:
        return edges.roll_back(world, was, seen.overdue(world, world.canary))
    for check in MAY_ADVANCE:
        objection = check(world, now, verdicts)
        if objection is not None:
            now = now.model_copy(update={"reason": objection.why})
            return Move(rollout=now, look_again=_soonest(world, objection.until, late, *_start_failures(world, now)))
    return edges.end_step(world, now)


def promoting(world: World, was: RolloutStatus) -> Move:
    if not seen.promoted(world, was):
        return _awaiting(world, was)
    if was.stable_revision is None or not world.spec.rollout.bake:
        why = "the new version runs in all workers"
        return edges.settle(world, was, "Completed", why, stable=was.candidate_revision)
    return edges.bake(world, was)


def baking(world: World, was: RolloutStatus, verdicts: Sequence[Verdict]) -> Move:
    if seen.is_down(world, was.candidate_revision):
        # Promoted without a worker (no work), or all of them are gone: what does not run shows nothing.
        return _awaiting(world, was.model_copy(update={"step_start_time": None}))
    # From here on no worker is waited for, so that a deadline begins anew with the next that is.
    was = was.model_copy(update={"waiting_since": None, "failing_since": None})
    if (held := seen.held_at_zero(world, was.candidate_revision)) is not None:
        why = f"no worker of the new version runs, and {held}"
        return Move(rollout=was.model_copy(update={"step_start_time": None, "reason": why[:1000]}))
    objecting = [v for v in verdicts if v.objects]
    worried = next((v for v in objecting if v.state is not GuardState.UNKNOWN and not v.by_chance), None)
    if worried is not None:
        # The bake starts again once the guard is quiet, so its clock does not run now.
        return Move(rollout=was.model_copy(update={"step_start_time": None, "reason": says(worried)}))
    started = was.step_start_time or world.now
    ends = started + world.spec.rollout.bake
    now = was.model_copy(update={"step_start_time": started})
    if world.now < ends:
        reason = f"baking until {ends:%H:%M:%S}{queued.says(world, was)}"
        return Move(rollout=now.model_copy(update={"reason": reason}), look_again=ends)
    # What chance explains is no reason to begin again: as often as it comes, the bake would hardly ever end.
    if objecting:
        return Move(rollout=now.model_copy(update={"reason": says(objecting[0])}))
    if (objection := unseen(world.stable, verdicts)) is not None:
        return Move(rollout=now.model_copy(update={"reason": objection.why}))
    why = f"watched for {render(world.spec.rollout.bake)} (rollout.bake), and no guard objects"
    why = "; ".join([why, *(says(verdict) for verdict in verdicts if verdict.usual)])
    return edges.settle(world, was, "Completed", why, stable=was.candidate_revision)


def rolling_back(world: World, was: RolloutStatus) -> Move:
    stable, canary = world.stable, world.canary
    if blocked.is_gone(world, was.stable_revision):
        return Move(rollout=was)
    canary_gone = canary is None or canary.replicas == 0
    # A rollback is over when the bad version has no pod left that could take a job; stable may still be starting.
    bad_pods = [p for w in (stable, canary) if w is not None for p in w.pods if p.revision != was.stable_revision]
    gone = stable is not None and stable.revision == was.stable_revision and canary_gone and not bad_pods
    if gone and stable is not None and (stable.complete or world.pauses):
        return edges.restored(world, was)
    return Move(rollout=was, look_again=_soonest(world, blocked.overdue(world, was)))


def _awaiting(world: World, was: RolloutStatus) -> Move:
    """The candidate's workers in Deployment NAME are to come up."""
    now = was.model_copy(update=seen.clocks(world, was, running=False) | {"reason": rolling(world.stable)})
    if was.stable_revision is None:
        return Move(rollout=now, look_again=_soonest(world, seen.deadline(world, now)))
    if (failure := seen.start_failure(world, now)) is not None:
        return edges.roll_back(world, was, failure)
    if (late := seen.deadline(world, now)) is not None and world.now >= late:
        return edges.roll_back(world, was, seen.overdue(world, world.stable))
    return Move(
        rollout=now, look_again=_soonest(world, late, queued.given_up(world, now), *_start_failures(world, now))
    )


def _start_failures(world: World, now: RolloutStatus) -> tuple[datetime | None, ...]:
    """When time alone makes one of what the workers show."""
    return seen.given_up(now), seen.excuse_ends(world, now)


def _soonest(world: World, *times: datetime | None) -> datetime | None:
    return min((time for time in times if time is not None and time > world.now), default=None)
