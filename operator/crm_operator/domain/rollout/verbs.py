"""What a person asks of a rollout by annotation: abort, retry, promote. Each value is answered once.

A value counts when it differs from the one recorded in `status.verbs`. The answer is recorded in the same status write
as what it led to, so a crash can neither lose it nor do it twice. `machine` asks, after what a changed template and a
guard force, and before what the rollout would do by itself.
"""

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass

from crm_operator.api.names import annotation
from crm_operator.api.v1alpha1 import Decision, RolloutPhase, RolloutStatus, Verb, VerbResult, VerbStatus
from crm_operator.domain.rollout import edges, queued
from crm_operator.domain.rollout.edges import Move, decision
from crm_operator.domain.world import TemplateRefused, Unknown, World

#: Characters of a value; it is shown in status and events.
MAX_VALUE = 64
#: The careful one first, when several are asked for at once.
_ORDER = (Verb.ABORT, Verb.RETRY, Verb.PROMOTE)
_PROMOTE = re.compile(r"(step|full)@\S+")
_ON_TRIAL = (RolloutPhase.CANARY, RolloutPhase.PROMOTING, RolloutPhase.BAKING)


@dataclass(frozen=True, slots=True)
class Asked:
    """An annotation that was not answered yet."""

    verb: Verb
    value: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What becomes of it. `move` only when it changes the rollout."""

    result: VerbResult
    message: str
    move: Move | None = None


def asked(world: World) -> Iterator[Asked]:
    """What is new, in the order in which it is answered."""
    answered = {(was.name, was.value) for was in world.status.verbs}
    for verb in _ORDER:
        value = world.verbs.get(verb)
        if value is not None and (verb, _recorded(value)) not in answered:
            yield Asked(verb, value)


def faults(world: World) -> Iterator[str]:
    """What is wrong with the annotations as they are now: annotation, value, remedy."""
    for verb in _ORDER:
        value = world.verbs.get(verb)
        if value is not None and (fault := _fault(Asked(verb, value))) is not None:
            yield fault


def answer(world: World, was: RolloutStatus, ask: Asked) -> Answer | None:
    """What is asked, in the phase that the rollout is in. None: it cannot be told yet, ask again."""
    if (fault := _fault(ask)) is not None:
        return Answer(VerbResult.REFUSED, fault)
    if world.status.rollout is None:
        # After a restore from a backup, for one: what was asked of a rollout long ago.
        return Answer(VerbResult.IGNORED, "it was there before the operator first saw this integration")
    if ask.verb is Verb.ABORT:
        return _abort(world, was, ask)
    match world.template:
        case Unknown():
            return None
        case TemplateRefused():
            return Answer(VerbResult.IGNORED, "spec.workers.template was refused, so there is nothing to try")
        case None:
            return _retry(world, was, ask) if ask.verb is Verb.RETRY else _promote(world, was, ask)


def too_late(ask: Asked, *, begins: bool) -> Answer | None:
    """The rollout that it was meant for has just been replaced. None: it is as good for the new one.

    `begins`: another version is on trial from now on. It is not to be tried again should it fail at once.
    """
    if _fault(ask) is not None or ask.verb is Verb.ABORT:
        return None
    if ask.verb is Verb.RETRY:
        return Answer(VerbResult.IGNORED, "another version begins at the same time") if begins else None
    return Answer(
        VerbResult.IGNORED, "the template or the steps changed at the same time; set it again to promote what runs now"
    )


def unheeded(ask: Asked) -> Answer:
    """Nothing is done in mode Observe."""
    fault = _fault(ask)
    return Answer(VerbResult.IGNORED, "spec.mode is Observe") if fault is None else Answer(VerbResult.REFUSED, fault)


def recorded(world: World, ask: Asked, answer: Answer) -> VerbStatus:
    """The answer as status."""
    return VerbStatus(
        name=ask.verb, value=_recorded(ask.value), time=world.now, result=answer.result, message=answer.message
    )


def told(world: World, ask: Asked, answer: Answer) -> tuple[Decision, ...]:
    """What is decided besides the move's own decision."""
    if answer.result is VerbResult.DONE:
        return ()
    if answer.result is VerbResult.REFUSED:
        return (decision(world, "VerbRefused", answer.message),)
    return (decision(world, "VerbIgnored", f"{_named(ask)} changes nothing: {answer.message}"),)


def merged(before: list[VerbStatus], new: tuple[VerbStatus, ...]) -> list[VerbStatus]:
    """The newest answer of each verb."""
    newest = {item.name: item for item in (*before, *new)}
    return [newest[verb] for verb in _ORDER if verb in newest]


# --- verb by phase ---------------------------------------------------------------------------------------------------


def _abort(world: World, was: RolloutStatus, ask: Asked) -> Answer:
    if was.phase not in _ON_TRIAL:
        return Answer(VerbResult.IGNORED, "no rollout is on its way")
    if was.stable_revision is None:
        return Answer(VerbResult.IGNORED, "this is the first version, and there is no earlier one to go back to")
    return _done(edges.roll_back(world, was, f"aborted by annotation {_named(ask)}"))


def _retry(world: World, was: RolloutStatus, ask: Asked) -> Answer:
    why = f"tried again by annotation {_named(ask)}"
    if _holds(world, was):
        why = f"begun by annotation {_named(ask)}"
    elif was.phase not in (RolloutPhase.ROLLING_BACK, RolloutPhase.ROLLED_BACK):
        return Answer(VerbResult.IGNORED, "no version was rolled back")
    return _done(edges.start(world, was, stable=was.stable_revision, why=why, by_hand=True))


def _promote(world: World, was: RolloutStatus, ask: Asked) -> Answer:
    match was.phase:
        case RolloutPhase.CANARY:
            why = f"promoted by annotation {_named(ask)}"
            edge = edges.end_step if ask.value.startswith("step@") else edges.promote
            return _done(edge(world, was, why))
        case RolloutPhase.PROMOTING:
            return Answer(VerbResult.IGNORED, f"{was.candidate_revision} goes into all workers already")
        case RolloutPhase.BAKING if queued.is_queued(world, was):
            return _begun(world, was, ask)
        case RolloutPhase.BAKING:
            return Answer(VerbResult.IGNORED, f"{was.candidate_revision} runs in all workers, and the bake ends itself")
        case RolloutPhase.ROLLING_BACK | RolloutPhase.ROLLED_BACK:
            retry = annotation(Verb.RETRY)
            return Answer(VerbResult.IGNORED, f"{was.failed_revision} was rolled back; set {retry} to try it again")
        case RolloutPhase.STABLE if _holds(world, was):
            return _begun(world, was, ask)
        case RolloutPhase.STABLE:
            return Answer(VerbResult.IGNORED, "no rollout is on its way")


def _begun(world: World, was: RolloutStatus, ask: Asked) -> Answer:
    """The template that waits begins now."""
    why, straight = f"begun by annotation {_named(ask)}", ask.value.startswith("full@")
    return _done(edges.start(world, was, stable=was.stable_revision, why=why, by_hand=True, straight=straight))


def _holds(world: World, was: RolloutStatus) -> bool:
    """The spec's template waits, because its image failed elsewhere."""
    return was.phase is RolloutPhase.STABLE and was.held_revision == world.target


def _done(move: Move) -> Answer:
    return Answer(VerbResult.DONE, move.decisions[0].what, move)


# --- values ----------------------------------------------------------------------------------------------------------


def _fault(ask: Asked) -> str | None:
    name, value = annotation(ask.verb), ask.value
    if len(value) > MAX_VALUE or not value.isprintable():
        return f"annotation {name} must be one line of at most {MAX_VALUE} characters; write a shorter one"
    if ask.verb is Verb.PROMOTE and not _PROMOTE.fullmatch(value):
        return (
            f'annotation {name}: "{value}" must be step@ or full@ and then a word that is new each time, '
            "e.g. step@2026-11-28T10:00:00Z"
        )
    if not value.strip():
        return f'annotation {name}: "{value}" is empty; write a word that is new each time, e.g. 2026-11-28T10:00:00Z'
    return None


def _recorded(value: str) -> str:
    """As it stands in status: the value, or what tells one unfit for it from another."""
    if len(value) <= MAX_VALUE and value.isprintable():
        return value
    return "sha256:" + hashlib.sha256(value.encode(errors="replace")).hexdigest()[:16]


def _named(ask: Asked) -> str:
    return f"{annotation(ask.verb)} ({ask.value})"
