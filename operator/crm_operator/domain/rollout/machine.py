"""One pass of the rollout: which question is asked first.

`advance` takes the recorded state and the world and gives the next state; it is asked on every pass, so nothing here
depends on having seen an event. One pass takes at most one step. Timers are differences to stored times.

Stable and candidate: `stable_revision` is the last revision that finished its bake, and where a rollback goes;
`candidate_revision` is on trial. In Canary the candidate runs in Deployment NAME-canary; in Promoting and Baking it is
the template of Deployment NAME.
"""

from collections.abc import Sequence

from crm_operator.api.v1alpha1 import GuardState, RolloutPhase, RolloutStatus
from crm_operator.domain.guards import Verdict
from crm_operator.domain.rollout import phases
from crm_operator.domain.rollout.edges import Move, roll_back, settle, start
from crm_operator.domain.world import World

_ON_TRIAL = (RolloutPhase.CANARY, RolloutPhase.PROMOTING, RolloutPhase.BAKING)


def advance(world: World, verdicts: Sequence[Verdict]) -> Move:
    """One pass of the state machine."""
    was = world.status.rollout or _first_state(world)
    if world.template is not None:
        return _without_target(world, was, verdicts)
    return _on_target(world, was) or _on_trial(world, was, verdicts)


def _first_state(world: World) -> RolloutStatus:
    """No memory: a new integration, or a status that was lost. What runs is then what we trust."""
    if world.stable is not None and world.stable.revision:
        return RolloutStatus(phase=RolloutPhase.STABLE, stable_revision=world.stable.revision)
    return RolloutStatus(phase=RolloutPhase.STABLE)


def _without_target(world: World, was: RolloutStatus, verdicts: Sequence[Verdict]) -> Move:
    """The spec's template cannot be used, so the running versions stay; damage is still stopped."""
    if was.phase in _ON_TRIAL and (verdict := _blames_release(world, verdicts)) is not None:
        return roll_back(world, was, verdict.message)
    if was.phase is RolloutPhase.ROLLING_BACK:
        return phases.rolling_back(world, was)
    return Move(rollout=was)


def _on_target(world: World, was: RolloutStatus) -> Move | None:
    """What a changed template does in each phase. None: the template is what the recorded state is about."""
    target = world.target
    if was.stable_revision is None and was.candidate_revision != target:
        return start(world, was, stable=None, why="first deployment")
    if was.phase is RolloutPhase.STABLE:
        return None if target == was.stable_revision else start(world, was, stable=was.stable_revision)
    if was.phase in (RolloutPhase.ROLLING_BACK, RolloutPhase.ROLLED_BACK):
        if target == was.failed_revision:
            return None
        if target == was.stable_revision:
            return settle(world, was, "Reverted", "the template is the stable one again")
        return start(world, was, stable=was.stable_revision)
    if target == was.candidate_revision:
        return None
    if target == was.stable_revision:
        return settle(world, was, "Abandoned", "the template is the stable one again")
    if was.phase is RolloutPhase.BAKING:
        # It serves everything and no guard rolled it back: a newer version is judged against it, not against an
        # older one that nobody wants back.
        return start(world, was, stable=was.candidate_revision, why="new template while baking")
    return start(world, was, stable=was.stable_revision, why="new template in mid-rollout")


def _on_trial(world: World, was: RolloutStatus, verdicts: Sequence[Verdict]) -> Move:
    match was.phase:
        case RolloutPhase.CANARY | RolloutPhase.PROMOTING | RolloutPhase.BAKING:
            if (verdict := _blames_release(world, verdicts)) is not None and was.stable_revision is not None:
                return roll_back(world, was, verdict.message)
            if world.pauses:
                return Move(rollout=was.model_copy(update={"step_start_time": None, "waiting_since": None}))
            if was.phase is RolloutPhase.CANARY:
                return phases.canary(world, was, verdicts)
            if was.phase is RolloutPhase.PROMOTING:
                return phases.promoting(world, was)
            return phases.baking(world, was, verdicts)
        case RolloutPhase.ROLLING_BACK:
            return phases.rolling_back(world, was)
        case RolloutPhase.STABLE | RolloutPhase.ROLLED_BACK:
            return Move(rollout=was)


def _blames_release(world: World, verdicts: Sequence[Verdict]) -> Verdict | None:
    if not world.spec.on_critical.rollback:
        return None
    return next((v for v in verdicts if v.state is GuardState.CRITICAL and v.blame == "revision"), None)
