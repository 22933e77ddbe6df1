"""A template that comes while another version bakes: it waits for the end of the bake, or begins at once.

Its canary needs a stable version beside it, and that is the one before the version that bakes. Whoever ships faster
than a bake lasts would see that one again with each release. Asked by `machine` on every pass.
"""

from collections.abc import Sequence

from crm_operator.api.v1alpha1 import GuardState, RolloutPhase, RolloutStatus
from crm_operator.domain.guards import Verdict
from crm_operator.domain.rollout import history
from crm_operator.domain.rollout.objections import unseen
from crm_operator.domain.world import World


def is_queued(world: World, rollout: RolloutStatus) -> bool:
    """Whether the spec's template is another one than the one that bakes, and can be used."""
    baking = rollout.phase is RolloutPhase.BAKING and world.template is None
    return baking and world.target not in (rollout.candidate_revision, rollout.stable_revision)


def waits(world: World, rollout: RolloutStatus, verdicts: Sequence[Verdict]) -> bool:
    """Whether it waits for the end of the bake: for as long as nothing speaks against the version that bakes.

    Else it may be the fix, and begins at once. So does one without steps, for which no other version comes back, and
    one that served well a short time ago. What cannot be read speaks against nobody before the bake's time is over.
    """
    if not is_queued(world, rollout) or not world.spec.rollout.steps or rollout.step_start_time is None:
        return False
    if history.stopped_ago(rollout, world.target, world.now) is not None:
        return False
    objecting = [verdict for verdict in verdicts if verdict.objects]
    if any(verdict.state is not GuardState.UNKNOWN for verdict in objecting):
        return False
    is_over = world.now >= rollout.step_start_time + world.spec.rollout.bake
    return not is_over or (not objecting and unseen(world.stable, verdicts) is None)
