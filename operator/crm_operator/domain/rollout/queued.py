"""A template that comes while another version bakes: it waits for the end of the bake, or begins at once.

Its canary needs a stable version beside it, and that is the one before the version that bakes. Whoever ships faster
than a bake lasts would see that one again with each release. Asked by `machine` on every pass.
"""

from collections.abc import Sequence
from datetime import datetime

from crm_operator.api.duration import render
from crm_operator.api.v1alpha1 import GuardState, RolloutPhase, RolloutStatus
from crm_operator.domain.rollout import history, seen
from crm_operator.domain.rollout.objections import says as says_of
from crm_operator.domain.rollout.objections import unseen
from crm_operator.domain.verdict import Verdict
from crm_operator.domain.world import World


def is_queued(world: World, rollout: RolloutStatus) -> bool:
    """Whether the spec's template is another one than the one that bakes, and can be used."""
    baking = rollout.phase is RolloutPhase.BAKING and world.template is None
    return baking and world.target not in (rollout.candidate_revision, rollout.stable_revision)


def begins_now(world: World, rollout: RolloutStatus, verdicts: Sequence[Verdict]) -> str | None:
    """Why what is queued does not wait for the end of the bake; None: it waits, as nothing speaks against what bakes.

    Else it may be the fix. So may one without steps, for which no other version comes back, and one that served well a
    short time ago. What cannot be read, or blames nobody yet, speaks against nobody before the bake's time is over; nor
    does a bake whose time does not run (a pause, mode Observe, a queue that cannot be read): it has not begun yet.
    """
    if not world.spec.rollout.steps:
        return "there are no rollout.steps"
    if history.stopped_ago(rollout, world.target, world.now) is not None:
        return "it served well"
    if (late := given_up(world, rollout)) is not None and world.now >= late:
        return f"no worker of {rollout.candidate_revision} was Ready for {render(seen.START_PATIENCE)}"
    kept = None if seen.paused(world) else seen.kept_at_zero(world, rollout.candidate_revision)
    if kept is not None:
        return f"no worker of {rollout.candidate_revision} runs, and {kept}"
    objecting = [verdict for verdict in verdicts if verdict.objects]
    if (against := next((verdict for verdict in objecting if not _is_open(verdict)), None)) is not None:
        return says_of(against)
    is_over = rollout.step_start_time is not None and world.now >= rollout.step_start_time + world.spec.rollout.bake
    if not is_over:
        return None
    if objecting:
        return says_of(objecting[0])
    return None if (objection := unseen(world.stable, verdicts)) is None else objection.why


def _is_open(verdict: Verdict) -> bool:
    """It could not be read, or whom to blame is known in a moment. What chance explains is an answer."""
    return verdict.state is GuardState.UNKNOWN or (verdict.blame == "undecided" and not verdict.by_chance)


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
