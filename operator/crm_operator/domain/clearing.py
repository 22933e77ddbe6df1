"""When a guard's trouble is over.

What breached stays in a guard's window, so its leaving clears it. The newest value (`Last`) has no window: its guard
keeps the state until the value was no longer above for a minute, or one that swings around its limit would turn, and
send an Event, with each look. A state that is only kept holds, and makes nothing happen.

Kept by times in status, so a restart of the operator changes nothing. Asked by guards.py.
"""

from dataclasses import replace
from datetime import datetime, timedelta

from crm_operator.api.duration import render
from crm_operator.api.v1alpha1 import Guard, GuardState, GuardStatus, Reduce
from crm_operator.domain.verdict import Verdict

#: How long a guard without a window must be clear until its trouble counts as over.
CLEAR_FOR = timedelta(minutes=1)
_WORSE = (GuardState.OK, GuardState.WARNING, GuardState.CRITICAL)


def clear_for(guard: Guard) -> timedelta:
    """How long the guard's value must not be above its limit until a trouble is over."""
    return guard.window or CLEAR_FOR


def kept(verdict: Verdict, was: GuardStatus | None, now: datetime, *, revision: str | None) -> Verdict:
    """The verdict, in the state of before while that is not clear for long enough.

    `was`: the guard in status; `revision`: the version that is judged now, None for all. What was said of another one
    says nothing of this one. A guard without a value is Unknown, and what was kept is forgotten; one that is above a
    limit again, and not often enough yet (`breaches`), has a value, and that is no breach.
    """
    if was is None or verdict.guard.reduce is not Reduce.LAST or was.revision != revision:
        return verdict
    state = GuardState.OK if verdict.state is GuardState.UNKNOWN and verdict.value is not None else verdict.state
    if state not in _WORSE or was.state not in _WORSE or _WORSE.index(was.state) <= _WORSE.index(state):
        return verdict
    since = now if was.clear_time is None else was.clear_time
    over = since + CLEAR_FOR
    if now >= over:
        return verdict
    message = f"{verdict.message}; {was.state.value} until that has lasted {render(CLEAR_FOR)}, at {over:%H:%M:%S}"
    return replace(verdict, state=was.state, clear_since=since, message=message)
