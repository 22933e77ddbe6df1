"""One pass of the rollout: which question is asked first.

`advance` takes the recorded state and the world and gives the next state; it is asked on every pass, so nothing here
depends on having seen an event. One pass takes at most one step. Timers are differences to stored times.

Stable and candidate: `stable_revision` is the last revision that finished its bake, and where a rollback goes;
`candidate_revision` is on trial. In Canary the candidate runs in Deployment NAME-canary; in Promoting and Baking it is
the template of Deployment NAME.
"""

from collections.abc import Sequence
from dataclasses import replace

from crm_operator.api.v1alpha1 import Mode, RolloutPhase, RolloutStatus, Verb
from crm_operator.domain.rollout import history, phases, queued, seen, unrecorded, verbs
from crm_operator.domain.rollout.edges import Move, roll_back, settle, start, steps_hash
from crm_operator.domain.rollout.verbs import Answer, Asked
from crm_operator.domain.verdict import Verdict
from crm_operator.domain.world import World

_CLOCKS = ("step_start_time", "waiting_since", "failing_since")
#: Not what it waited for before: a hold "until 03:00:40" is over at no such time.
_PAUSED = "paused; holds, bakes and deadlines begin again after it"
_ON_TRIAL = (RolloutPhase.CANARY, RolloutPhase.PROMOTING, RolloutPhase.BAKING)


def advance(world: World, verdicts: Sequence[Verdict]) -> Move:
    """One pass of the state machine."""
    asked = tuple(verbs.asked(world))
    if world.spec.mode is Mode.OBSERVE:
        was = unmoved(world)
        answers = [(ask, verbs.unheeded(ask)) for ask in asked]
        move = _with_answers(world, _next(world, was, verdicts, ()), asked, answers)
    else:
        was = world.status.rollout or _first_state(world)
        move = _next(world, was, verdicts, asked)
        if _place(move.rollout) != _place(was):
            # The new state's own timers are set by a pass that sees it, and no event need bring that about.
            move = replace(move, look_again=world.now)
    return replace(move, rollout=history.remembered(was, move.rollout, world.now))


def _place(rollout: RolloutStatus) -> tuple[object, ...]:
    return rollout.phase, rollout.step, rollout.stable_revision, rollout.candidate_revision


def unmoved(world: World) -> RolloutStatus:
    """The recorded state with its clocks stopped: what a mode that writes nothing leaves behind."""
    was = world.status.rollout or _first_state(world)
    return was.model_copy(update=dict.fromkeys(_CLOCKS))


def _next(world: World, was: RolloutStatus, verdicts: Sequence[Verdict], asked: Sequence[Asked]) -> Move:
    # Before another template as well: a status that names that one would be refused in its turn, and take the place of
    # this one in memory. It begins in the rollback, once that is stored.
    if (move := _begun(world, was)) is not None:
        return _with_answers(world, move, asked, _while_damaged(world, was, asked, (Verb.ABORT, Verb.RETRY)))
    if (move := _on_target(world, was, verdicts)) is not None:
        return _with_answers(world, move, asked, _while_replaced(world, was, move, asked))
    # Nothing that anybody asks for comes before damage, but another template.
    if (move := _damaged(world, was, verdicts)) is not None:
        return _with_answers(world, move, asked, _while_damaged(world, was, asked, (Verb.RETRY,)))
    if (move := _on_steps(world, was)) is not None:
        return _with_answers(world, move, asked, _while_replaced(world, was, move, asked))
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


def _while_replaced(world: World, was: RolloutStatus, move: Move, asked: Sequence[Asked]) -> list[tuple[Asked, Answer]]:
    """What can be answered although what it was meant for has just been replaced."""
    first, begins = world.status.rollout is None, move.rollout.phase in _ON_TRIAL
    answers = ((ask, verbs.answer(world, was, ask) if first else verbs.too_late(ask, begins=begins)) for ask in asked)
    return [(ask, answer) for ask, answer in answers if answer is not None]


def _while_damaged(
    world: World, was: RolloutStatus, asked: Sequence[Asked], answered: Sequence[Verb]
) -> list[tuple[Asked, Answer]]:
    """A retry that was asked for before this rollback is not for it: the version would fail a second time.

    An abort is answered by one that is under way, which may have followed on it.
    """
    answers = ((ask, verbs.answer(world, was, ask)) for ask in asked if ask.verb in answered)
    return [(ask, answer) for ask, answer in answers if answer is not None]


def _first_state(world: World) -> RolloutStatus:
    """No memory: a new integration, or a status that was lost. What runs is then what we trust."""
    if world.stable is not None and world.stable.revision:
        return RolloutStatus(phase=RolloutPhase.STABLE, stable_revision=world.stable.revision)
    return RolloutStatus(phase=RolloutPhase.STABLE)


def _begun(world: World, was: RolloutStatus) -> Move | None:
    """A rollback that could not be recorded goes on."""
    if was.phase not in _ON_TRIAL:
        return None
    begun = unrecorded.begun(world, was)
    if begun is None:
        return None
    move = roll_back(world, was, begun.reason or "")
    return replace(move, rollout=move.rollout.model_copy(update={"step_start_time": begun.step_start_time}))


def _damaged(world: World, was: RolloutStatus, verdicts: Sequence[Verdict]) -> Move | None:
    """A guard blames the release."""
    if was.phase not in _ON_TRIAL or was.stable_revision is None:
        return None
    verdict = _blames_release(world, verdicts)
    return None if verdict is None else roll_back(world, was, verdict.message)


def _on_target(world: World, was: RolloutStatus, verdicts: Sequence[Verdict]) -> Move | None:
    """What a changed template does in each phase. None: nothing, or not now."""
    if world.template is not None:
        return None  # it cannot be used, so the running versions stay
    target = world.target
    if was.stable_revision is None and was.candidate_revision != target:
        return start(world, was, stable=None, why="first deployment")
    match was.phase:
        case RolloutPhase.STABLE:
            if target in (was.stable_revision, was.held_revision):
                return None
            return start(world, was, stable=was.stable_revision)
        case RolloutPhase.ROLLING_BACK | RolloutPhase.ROLLED_BACK:
            if target == was.failed_revision:
                return None
            if target == was.stable_revision:
                return settle(world, was, "Reverted", "the template is the stable one again")
            move = start(world, was, stable=was.stable_revision)
            return None if _is_held(move) and was.phase is RolloutPhase.ROLLING_BACK else move
        case RolloutPhase.CANARY | RolloutPhase.PROMOTING | RolloutPhase.BAKING:
            if target == was.candidate_revision:
                return None
            if target == was.stable_revision:
                return settle(world, was, "Abandoned", "the template is the stable one again")
            why = "new template in mid-rollout"
            if was.phase is RolloutPhase.BAKING:
                if _blames_release(world, verdicts) is not None:
                    return None  # rolled back first: its workers go at once, and are not taken for the new one's
                if (now := queued.begins_now(world, was, verdicts)) is None:
                    return None
                why = f"new template while {was.candidate_revision} bakes; {now}"
            # Not against the one that bakes, though it serves everything: nobody has judged it to the end, and a
            # rollback must not go there.
            move = start(world, was, stable=was.stable_revision, why=why)
            return None if _is_held(move) and was.phase is RolloutPhase.BAKING else move


def _is_held(move: Move) -> bool:
    """It does not begin, so what is under way goes on until it is done."""
    return move.rollout.held_revision is not None


def _on_steps(world: World, was: RolloutStatus) -> Move | None:
    """Edited steps begin again."""
    if world.template is not None or was.phase is not RolloutPhase.CANARY:
        return None
    if was.steps_hash == steps_hash(world.spec.rollout.steps):
        return None
    return start(world, was, stable=was.stable_revision, why="rollout.steps were edited")


def _by_itself(world: World, was: RolloutStatus, verdicts: Sequence[Verdict]) -> Move:
    """Nobody asks for anything, and no guard blames the release."""
    match was.phase:
        case RolloutPhase.CANARY | RolloutPhase.PROMOTING | RolloutPhase.BAKING:
            if world.template is not None:
                return Move(rollout=was)
            if seen.paused(world):
                return Move(rollout=was.model_copy(update={**dict.fromkeys(_CLOCKS), "reason": _PAUSED}))
            if was.phase is RolloutPhase.CANARY:
                return phases.canary(world, was, verdicts)
            if was.phase is RolloutPhase.PROMOTING:
                return phases.promoting(world, was)
            return phases.baking(world, was, verdicts)
        case RolloutPhase.ROLLING_BACK:
            return phases.rolling_back(world, was)
        case RolloutPhase.STABLE if was.held_revision is not None and world.template is None:
            if world.target == was.stable_revision:
                return Move(rollout=was.model_copy(update={"held_revision": None, "reason": None}))
            return start(world, was, stable=was.stable_revision)
        case RolloutPhase.STABLE | RolloutPhase.ROLLED_BACK:
            return Move(rollout=was)


def _blames_release(world: World, verdicts: Sequence[Verdict]) -> Verdict | None:
    if not world.spec.on_critical.rollback:
        return None
    return next((v for v in verdicts if v.acts and v.blame == "revision"), None)
