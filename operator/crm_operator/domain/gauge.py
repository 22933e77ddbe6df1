"""A gauge of one process over time, for its average and maximum in a window. Pure: every time is an argument.

A sample stands for the time since the one before it: how often a value is read does not weigh it. The first one, and
one after a gap, stands for a third of the longest time that two samples may lie apart, which is one interval of
reading. Memory is bounded as in `series`. Used by `scraped`.
"""

from collections import deque
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import NamedTuple

from crm_operator.domain.series import COARSENESS, MANY

_ALONE = 3  # a sample without one before it stands for this part of `apart`


class Stretch(NamedTuple):
    """One sample, or several neighbours."""

    since: datetime  # it stands for the time from here
    at: datetime  # its newest sample
    area: float  # value x seconds
    peak: float  # the largest value
    held: float | None  # the largest value that two samples running reached


class GaugeSeries:
    """A number that goes up and down, remembered from `since` on."""

    def __init__(self, since: datetime) -> None:
        self.since = since
        self._stretches: deque[Stretch] = deque()
        self._newest: float | None = None
        self.first_at: datetime | None = None
        self.seen_at: datetime | None = None
        self.forgotten_at: datetime | None = None  # the newest sample that was dropped
        #: Since when it has the value that it has now.
        self.same_since: datetime | None = None

    def record(self, value: float, at: datetime, *, apart: timedelta) -> None:
        """Take the newest value (finite). Samples further apart than `apart` have a gap between them."""
        before, seen_at = self._newest, self.seen_at
        at = at if seen_at is None else max(at, seen_at)
        held: float | None = None
        if before is None or seen_at is None or at - seen_at > apart:
            since = at - apart / _ALONE
        else:
            since, held = seen_at, min(before, value)
        area = value * (at - since).total_seconds()
        self._stretches.append(Stretch(since, at, area, value, held))
        if value != before:
            self.same_since = at
        self._newest, self.first_at, self.seen_at = value, self.first_at or at, at
        if len(self._stretches) > MANY:
            self._thin(at)

    def area(self, window: timedelta, now: datetime, *, without_newest: bool = False) -> tuple[float, float]:
        """Value x seconds over the part of `window` for which there are samples, and how many seconds that is."""
        area = seconds = 0.0
        begin = now - window
        for stretch in self._within(begin, without_newest=without_newest):
            whole = (stretch.at - stretch.since).total_seconds()
            part = (stretch.at - max(stretch.since, begin)).total_seconds()
            if whole > 0:
                area += stretch.area * (part / whole)
                seconds += part
        return area, seconds

    def peak(self, window: timedelta, now: datetime) -> float | None:
        """The largest value within `window`; None: none."""
        return max((stretch.peak for stretch in self._within(now - window)), default=None)

    def held(self, window: timedelta, now: datetime) -> float | None:
        """The largest value that two samples running reached within `window`; None: there are no two."""
        helds = (stretch.held for stretch in self._within(now - window))
        return max((held for held in helds if held is not None), default=None)

    def forget_before(self, time: datetime) -> None:
        """Drop the samples taken at or before `time`."""
        while self._stretches and self._stretches[0].at <= time:
            self.forgotten_at = self._stretches.popleft().at

    @property
    def remembered(self) -> int:
        """Stored stretches."""
        return len(self._stretches)

    def _within(self, begin: datetime, *, without_newest: bool = False) -> Iterator[Stretch]:
        stretches = reversed(self._stretches)
        if without_newest:
            next(stretches, None)
        for stretch in stretches:
            if stretch.at <= begin:
                return
            yield stretch

    def _thin(self, now: datetime) -> None:
        merged: deque[Stretch] = deque()
        for stretch in self._stretches:
            last = merged[-1] if merged else None
            # Across a gap nothing is merged: it would be filled with the average.
            near = last is not None and stretch.since <= last.at
            if last is not None and near and (stretch.at - last.since) * COARSENESS <= now - stretch.at:
                helds = [held for held in (last.held, stretch.held) if held is not None]
                merged[-1] = Stretch(
                    last.since,
                    stretch.at,
                    last.area + stretch.area,
                    max(last.peak, stretch.peak),
                    max(helds, default=None),
                )
            else:
                merged.append(stretch)
        self._stretches = merged
