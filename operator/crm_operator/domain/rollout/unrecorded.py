"""A rollback that was decided and begun although its record was refused.

Once the bad workers are gone nothing shows the trouble any more, so a pass that knew no more than the recorded status
would put them back. But the refused status is known to the next pass (`RefusedWrite`), and the decision is made anew
from it on each pass, until it is stored. A restart forgets it: then the version that status names comes back, and is
judged as it was before.
"""

from crm_operator.api.v1alpha1 import RolloutPhase, RolloutStatus
from crm_operator.domain.plan import WriteStatus
from crm_operator.domain.world import RefusedWrite, World


def is_rollback(write: WriteStatus) -> bool:
    """Whether the status says that a version is being rolled back."""
    rollout = write.status.rollout
    return rollout is not None and rollout.phase is RolloutPhase.ROLLING_BACK


def begun(world: World, was: RolloutStatus) -> RolloutStatus | None:
    """The rollback of the version on trial that could not be recorded. None: there is none, or it is not known."""
    match world.refused:
        case RefusedWrite(action=WriteStatus(status=status) as write) if is_rollback(write):
            rollout = status.rollout
        case _:
            return None
    assert rollout is not None
    same = rollout.failed_revision == was.candidate_revision and rollout.start_time == was.start_time
    return rollout if same else None
