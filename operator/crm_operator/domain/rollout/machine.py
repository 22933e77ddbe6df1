"""One pass of the rollout: which question is asked first.

`advance` takes the recorded state and the world and gives the next state; it is asked on every pass, so nothing here
depends on having seen an event. One pass takes at most one step. Timers are differences to stored times.

Stable and candidate: `stable_revision` is the last revision that finished its bake, and where a rollback goes;
`candidate_revision` is on trial. In Canary the candidate runs in Deployment NAME-canary; in Promoting and Baking it is
the template of Deployment NAME.
"""

from collections.abc import Sequence
from dataclasses import replace

from crm_operator.api.v1alpha1 import GuardState, RolloutPhase, RolloutStatus
from crm_operator.domain.guards import Verdict
from crm_operator.domain.rollout import history, phases, seen, verbs
from crm_operator.domain.rollout.edges import Move, roll_back, settle, start, steps_hash
from crm_operator.domain.rollout.verbs import Answer, Asked
from crm_operator.domain.world import World

_ON_TRIAL = (RolloutPhase.CANARY, RolloutPhase.PROMOTING, RolloutPhase.BAKING)


def advance(world: World, verdicts: Sequence[Verdict]) -> Move:
    """One pass of the state machine."""
    was = world.status.rollout or _first_state(world)
    move = _next(world, was, verdicts)
    return replace(move, rollout=history.remembered(was, move.rollout, world.now))


def _next(world: World, was: RolloutStatus, verdicts: Sequence[Verdict]) -> Move:
    asked = tuple(verbs.asked(world))
    if (move := _damaged(world, was, verdicts)) is not None:
        return _with_answers(world, move, asked, [])
    if (move := _on_target(world, was)) is not None:
        late = [(ask, answer) for ask in asked if (answer := _while_replaced(world, was, ask)) is not None]
        return _with_answers(world, move, asked, late)
    answers: list[tuple[Asked, Answer]] = []
    for ask in asked:
        if (answer := verbs.answer(world, was, ask)) is None:
            continue
        answers.append((ask, answer))
        if answer.move is not None:
            return _with_answers(world, answer.move, asked, answers)
    return _with_answers(world, _by_itself(world, was, verdicts), asked, answers)


def _with_answers(world: World, move: Move, asked: Sequence[Asked], answers: Sequence[tuple[Asked, Answer]]) -> Move:
    """`move`, and what was answered beside it. What is left waits for the next pass, which sees the new state."""
    told = [decision for ask, answer in answers for decision in verbs.told(world, ask, answer)]
    left = len(answers) < len(asked) and world.template is None
    return replace(
        move,
        decisions=(*move.decisions, *told),
        verbs=tuple(verbs.recorded(world, ask, answer) for ask, answer in answers),
        look_again=world.now if left else move.look_again,
    )


def _while_replaced(world: World, was: RolloutStatus, ask: Asked) -> Answer | None:
    return verbs.answer(world, was, ask) if world.status.rollout is None else verbs.too_late(ask)


def _first_state(world: World) -> RolloutStatus:
    """No memory: a new integration, or a status that was lost. What runs is then what we trust."""
    if world.stable is not None and world.stable.revision:
        return RolloutStatus(phase=RolloutPhase.STABLE, stable_revision=world.stable.revision)
    return RolloutStatus(phase=RolloutPhase.STABLE)


def _damaged(world: World, was: RolloutStatus, verdicts: Sequence[Verdict]) -> Move | None:
    """A guard blames the release: nothing that anybody asks for comes before that, but a template to go to instead."""
    if was.phase not in _ON_TRIAL or was.stable_revision is None:
        return None
    if world.template is None and world.target != was.candidate_revision:
        return None
    verdict = _blames_release(world, verdicts)
    return None if verdict is None else roll_back(world, was, verdict.message)


def _on_target(world: World, was: RolloutStatus) -> Move | None:
    """What a changed template does in each phase. None: the template is what the recorded state is about."""
    if world.template is not None:
        return None  # it cannot be used, so the running versions stay
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
        return _on_steps(world, was)
    if target == was.stable_revision:
        return settle(world, was, "Abandoned", "the template is the stable one again")
    if was.phase is RolloutPhase.BAKING:
        # It serves everything and no guard rolled it back: a newer version is judged against it, not against an
        # older one that nobody wants back.
        return start(world, was, stable=was.candidate_revision, why="new template while baking")
    return start(world, was, stable=was.stable_revision, why="new template in mid-rollout")


def _on_steps(world: World, was: RolloutStatus) -> Move | None:
    if was.phase is not RolloutPhase.CANARY or was.steps_hash == steps_hash(world.spec.rollout.steps):
        return None
    return start(world, was, stable=was.stable_revision, why="rollout.steps were edited")


def _by_itself(world: World, was: RolloutStatus, verdicts: Sequence[Verdict]) -> Move:
    """Nobody asks for anything, and no guard blames the release."""
    match was.phase:
        case RolloutPhase.CANARY | RolloutPhase.PROMOTING | RolloutPhase.BAKING:
            if world.template is not None:
                return Move(rollout=was)
            if seen.paused(world):
                return Move(
                    rollout=was.model_copy(update=dict.fromkeys(("step_start_time", "waiting_since", "failing_since")))
                )
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
