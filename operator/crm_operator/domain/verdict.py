"""What one guard says now, and what is recorded of it. Made by guards.py; read by whatever acts or speaks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from crm_operator.api.duration import render
from crm_operator.api.v1alpha1 import Answer, DecisionEvidence, Guard, GuardState, GuardStatus
from crm_operator.domain.blame import Blame
from crm_operator.domain.lasting import lasting_breach
from crm_operator.domain.world import World


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What one guard says now."""

    guard: Guard
    state: GuardState
    value: float | None = None
    threshold: float | None = None  # the one crossed, else the lowest there is
    samples: int | None = None
    revision: str | None = None  # the version whose value it is; None: of all
    stable_value: float | None = None  # beside `value`, which is then the new version's
    blame: Blame | None = None  # of Critical only
    stable_clear: bool = False  # of Critical with the provider to blame: stable does clearly better by now
    by_chance: bool = False  # of Critical with nobody to blame: as good a version does this now and then
    left_behind: bool = False  # of Critical: likely for what a version did that was rolled back
    of_pause: bool = False  # of Critical: likely for what an automatic pause was made for
    usual: bool = False  # of Warning: the stable version has as much
    clear_since: datetime | None = None  # the state is kept, see clearing.py, and the value has not been so since
    message: str  # why, with numbers
    needs_news: bool = False  # time alone does not change it

    @property
    def name(self) -> str:
        return self.guard.name

    @property
    def objects(self) -> bool:
        """Whether it speaks against the end of a step or of a bake."""
        return self.state not in (GuardState.OK, GuardState.INACTIVE) and not self.usual

    @property
    def acts(self) -> bool:
        """Whether its value is Critical now, so that it may make something happen."""
        return self.state is GuardState.CRITICAL and self.clear_since is None


def said_before(world: World, guard: str) -> GuardStatus | None:
    """What the guard of this name said, as recorded."""
    return next((was for was in world.status.guards if was.name == guard), None)


def critical_since(world: World, guard: str) -> datetime:
    """Since when a guard whose value is Critical is so; now, if it was not before, or only kept its state."""
    lasting = lasting_breach(said_before(world, guard))
    return world.now if lasting is None else lasting.since


def evidence_of(verdict: Verdict) -> DecisionEvidence:
    """What a decision that follows from a verdict rests on."""
    return DecisionEvidence(
        guard=verdict.name,
        value=_recorded(verdict.value),
        stable_value=_recorded(verdict.stable_value),
        threshold=_recorded(verdict.threshold),
        window=_window(verdict.guard),
        samples=verdict.samples,
        blame=verdict.blame,
    )


def _window(guard: Guard) -> str | None:
    return None if guard.window is None else render(guard.window)


def _recorded(value: float | None) -> str | None:
    return None if value is None else number(value)


def recorded(verdicts: Sequence[Verdict], world: World, answers: Mapping[str, Answer]) -> list[GuardStatus]:
    """The verdicts as status, with what answered them; `since` moves only when the state does, or begins anew."""
    before = {was.name: was for was in world.status.guards}
    result = []
    for verdict in verdicts:
        was = before.get(verdict.name)
        result.append(
            GuardStatus(
                name=verdict.name,
                state=verdict.state,
                value=_recorded(verdict.value),
                stable_value=_recorded(verdict.stable_value),
                threshold=_recorded(verdict.threshold),
                window=_window(verdict.guard),
                blame=verdict.blame,
                samples=verdict.samples,
                revision=verdict.revision,
                since=was.since if was is not None and _goes_on(verdict, was) else world.now,
                clear_time=verdict.clear_since,
                stable_clear_time=_stable_clear_time(verdict, was, world.now),
                answer=answers.get(verdict.name),
                message=verdict.message,
            )
        )
    return result


def _goes_on(verdict: Verdict, was: GuardStatus) -> bool:
    """Whether it is the same trouble as before: not one that was over, but for the time that its state is kept."""
    return was.state == verdict.state and (was.clear_time is None or verdict.clear_since is not None)


def _stable_clear_time(verdict: Verdict, was: GuardStatus | None, now: datetime) -> datetime | None:
    if not verdict.stable_clear:
        return None
    return was.stable_clear_time if was is not None and was.stable_clear_time is not None else now


def number(value: float | None) -> str:
    """As text with at most six significant digits."""
    return "none" if value is None else f"{value:.6g}"
