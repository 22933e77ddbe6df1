"""A template that comes while another version bakes: it waits for the end of the bake, or begins at once.

Its canary needs a stable version beside it, and that is the one before the version that bakes. Whoever ships faster
than a bake lasts would see that one again with each release. Asked by `machine` on every pass.
"""

from collections.abc import Sequence
from datetime import datetime

from crm_operator.api.v1alpha1 import GuardState, RolloutPhase, RolloutStatus
from crm_operator.domain.rollout import history, seen
from crm_operator.domain.rollout.objections import unseen
from crm_operator.domain.verdict import Verdict
from crm_operator.domain.world import World


def is_queued(world: World, rollout: RolloutStatus) -> bool:
    """Whether the spec's template is another one than the one that bakes, and can be used."""
    baking = rollout.phase is RolloutPhase.BAKING and world.template is None
    return baking and world.target not in (rollout.candidate_revision, rollout.stable_revision)


def waits(world: World, rollout: RolloutStatus, verdicts: Sequence[Verdict]) -> bool:
    """Whether it waits for the end of the bake: for as long as nothing speaks against the version that bakes.

    Else it may be the fix, and begins at once. So does one without steps, for which no other version comes back, and
    one that served well a short time ago. What cannot be read speaks against nobody before the bake's time is over; nor
    does a bake whose time does not run (a pause, mode Observe, a queue that cannot be read): it has not begun yet.
    """
    if not is_queued(world, rollout) or not world.spec.rollout.steps:
        return False
    if history.stopped_ago(rollout, world.target, world.now) is not None:
        return False
    if (late := given_up(world, rollout)) is not None and world.now >= late:
        return False
    objecting = [verdict for verdict in verdicts if verdict.objects]
    if any(verdict.state is not GuardState.UNKNOWN for verdict in objecting):
        return False
    is_over = rollout.step_start_time is not None and world.now >= rollout.step_start_time + world.spec.rollout.bake
    return not is_over or (not objecting and unseen(world.stable, verdicts) is None)


def given_up(world: World, rollout: RolloutStatus) -> datetime | None:
    """When a version that bakes without a Ready worker, although there should be some, is not waited for any longer.

    After a pause, or for new work, its workers only start. None: they are up, or nobody waits for them.
    """
    waiting = is_queued(world, rollout) and not seen.paused(world) and seen.is_down(world, rollout.candidate_revision)
    if not waiting or rollout.waiting_since is None:
        return None
    return rollout.waiting_since + seen.START_PATIENCE


def comes_next(world: World, rollout: RolloutStatus) -> str | None:
    """What the next pass makes of the spec's template, now that the version before it is done with; None: nothing.

    Without it the end of a bake would look like the end of the rollout that a pipeline waits for.
    """
    done = rollout.phase in (RolloutPhase.STABLE, RolloutPhase.ROLLING_BACK) and world.template is None
    if not done or world.target in (rollout.stable_revision, rollout.failed_revision, rollout.held_revision):
        return None
    if world.image_failed_in is None:
        return f"{world.target} begins its rollout beside {rollout.stable_revision}"
    if rollout.phase is RolloutPhase.ROLLING_BACK:
        return None  # after the rollback
    return f"{world.target} is held, as its image was rolled back in {world.image_failed_in}"


def says(world: World, rollout: RolloutStatus) -> str:
    """The clause on what becomes of it at the end of the bake; empty when nothing waits."""
    if not is_queued(world, rollout):
        return ""
    if world.image_failed_in is None:
        return f"; {world.target} waits for that"
    return (
        f"; {world.target} is held after that, since its image was rolled back in integration {world.image_failed_in}"
    )
