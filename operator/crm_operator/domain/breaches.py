"""How often a guard's value was above its limits: what `breaches` asks, of each version.

An evaluation is a look at values that are all new: every process behind the value was read since the evaluation
before. Looking again at the same samples counts nothing, nor does an Unknown, which ends no run either. `BreachMemory`
is fed by the observer, like `domain/load`, and starts anew with the process: a restart costs evaluations and never
makes a breach.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from crm_operator.api.v1alpha1 import Guard, GuardState, Threshold
from crm_operator.domain.default_guards import guards_of
from crm_operator.domain.world import Evidence, Over, Reading, Unknown, World

#: Samples further apart are no run: three of the longest intervals of reading.
APART = timedelta(minutes=15)
#: While a run is short of what is asked, it is looked at again after this time, though no value changes.
AGAIN = timedelta(seconds=1)

_Side = tuple[str, str | None]  # the guard's name, and the revision; None: over all
_Trial = tuple[str | None, datetime | None]  # the version on trial, and when its rollout began


@dataclass(frozen=True, slots=True)
class _Counted:
    """One guard's value of one version."""

    guard: Guard
    at: datetime  # of the newest sample that counted
    over: Over


class BreachMemory:
    """Of one integration. Bounded by its guards and the versions that run."""

    def __init__(self) -> None:
        self._counted: dict[_Side, _Counted] = {}
        self._trial: _Trial = (None, None)

    def notice(self, world: World) -> Mapping[str, Evidence]:
        """The world's evidence, with the evaluations counted where a guard asks for them."""
        trial = _trial_of(world)
        if trial != self._trial:
            self._counted = {
                side: replace(counted, over=replace(counted.over, total=0)) for side, counted in self._counted.items()
            }
            self._trial = trial
        on_trial = trial[0] is not None
        found, counted = dict(world.evidence), dict[_Side, _Counted]()
        for guard, evidence in _asking(world):
            for revision, reading in (*evidence.by_revision.items(), (None, evidence.overall)):
                side = (guard.name, revision)
                if (now := _count(self._counted.get(side), guard, reading, on_trial=on_trial)) is not None:
                    counted[side] = now
            found[guard.name] = _with(evidence, guard, counted)
        self._counted = counted
        return found


def _count(was: _Counted | None, guard: Guard, reading: Reading | Unknown, *, on_trial: bool) -> _Counted | None:
    if was is not None and was.guard != guard:
        was = None  # other limits, another count
    if isinstance(reading, Unknown) or (was is not None and (reading.oldest or reading.at) <= was.at):
        return was
    before = Over() if was is None else was.over
    if was is not None and reading.at - was.at > APART:
        before = Over(total=before.total)
    over = Over(
        warning=_run(before.warning, guard.warning, reading),
        critical=_run(before.critical, guard.critical, reading),
        total=before.total + (on_trial and _is_above(guard.critical, reading)),
    )
    return _Counted(guard, reading.at, over)


def _run(before: int, limit: Threshold | None, reading: Reading) -> int:
    if _is_above(limit, reading):
        return before + 1
    # Below a limit, a lower bound shows nothing.
    return before if reading.lower_bound is not None else 0


def _is_above(limit: Threshold | None, reading: Reading) -> bool:
    return limit is not None and reading.value > limit.above


def _with(evidence: Evidence, guard: Guard, counted: Mapping[_Side, _Counted]) -> Evidence:
    def told(revision: str | None, reading: Reading | Unknown) -> Reading | Unknown:
        found = counted.get((guard.name, revision))
        return reading if isinstance(reading, Unknown) or found is None else replace(reading, over=found.over)

    return replace(
        evidence,
        overall=told(None, evidence.overall),
        by_revision={revision: told(revision, reading) for revision, reading in evidence.by_revision.items()},
    )


def stands(guard: Guard, reading: Reading, state: GuardState) -> bool:
    """Whether a value above the limit of `state` was so often enough; of a guard with `breaches`."""
    assert guard.breaches is not None
    over, need = reading.over or Over(), guard.breaches
    if state is GuardState.WARNING:
        return over.warning >= need.consecutive
    return over.critical >= need.consecutive or (need.total is not None and over.total >= need.total)


def shown(guard: Guard, reading: Reading, state: GuardState) -> str:
    """A clause: how often, of how many; empty where nobody asks."""
    if guard.breaches is None or state is GuardState.OK:
        return ""
    over, need = reading.over or Over(), guard.breaches
    running = over.critical if state is GuardState.CRITICAL else max(over.critical, over.warning)
    if running >= need.consecutive:
        return f"in {running} evaluations running"
    if state is GuardState.CRITICAL:
        return f"in {over.total} evaluations of this rollout"
    return f"in {running} of {need.consecutive} evaluations running (breaches)"


def look_again(world: World) -> datetime | None:
    """When a run that is short of what is asked is to be looked at, though nothing changes."""
    for guard, evidence in _asking(world):
        for reading in (evidence.overall, *evidence.by_revision.values()):
            if isinstance(reading, Reading) and _is_short(guard, reading.over or Over()):
                return world.now + AGAIN
    return None


def _is_short(guard: Guard, over: Over) -> bool:
    assert guard.breaches is not None
    return any(0 < run < guard.breaches.consecutive for run in (over.warning, over.critical))


def _asking(world: World) -> Iterator[tuple[Guard, Evidence]]:
    for guard, _ in guards_of(world.spec.guards):
        evidence = world.evidence.get(guard.name)
        if guard.breaches is not None and evidence is not None:
            yield guard, evidence


def _trial_of(world: World) -> _Trial:
    rollout = world.status.rollout
    return (None, None) if rollout is None else (rollout.candidate_revision, rollout.start_time)
