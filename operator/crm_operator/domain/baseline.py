"""What the trusted version did while nothing was wrong: for when no worker of it is left to compare with.

A version that fails now and then crosses a limit now and then. Beside a stable version `blame` sees that; in the bake
there is none. `BaselineMemory` keeps the guards' windows of the trusted version, one after the other; the rollout
writes their sum into status when it begins and when it promotes, so that a restart does not forget it.

Windows that were Critical are left out: what an outage did is not what is usual, and excuses nobody. So a baseline
never exceeds the limit. Fed by the observer on every look, like `domain/load`.

Other values than counted events have no sum; of them the highest of each window, or minute, is kept.
"""

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from crm_operator.api.v1alpha1 import Guard, GuardBaseline, Reduce, RolloutPhase
from crm_operator.domain.default_guards import guards_of
from crm_operator.domain.world import Evidence, Reading, Unknown, World

#: Windows are remembered for so long: what a version did yesterday says less of today.
KEPT = timedelta(hours=1)
#: A recorded one counts for so long. Each hour of the day is like itself a day before.
LASTS = timedelta(hours=24)
#: A pod may claim any number; beyond this one a float does not count on.
_MOST = 2.0**53
#: Of a value without a window, the highest of so long is remembered.
_EACH = timedelta(minutes=1)
#: Counters of events.
COUNTING = (Reduce.INCREASE, Reduce.RATE)
#: Phases in which nothing but the trusted version works, or it works beside the one on trial.
_QUIET, _BESIDE = (RolloutPhase.STABLE,), (RolloutPhase.CANARY, RolloutPhase.ROLLED_BACK)


@dataclass(frozen=True, slots=True)
class _Window:
    """One window of a guard, not above its critical limit."""

    at: datetime  # its end; of a value without a window, its beginning
    value: float
    events: float | None  # None: it is no count
    jobs: float | None


@dataclass(slots=True)
class BaselineMemory:
    """Of one integration; bounded by its guards and by KEPT. It starts anew when another version is trusted."""

    _revision: str | None = None
    _guards: dict[str, Guard] = field(default_factory=dict)
    _windows: dict[str, deque[_Window]] = field(default_factory=dict)

    def notice(self, world: World) -> Mapping[str, GuardBaseline]:
        """Take the world's newest readings. By guard, of those that have a window."""
        rollout = world.status.rollout
        trusted = None if rollout is None else rollout.stable_revision
        if trusted is None or trusted != self._revision:
            self._windows, self._revision = {}, trusted
        guards = {guard.name: guard for guard, _ in guards_of(world.spec.guards) if _is_asked_for(guard)}
        # What an edited guard has counted may be something else.
        same = [name for name, guard in guards.items() if self._guards.get(name) == guard]
        self._windows = {name: self._windows[name] for name in same if name in self._windows}
        self._guards = guards
        if rollout is not None and trusted is not None:
            for guard in guards.values():
                self._take(world, guard, rollout.phase, trusted)
        return {name: _summed(guards[name], windows) for name, windows in self._windows.items()}

    def _take(self, world: World, guard: Guard, phase: RolloutPhase, trusted: str) -> None:
        windows, window = self._windows.get(guard.name, deque()), _length(guard)
        while windows and windows[0].at <= world.now - max(KEPT, window):
            windows.popleft()
        counts, due = guard.reduce in COUNTING, not windows or world.now >= windows[-1].at + window
        # A reading of a window holds all of it, and one more in between would have one moment in two windows.
        asked = (due or guard.window is None) and not world.pauses
        reading = _of_trusted(world.evidence.get(guard.name), phase, trusted) if asked else None
        if reading is not None and reading.lower_bound is None and not _is_critical(guard, reading):
            count = events(guard, reading) if counts else None
            seen = _Window(world.now, standing(reading), count, jobs(reading) if counts else None)
            if due:
                windows.append(seen)
            elif seen.value > windows[-1].value:
                windows[-1] = replace(windows[-1], value=seen.value)
        if windows:
            self._windows[guard.name] = windows
        else:
            self._windows.pop(guard.name, None)


def joined(before: Sequence[GuardBaseline], seen: Mapping[str, GuardBaseline]) -> list[GuardBaseline]:
    """The recorded ones with what was seen since: after a restart of the operator the record may know more."""
    best = {item.guard: item for item in before}
    for name, item in seen.items():
        if name not in best or item.seconds >= best[name].seconds:
            best[name] = item
    return [best[name] for name in sorted(best)]


def of(guard: str, baseline: Iterable[GuardBaseline], now: datetime) -> GuardBaseline | None:
    """The recorded one of a guard, while it counts."""
    return next((item for item in baseline if item.guard == guard and now - item.time < LASTS), None)


def standing(reading: Reading) -> float:
    """The value, of a gauge what it had twice running, as a breach must."""
    return reading.value if reading.previous is None else min(reading.value, reading.previous)


def events(guard: Guard, reading: Reading) -> float:
    """What a guard that counts has counted in its window."""
    seconds: float = guard.window.total_seconds() if guard.reduce is Reduce.RATE and guard.window is not None else 1.0
    return reading.value * seconds


def jobs(reading: Reading) -> float | None:
    """Jobs that were finished in the window. None: nobody counts them."""
    return reading.recent[-1].base if reading.recent else None


def _is_asked_for(guard: Guard) -> bool:
    return guard.warning is not None or guard.reduce in COUNTING


def _length(guard: Guard) -> timedelta:
    """Of one window in memory."""
    window: timedelta = guard.window or timedelta()
    return window or _EACH


def _of_trusted(evidence: Evidence | None, phase: RolloutPhase, trusted: str) -> Reading | None:
    """The trusted version's reading; that of all workers where versions cannot be told apart, while it works alone."""
    found: Reading | Unknown | None = None
    if evidence is not None and evidence.by_revision:
        found = evidence.by_revision.get(trusted) if phase in _QUIET + _BESIDE else None
    elif evidence is not None and phase in _QUIET:
        found = evidence.overall
    return found if isinstance(found, Reading) else None


def _is_critical(guard: Guard, reading: Reading) -> bool:
    return guard.critical is not None and reading.value > guard.critical.above


def _summed(guard: Guard, windows: Sequence[_Window]) -> GuardBaseline:
    counted = [window.events for window in windows if window.events is not None]
    done = [window.jobs for window in windows if window.jobs is not None]
    highest = sorted((window.value for window in windows), reverse=True)
    return GuardBaseline(
        guard=guard.name,
        events=round(min(_MOST, sum(counted))) if counted else None,
        jobs=round(min(_MOST, sum(done))) if len(done) == len(windows) else None,
        level=f"{highest[1]:.6g}" if len(highest) > 1 else None,
        seconds=max(1, round(_length(guard).total_seconds() * len(windows))),
        time=windows[-1].at,
    )
