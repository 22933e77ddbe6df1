"""What a critical guard leads to when no rollback can help: an automatic SyncPause (onCritical.pause).

The request is recorded in status.automaticPause before the SyncPause is made, under a name that the record fixes, so
that a crash in between makes it once. Once made it is the users': they lift it, by `paused: false` or by deleting it,
and the operator never writes it again. While it holds no worker runs, so no guard can tell when the trouble is over;
it does not end by itself.

    none ──critical──> Requested ──made──> Holding ──lifted by a person──> Lifted ──guard clear──> none
                           └──clear before it was made──> none                └──another guard critical──> Requested

Each guard that was Critical under a pause carries `answer: Pause` until it has been OK for its whole window: what a
person lifted is not made again for the same trouble. Called by decide on every pass, after the rollout has moved.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from crm_operator.api.duration import render
from crm_operator.api.v1alpha1 import (
    Answer,
    AutomaticPauseState,
    AutomaticPauseStatus,
    Decision,
    GuardState,
    RolloutPhase,
    RolloutStatus,
)
from crm_operator.domain.blame import BLAMED
from crm_operator.domain.clearing import forgotten_in
from crm_operator.domain.guards import candidate_of
from crm_operator.domain.idle import READY_BUT_IDLE
from crm_operator.domain.plan import CreatePause
from crm_operator.domain.step_back import StepBack
from crm_operator.domain.verdict import Verdict
from crm_operator.domain.world import OwnPause, World

_REASON = 200  # characters, as SyncPause.spec.reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """The automatic pause as it is now, and what is to be done for it."""

    pause: AutomaticPauseStatus | None
    create: CreatePause | None = None
    decisions: tuple[Decision, ...] = ()
    #: By guard, of those that were answered and are not clear since.
    answers: Mapping[str, Answer]
    look_again: datetime | None = None


def respond(world: World, verdicts: Sequence[Verdict], rollout: RolloutStatus, back: StepBack) -> Response:
    """`rollout` is where the rollout stands after this pass, `back` what a growth that broke something led to."""
    pause, decisions = _followed(world, verdicts)
    answers, look_again = _answers(world, verdicts, rollout, pause, back)
    if pause is None or pause.state is AutomaticPauseState.LIFTED:
        if (asking := _asks_for_pause(world, verdicts, answers)) is not None:
            pause = _requested(world, asking)
            decisions += (Decision(time=world.now, what="PauseRequested", why=_announced(world, pause)),)
        elif pause is not None and Answer.PAUSE not in answers.values():
            pause = None
    create = None
    # Somebody else's object of this name is not tried over and over; the integration looks again when it is gone.
    is_open = pause is not None and pause.state is AutomaticPauseState.REQUESTED
    taken = pause == world.status.automatic_pause and world.own_pause is OwnPause.FOREIGN
    if pause is not None and is_open and not taken and _still_critical(pause, verdicts):
        create = CreatePause(name=pause.name, reason=pause.reason, why=f"guard {pause.guard} is Critical")
    return Response(pause=pause, create=create, decisions=decisions, answers=answers, look_again=look_again)


def how_to_lift(namespace: str, pause: str) -> str:
    """The command that ends a pause."""
    return f"""kubectl patch syncpause {pause} -n {namespace} --type merge -p '{{"spec":{{"paused":false}}}}'"""


def _followed(world: World, verdicts: Sequence[Verdict]) -> tuple[AutomaticPauseStatus | None, tuple[Decision, ...]]:
    """The recorded pause after what became of its object."""
    was = world.status.automatic_pause
    if was is None:
        return None, ()
    match was.state, world.own_pause:
        case (AutomaticPauseState.REQUESTED | AutomaticPauseState.LIFTED, OwnPause.PAUSED):
            return was.model_copy(update={"state": AutomaticPauseState.HOLDING}), ()
        case (AutomaticPauseState.REQUESTED, OwnPause.LIFTED):
            return _lifted(world, was, verdicts)
        case (AutomaticPauseState.REQUESTED, _) if _is_moot(world, was, verdicts):
            why = f"SyncPause {was.name} was not made: guard {was.guard} does not ask for it any more"
            return None, (Decision(time=world.now, what="PauseWithdrawn", why=why),)
        case (AutomaticPauseState.HOLDING, OwnPause.LIFTED | OwnPause.ABSENT | OwnPause.FOREIGN):
            return _lifted(world, was, verdicts)
        case _:
            return was, ()


def _lifted(
    world: World, was: AutomaticPauseStatus, verdicts: Sequence[Verdict]
) -> tuple[AutomaticPauseStatus, tuple[Decision, ...]]:
    guard = next((verdict.guard for verdict in verdicts if verdict.name == was.guard), None)
    again = ""
    if guard is not None:
        again = f"; guard {was.guard} asks for no other before it was OK for {render(forgotten_in(guard))}"
    how = "deleted" if world.own_pause is not OwnPause.LIFTED else "lifted"
    decision = Decision(time=world.now, what="PauseLifted", why=f"SyncPause {was.name} was {how}{again}")
    return was.model_copy(update={"state": AutomaticPauseState.LIFTED}), (decision,)


def _is_moot(world: World, was: AutomaticPauseStatus, verdicts: Sequence[Verdict]) -> bool:
    """Nothing asks for it any more. A guard that cannot be read (Unknown) leaves the question open."""
    if not world.spec.on_critical.pause or world.pauses:
        return True
    return not any(v.name == was.guard and (v.acts or v.state is GuardState.UNKNOWN) for v in verdicts)


def _still_critical(pause: AutomaticPauseStatus, verdicts: Sequence[Verdict]) -> bool:
    return any(verdict.name == pause.guard and verdict.acts for verdict in verdicts)


def _answers(
    world: World,
    verdicts: Sequence[Verdict],
    rollout: RolloutStatus,
    pause: AutomaticPauseStatus | None,
    back: StepBack,
) -> tuple[dict[str, Answer], datetime | None]:
    """What each guard's trouble was answered with, and when the first of them may count as over."""
    before = {was.name: was for was in world.status.guards}
    holding = pause is not None and pause.state is AutomaticPauseState.HOLDING
    answers: dict[str, Answer] = {}
    times = []
    for verdict in verdicts:
        was = before.get(verdict.name)
        answer = None if was is None else was.answer
        if holding and pause is not None and pause.guard == verdict.name:
            answer = Answer.PAUSE
        elif verdict.state is GuardState.CRITICAL:
            if world.pauses or verdict.of_pause:
                answer = Answer.PAUSE  # whoever lifts the pause knows of this one as well
            elif verdict.left_behind or (verdict.acts and verdict.blame == "revision" and _is_gone(world, rollout)):
                answer = Answer.ROLLBACK
            elif back.answers(verdict.name, world.now):
                answer = Answer.STEP_BACK
            elif answer is Answer.STEP_BACK:
                answer = None  # it had its time, and did not help
        elif verdict.state is GuardState.OK and answer in (Answer.ROLLBACK, Answer.STEP_BACK):
            answer = None
        elif verdict.state is GuardState.OK and answer is Answer.PAUSE:
            since = was.since if was is not None and was.state is GuardState.OK else world.now
            over = since + forgotten_in(verdict.guard)
            if world.now >= over:
                answer = None
            else:
                times.append(over)
        if answer is not None:
            answers[verdict.name] = answer
    return answers, min(times, default=None)


def _is_gone(world: World, rollout: RolloutStatus) -> bool:
    """The release that a guard blames is rolled back by this pass, or was before."""
    return rollout.phase is RolloutPhase.ROLLING_BACK or candidate_of(world) is None


def _can_roll_back(world: World) -> bool:
    """A release is on trial, and rollout.py takes it back."""
    rollout = world.status.rollout
    return (
        world.spec.on_critical.rollback
        and candidate_of(world) is not None
        and rollout is not None
        and rollout.stable_revision is not None
    )


def _tells_versions_apart(world: World, verdict: Verdict) -> bool:
    evidence = world.evidence.get(verdict.name)
    return evidence is not None and bool(evidence.by_revision)


def _asks_for_pause(world: World, verdicts: Sequence[Verdict], answers: Mapping[str, Answer]) -> Verdict | None:
    """The first critical guard that only a pause can answer."""
    if not world.spec.on_critical.pause or world.pauses:
        return None
    for verdict in verdicts:
        if not verdict.acts or verdict.blame == "undecided":
            continue
        if verdict.blame == "revision" and _can_roll_back(world):
            continue
        if verdict.guard is READY_BUT_IDLE:
            continue  # workers that do nothing do no harm
        match answers.get(verdict.name):
            case Answer.PAUSE | Answer.STEP_BACK:
                continue
            case Answer.ROLLBACK if not _tells_versions_apart(world, verdict):
                continue  # one value for all: what the bad version left behind stays in it
            case _:
                return verdict
    return None


def _requested(world: World, verdict: Verdict) -> AutomaticPauseStatus:
    blame = "" if verdict.blame is None else f"; {BLAMED[verdict.blame]}"
    reason = f"guard {verdict.name}: {verdict.message}{blame}"
    return AutomaticPauseStatus(
        name=f"{world.name}-auto-{world.now:%Y%m%d-%H%M%S}",
        state=AutomaticPauseState.REQUESTED,
        guard=verdict.name,
        request_time=world.now,
        reason=reason if len(reason) <= _REASON else f"{reason[: _REASON - 1]}…",
    )


def _announced(world: World, pause: AutomaticPauseStatus) -> str:
    return (
        f"{pause.reason}. All workers stop; while they do, no guard can tell when it is over, so a person lifts it: "
        f"{how_to_lift(world.namespace, pause.name)}"
    )
