"""When a guard's trouble is over: when its value was not above the limit for a while.

A value around its limit would else turn, and send an Event, with each look or with each event that enters and leaves
the window; and a step could end at a lucky moment. So a guard keeps its state until the value was better for a clean
minute, or for its window, if that is shorter. A state that is only kept holds, and makes nothing happen.

Kept by times in status, so a restart of the operator changes nothing. Asked by guards.py.
"""

from dataclasses import replace
from datetime import datetime, timedelta

from crm_operator.api.duration import render
from crm_operator.api.v1alpha1 import Guard, GuardState, GuardStatus
from crm_operator.domain.blame import Blame
from crm_operator.domain.verdict import Verdict

#: How long a value must not be above its limit, at most, until the trouble counts as over.
CLEAN = timedelta(minutes=1)
_WORSE = (GuardState.OK, GuardState.WARNING, GuardState.CRITICAL)


def kept_for(guard: Guard) -> timedelta:
    """How long the guard's value must not be above its limit until the state follows."""
    return CLEAN if guard.window is None else min(guard.window, CLEAN)


def forgotten_in(guard: Guard) -> timedelta:
    """How long what happened before can show in the guard's value."""
    return guard.window or CLEAN


def kept(verdict: Verdict, was: GuardStatus | None, now: datetime, *, revision: str | None) -> Verdict:
    """The verdict, in the state of before while that is not clear for long enough.

    `was`: the guard in status; `revision`: the version that is judged now, None for all. What was said of another one
    says nothing of this one. A guard without a value is Unknown, and what was kept is forgotten; one that is above a
    limit again, and not often enough yet (`breaches`), has a value, and that is no breach.
    """
    if was is None or was.revision != revision:
        return verdict
    state = GuardState.OK if verdict.state is GuardState.UNKNOWN and verdict.value is not None else verdict.state
    if state not in _WORSE or was.state not in _WORSE or _WORSE.index(was.state) <= _WORSE.index(state):
        return verdict
    since = now if was.clear_time is None else was.clear_time
    lasts = kept_for(verdict.guard)
    over = since + lasts
    if now >= over:
        return verdict
    message = f"{verdict.message}; {was.state.value} until that has lasted {render(lasts)}, at {over:%H:%M:%S}"
    return replace(verdict, state=was.state, blame=_settled(was), clear_since=since, message=message)


def _settled(was: GuardStatus) -> Blame | None:
    """Whom it blames goes on with the state. What nobody could tell is asked anew when it comes again."""
    match was.blame:
        case "revision" | "provider" as blame:
            return blame
        case _:
            return None
