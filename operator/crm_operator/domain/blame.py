"""Who is to blame when the version on trial crosses a limit: the release, the provider, or nobody yet.

A provider's outage hits both versions, so the release is to blame only if the stable version clearly fails less
(likeness.py). Asked by guards.py for every Critical verdict that has values per version.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from crm_operator.api.duration import render
from crm_operator.api.v1alpha1 import Guard, GuardBaseline, GuardState, GuardStatus
from crm_operator.domain import baseline
from crm_operator.domain.lasting import lasting_breach, lasting_outage
from crm_operator.domain.likeness import (
    MANY,
    PATIENCE,
    SAME_MOMENT,
    Likeness,
    as_often,
    at_most,
    compare,
    settled,
    share_of,
)
from crm_operator.domain.min_jobs import TOO_FEW_JOBS
from crm_operator.domain.scraped import METRIC_MISSING
from crm_operator.domain.world import Neighbour, Reading, Unknown

Blame = Literal["revision", "provider", "undecided"]

BLAMED: Mapping[str, str] = {
    "revision": "the revision is to blame",
    "provider": "the provider is to blame",
    "undecided": "nobody is blamed yet",
}

#: A version that has errors now and then crosses a limit now and then, and is looked at thousands of times. So where
#: stable has errors too, a version that fails no oftener must have so many this rarely: docs/benchmarks.md, "Noise".
CHANCE = 1e-6

#: ... and for so many windows running it is none either: chance comes and goes.
LASTING = 6

#: With no stable worker beside it: trouble of the provider's other integrations that began no longer before is the
#: same, and one of them that is at Warning by now has this long to show that it fails as well.
TOGETHER, NEIGHBOURS_PATIENCE = timedelta(minutes=1), timedelta(seconds=10)
#: What one of them is to show comes with its next look, and has so long to be judged and recorded.
RECORDED_WITHIN = timedelta(seconds=1)

#: A stable version that runs beside it and cannot be read has this long, in which a worker that hung is asked again.
UNREAD_PATIENCE = timedelta(seconds=30)
#: One that is read, and has hardly ended a job since the trouble began, has this long to get some: a version that fails
#: fast asks an empty queue oftener, and takes the jobs and all retries (tests/unit/domain/test_blame_beside_idle.py).
IDLE_PATIENCE = timedelta(seconds=10)
#: Why one that was read has no value. A counter with labels may not be there before its first error.
_READ = frozenset({METRIC_MISSING, TOO_FEW_JOBS, "NoData", "WindowNotFilled"})

#: A provider that was to blame stays so until stable has clearly less than the new version for a while: when an outage
#: ends, the two versions' last errors leave the window at different moments.
CLEARLY_LESS = 0.1
CLEAR_FOR = timedelta(seconds=5)
#: ... or for this share of the window, whichever is longer.
CLEAR_SHARE = 0.05


@dataclass(frozen=True, slots=True)
class Past:
    """What the trusted version did before, for a version with no other one beside it."""

    did: GuardBaseline
    ran: timedelta  # for how long the version on trial has run, > 0: of its window, what it can have filled

    def explains(self, guard: Guard, mine: Reading, *, chance: float = CHANCE) -> bool:
        """Whether a version that fails no oftener, by its jobs, could have so many errors in the window.

        As beside a stable version: half as often is as well, and else it must not be rarer than `chance`. By time where
        jobs are not counted on both sides. What is known of less than the window is no baseline: it would explain
        anything.
        """
        if guard.reduce not in baseline.COUNTING or not self.did.events:
            return False
        errors, done = baseline.events(guard, mine), baseline.jobs(mine)
        if done and self.did.jobs:
            base, past = done, float(self.did.jobs)
        else:
            base = min(self.ran, guard.window or self.ran).total_seconds()
            past = float(self.did.seconds)
        return past >= base and as_often(errors, base, self.did.events, past, chance=chance)

    @property
    def shown(self) -> str:
        """`what the version before had (94 in 180000 jobs, 1h)`, `... (2.5 more than once in 1h)`"""
        time = render(timedelta(seconds=self.did.seconds))
        if self.did.events is None:
            return f"what the version before had ({self.did.level} more than once in {time})"
        jobs = "" if self.did.jobs is None else f"{self.did.jobs} jobs, "
        return f"what the version before had ({self.did.events} in {jobs}{time})"


@dataclass(frozen=True, slots=True)
class Finding:
    """Whom a breach blames."""

    blame: Blame
    why: str = ""  # a clause, when numbers alone do not tell
    stable_clear: bool = False  # the provider is still to blame, and stable does clearly better by now
    by_chance: bool = False  # nobody is blamed, since a version as good as the trusted one does this now and then


def find(
    guard: Guard,
    mine: Reading,
    other: Reading | Unknown | None,
    was: GuardStatus | None,
    now: datetime,
    neighbours: Sequence[Neighbour] = (),
    past: Past | None = None,
    beside: bool = False,
) -> Finding:
    """Whom `mine`, a critical reading of the version on trial, blames; `other` is stable's, `was` the last verdict.

    `past` is what the trusted version did before; it is asked when there is no `other`. `beside`: stable workers are
    to run now, so that what cannot be read of them is missing, and not over.
    """
    outage, breach = lasting_outage(was), lasting_breach(was)
    began = now if breach is None else breach.since
    if not isinstance(other, Reading):
        if outage is not None:
            return Finding("provider", "since an outage of both")
        found = alone(guard, mine, neighbours, past, began=began, now=now)
        if found.blame != "revision" or other is None or not beside:
            return found
        if now - began < (IDLE_PATIENCE if other.reason in _READ else UNREAD_PATIENCE):
            return Finding("undecided", "which is to be read, and to have ended jobs, before anybody is blamed")
        return found
    if compare(guard, mine, other) is Likeness.ALIKE:
        return Finding("provider", f"which {Likeness.ALIKE.value}")
    if outage is not None:
        found = _after_an_outage(guard, mine, other, outage, now)
    else:
        likeness = settled(guard, mine, other, began=began, now=now)
        found = Finding("revision") if likeness is Likeness.LESS else _OPEN[likeness]
        ends = _waits_until(likeness, other, began, beside=beside)
        if found.blame == "undecided" and now >= min(ends, began + PATIENCE):
            # As with no stable worker beside it; while one is, what was before it is no excuse.
            told = alone(guard, mine, neighbours, None if beside else past, began=began, now=now)
            found = told if told.blame == "provider" or now >= ends else found
    if found.blame == "revision" and _by_chance(guard, mine, other):
        return Finding("undecided", "no more than chance makes of what stable has as well", by_chance=True)
    return found


_OPEN: Mapping[Likeness, Finding] = {
    Likeness.EARLY: Finding("undecided", f"which {Likeness.EARLY.value}"),
    Likeness.UNSETTLED: Finding("undecided", f"where there are {Likeness.UNSETTLED.value} whether the provider fails"),
}


def _waits_until(likeness: Likeness, other: Reading, began: datetime, *, beside: bool) -> datetime:
    """Until when a stable version that does not tell is waited for."""
    if not beside:
        # It is being replaced, or ends: it has less and less to tell, or cannot any more.
        return began if other.is_last else began + PATIENCE
    longest = began + UNREAD_PATIENCE
    if likeness is Likeness.EARLY or other.read_since is None:
        return longest
    # What it did while it could not be read is not known of the last seconds.
    return min(max(began, other.read_since) + IDLE_PATIENCE, longest)


def alone(
    guard: Guard, mine: Reading, neighbours: Sequence[Neighbour], past: Past | None, *, began: datetime, now: datetime
) -> Finding:
    """With no stable worker to compare with: the provider's other integrations tell, and what was before."""
    found = by_neighbours(guard, neighbours, began=began, now=now)
    if found.blame == "revision" and past is not None and past.explains(guard, mine):
        if now >= chance_ends(guard, began):
            return Finding("revision", f"for {render(now - began)}, longer than chance makes of {past.shown}")
        return Finding("undecided", f"no more than chance makes of {past.shown}", by_chance=True)
    return found


def chance_ends(guard: Guard, began: datetime) -> datetime:
    """When a breach that `began` then, and never paused, is more than chance; of a guard that counts."""
    window: timedelta = guard.window or timedelta()
    return began + LASTING * window


def is_lost(other: Reading | Unknown | None, mine: Reading | Unknown, was: GuardStatus | None, now: datetime) -> bool:
    """Whether `other` is not read again although all workers have been read closely since nobody could be blamed.

    When the bake begins the stable version's last workers still end, and stop telling before they are gone.
    """
    if not isinstance(other, Reading) or not isinstance(mine, Reading) or other.at >= mine.at - SAME_MOMENT:
        return False
    return was is not None and was.blame == "undecided" and now - was.since >= SAME_MOMENT


def is_finding(guards: Sequence[GuardStatus], now: datetime) -> bool:
    """Whether news of the next moment may tell whom to blame.

    What is undecided for longer waits for more jobs, not for news of those that there are.
    """
    return any(guard.blame == "undecided" and now - guard.since < IDLE_PATIENCE for guard in guards)


def _after_an_outage(guard: Guard, mine: Reading, other: Reading, was: GuardStatus, now: datetime) -> Finding:
    """The provider was to blame, and stable does not fail as well any more."""
    clear = share_of(guard, mine, other) < CLEARLY_LESS
    needed: timedelta = max(CLEAR_FOR, (guard.window or timedelta()) * CLEAR_SHARE)
    if not clear or was.stable_clear_time is None or now - was.stable_clear_time < needed:
        return Finding("provider", "since an outage of both", stable_clear=clear)
    return Finding("revision")


def by_neighbours(guard: Guard, neighbours: Sequence[Neighbour], *, began: datetime, now: datetime) -> Finding:
    """With no stable worker to compare with: an outage hits the provider's other integrations at the same time.

    One that has had its trouble for long says nothing of this one's.
    """
    alike = [n for n in neighbours if n.metric == guard.metric.shown]
    new = [n for n in alike if n.since >= began - TOGETHER]
    failing = next((n for n in new if n.state is GuardState.CRITICAL), None)
    if failing is not None:
        return Finding("provider", f"as on {failing.name} since {failing.since:%H:%M:%S}")
    warned = next((n for n in new if n.state is GuardState.WARNING), None)
    if warned is not None and now - began < NEIGHBOURS_PATIENCE:
        return Finding("undecided", f"while {warned.name} begins to fail as well")
    # A new outage may show in one that only keeps the state of the last.
    better = [n for n in alike if n.state is GuardState.OK or n.is_kept]
    unread = [n for n in new if n.state is GuardState.UNKNOWN] + better
    asked = next((n for n in unread if now - began < n.reads_every + RECORDED_WITHIN), None)
    if asked is not None:
        return Finding("undecided", f"until {asked.name} is read, too")
    return Finding("revision")


def _by_chance(guard: Guard, mine: Reading, other: Reading) -> bool:
    """Whether a version that fails no oftener than stable, by its jobs, could have so many errors in the window."""
    if guard.reduce not in baseline.COUNTING or not mine.recent or not other.recent:
        return False
    a, b = mine.recent[-1], other.recent[-1]
    errors = round(a.value + b.value)
    if not a.base or not b.base or not round(b.value) or errors > MANY:
        return False  # nobody counts jobs, stable has no error, or there are so many that shares tell
    return at_most(round(b.value), errors, b.base / (a.base + b.base)) >= CHANCE
