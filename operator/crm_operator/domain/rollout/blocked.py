"""A rollback that was decided and does not come about: why, and what a person can do.

The canary goes to 0 in any case; this is about the stable version's return.
"""

from datetime import datetime, timedelta

from crm_operator.api.duration import render
from crm_operator.api.v1alpha1 import RolloutPhase, RolloutStatus
from crm_operator.domain.plan import ApplyTemplate, SetReplicas
from crm_operator.domain.rollout.objections import pods_of, rolling
from crm_operator.domain.world import RefusedWrite, World

#: The conditions' reason, and the Event's.
REASON = "RollbackBlocked"


def is_gone(world: World, revision: str | None) -> bool:
    """Whether nothing holds this version's template any more: no ControllerRevision, nor Deployment NAME."""
    return revision not in world.known_revisions and (world.stable is None or world.stable.revision != revision)


def is_kept_out(world: World, rollout: RolloutStatus) -> bool:
    """Whether the stable version's template is refused while NAME runs nothing but the failed version.

    Then that one goes to 0 without it: a job that waits is late, a job taken by a bad version may be lost. Not while
    workers of the stable version are left beside it (a promotion that was under way): a size takes from both, and the
    update that goes on ends them soon enough. Nothing grows before the template is in: a plan ends at a refused write.

    In Canary the same keeps the next version from being tried: there is no stable one to try it beside.
    """
    returns = rollout.phase in (RolloutPhase.ROLLING_BACK, RolloutPhase.CANARY)
    if not returns or not _is_template_refused(world, rollout) or world.stable is None:
        return False
    good = any(pod.ready and pod.revision == rollout.stable_revision for pod in pods_of(world.stable))
    return world.stable.revision != rollout.stable_revision and not good


def why(world: World, rollout: RolloutStatus) -> str | None:
    """What stands in the way, with the remedy. None: nothing, or nothing is rolled back."""
    if rollout.phase is not RolloutPhase.ROLLING_BACK:
        return None
    if is_gone(world, rollout.stable_revision):
        return f"the template of {rollout.stable_revision} is not stored any more; apply a good spec.workers.template"
    if world.refused is not None and by_refusal(world, rollout):
        stopped = "; until then no worker runs, so that no job goes to the failed version"
        return f"{world.refused.why}; it is tried again every few seconds" + (
            stopped if is_kept_out(world, rollout) else ""
        )
    late = overdue(world, rollout)
    if late is not None and world.now >= late:
        limit = render(world.spec.rollout.progress_deadline)
        return (
            f"the stable version is not back after {limit} (rollout.progressDeadline): "
            f"{rolling(world.stable, version='stable')}; give it what it needs, or apply another spec.workers.template"
        )
    return None


def by_refusal(world: World, rollout: RolloutStatus | None) -> bool:
    """Whether what stands in the way, and so is told of, is a refused write."""
    if rollout is None or rollout.phase is not RolloutPhase.ROLLING_BACK:
        return False
    return not is_gone(world, rollout.stable_revision) and _holds_up(world, rollout)


def _is_template_refused(world: World, rollout: RolloutStatus) -> bool:
    """Whether Deployment NAME did not take the stable version's template."""
    match world.refused:
        case RefusedWrite(action=ApplyTemplate(role="stable", revision=revision)):
            return revision == rollout.stable_revision
        case _:
            return False


def _holds_up(world: World, rollout: RolloutStatus) -> bool:
    """Whether a refused write keeps bad workers running or good ones away. A SyncPause, say, does neither.

    Nor does a write of the pass before the rollback was decided: its own have not been tried yet.
    """
    before = world.status.rollout
    if world.refused is None or before is None or before.phase is not RolloutPhase.ROLLING_BACK:
        return False
    return isinstance(world.refused.action, SetReplicas) or _is_template_refused(world, rollout)


def overdue(world: World, rollout: RolloutStatus) -> datetime | None:
    """When the stable version should have been back. None: it is not waited for."""
    if rollout.step_start_time is None or world.pauses:
        return None
    limit: timedelta = world.spec.rollout.progress_deadline
    return rollout.step_start_time + limit
