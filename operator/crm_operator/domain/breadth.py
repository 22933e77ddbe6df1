"""In how many workspaces a counter grew: what a guard's `minWorkspaces` asks, so that one customer stops nobody else.

A workspace is a value of the label `workspace`. Only their number is asked, so a hash stands for each: no customer's
name is kept, and a name may be of any length. What grows is counted by the rules of `series`: a value below the one
before began anew, and an increase counts in a window only if the time in which it can have happened is no longer than
the window. Of all increases only the newest is remembered: when that is too wide for a window, those before it lie
outside. Memory is bounded by MAX_WORKSPACES of a process, twice. Pure; used by `scraped` and `reductions`.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import NamedTuple

from crm_operator.api.v1alpha1 import Guard
from crm_operator.domain.world import Reading, Unknown

LABEL = "workspace"
#: Of one metric of one process. Far above what any guard may ask for.
MAX_WORKSPACES = 1000

#: The counter of each workspace, by the hash of its name.
Workspaces = Mapping[int, float]


def workspaces_of(name: str, series: Iterable[tuple[str | None, float]]) -> Workspaces | Unknown:
    """The counters by workspace, from each series' label (None: it has none) and value (finite, >= 0).

    A series without the label belongs to no workspace. If there are series and none has it, nobody can tell.
    """
    found: dict[int, float] = {}
    unlabelled = False
    for label, value in series:
        if not label:
            unlabelled = True
            continue
        key = hash(label)
        found[key] = found.get(key, 0.0) + value
        if len(found) > MAX_WORKSPACES:
            return Unknown(f"{name} has more than {MAX_WORKSPACES} workspaces", "TooManyWorkspaces")
    if unlabelled and not found:
        return Unknown(f"{name} has no label {LABEL}, which minWorkspaces counts", "LabelMissing")
    return found


class _Growth(NamedTuple):
    """A counter grew after `since` and not after `at`."""

    since: datetime
    at: datetime


class WorkspaceSeries:
    """One metric of one process, by workspace."""

    def __init__(self, *, started_at: datetime | None) -> None:
        self._started_at = started_at
        self._values: Workspaces = {}
        self._grew: dict[int, _Growth] = {}  # the newest increase
        self._seen_at: datetime | None = None

    def record(self, values: Workspaces, at: datetime) -> None:
        """Take the newest values. A workspace that was not there counts from zero."""
        since = self._started_at if self._seen_at is None else self._seen_at
        at = at if self._seen_at is None else max(at, self._seen_at)
        if since is not None:
            for workspace, value in values.items():
                if value > 0 and value != self._values.get(workspace):
                    self._grew[workspace] = _Growth(min(since, at), at)
        self._values, self._seen_at = values, at
        if len(self._grew) > 2 * MAX_WORKSPACES:
            # Names that come and go. Those that stay are more than any guard asks for.
            newest = sorted(self._grew.items(), key=lambda item: item[1].at)[-MAX_WORKSPACES:]
            self._grew = dict(newest)

    def grown(self, window: timedelta, now: datetime) -> set[int]:
        """The workspaces whose counter grew within `window` before `now`."""
        begin = now - window
        return {key for key, growth in self._grew.items() if growth.at > begin and growth.at - growth.since <= window}

    def forget_before(self, time: datetime) -> None:
        """Drop the increases seen at or before `time`."""
        if any(growth.at <= time for growth in self._grew.values()):
            self._grew = {key: growth for key, growth in self._grew.items() if growth.at > time}

    @property
    def remembered(self) -> int:
        """Workspaces that are stored."""
        return len(self._grew.keys() | self._values.keys())


def is_broad(guard: Guard, reading: Reading) -> bool:
    """Whether as many workspaces have trouble as the guard asks for. What is not known is not enough."""
    return not guard.min_workspaces or (reading.breadth is not None and reading.breadth.count >= guard.min_workspaces)


def shown(guard: Guard, reading: Reading) -> str:
    """A clause: in how many workspaces; empty where nobody asks."""
    if not guard.min_workspaces or reading.breadth is None:
        return ""
    count, unsure = reading.breadth.count, reading.breadth.unsure
    at_least = "at least " if unsure is not None or reading.lower_bound is not None else ""
    if count >= guard.min_workspaces:
        return f"in {at_least}{count} workspaces"
    why = f"; {unsure.why}" if unsure is not None else ""
    return f"in {at_least}{count} of {guard.min_workspaces} workspaces (minWorkspaces){why}"
