"""What is remembered of one number over time, so that windows can be reduced. Pure: every time is an argument.

Memory is bounded whatever the window: what is older than the window is dropped, changes only are stored, and when
there are many, old neighbours are merged as far as their age makes the difference small (1/64 of it, 1.6 %).
Used by `scraped` for what is scraped and by `sources/queues` for brokers. Times must not run backwards; one that does
is taken as the newest time known. Gauges and histograms have modules of their own.
"""

import operator
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from itertools import accumulate
from typing import Generic, NamedTuple, TypeVar

#: More stored changes than this are thinned. A window of 5m at one reading a second stays exact.
MANY = 512
COARSENESS = 64

A = TypeVar("A")


class Step(NamedTuple, Generic[A]):
    """A counter grew by `amount` (> 0) at some time after `since` and not after `at`."""

    since: datetime
    at: datetime
    amount: A


class Growth(Generic[A]):
    """What one process added over time to something that only grows, read now and then.

    An increase belongs to the time at which it was seen. It counts in a window only if the time in which it can have
    happened is no longer than the window: after a gap of an hour nobody knows whether it fell into the last 5m. The
    first value follows the same rule with the start of the process as its beginning: a young process counts from
    zero, an old one from what it shows first. A source that has the past itself (`whole`) leaves nothing unseen.
    """

    def __init__(
        self, *, started_at: datetime | None, add: Callable[[A, A], A], many: int = MANY, whole: bool = False
    ) -> None:
        self._started_at = started_at
        self._add = add
        self._many = many
        self._whole = whole
        self._steps: deque[Step[A]] = deque()
        self.first_at: datetime | None = None
        self.seen_at: datetime | None = None
        self._forgotten_at: datetime | None = None  # the newest increase that was dropped

    def counts_from(self, window: timedelta) -> bool:
        """Whether a growth over `window` is known at all: two readings, or one of a process younger than that."""
        if self.first_at is None or self.seen_at is None:
            return False
        return self._is_young(window) or self.seen_at > self.first_at

    def filled_at(self, window: timedelta, now: datetime) -> datetime | None:
        """Until when a growth over `window` is only a lower bound. None: all of it is known.

        A process that was older than the window when it was first read may have added before; so may one that was not
        read for longer than the window. Of a window that has become longer, some may be forgotten.
        """
        if self._whole or self.first_at is None:
            return None
        begin = now - window
        hidden = [step.at for step in self._seen_after(begin) if step.at - step.since > window]
        if not self._is_young(window) and self.first_at > begin:
            hidden.append(self.first_at)
        if self._forgotten_at is not None and self._forgotten_at > begin:
            hidden.append(self._forgotten_at)
        return max(hidden) + window if hidden else None

    def forget_before(self, time: datetime) -> None:
        """Drop the increases seen at or before `time`."""
        while self._steps and self._steps[0].at <= time:
            self._forgotten_at = self._steps.popleft().at

    @property
    def remembered(self) -> int:
        """Stored increases."""
        return len(self._steps)

    @property
    def grown_since(self) -> datetime | None:
        """The newest increase is of after this time. None: none is remembered."""
        return self._steps[-1].since if self._steps else None

    def _is_young(self, window: timedelta) -> bool:
        return self._started_at is not None and self.first_at is not None and self.first_at - self._started_at <= window

    def _grown(self, amount: A | None, at: datetime) -> None:
        """It was read at `at` and has grown by `amount` since the reading before, or its start. None: not at all."""
        since = self._started_at if self.seen_at is None else self.seen_at
        self.first_at, self.seen_at = self.first_at or at, at
        if amount is None or since is None:
            return
        self._steps.append(Step(min(since, at), at, amount))
        if len(self._steps) > self._many:
            self._thin(at)

    def _within(self, window: timedelta, now: datetime) -> Iterator[A]:
        """The amounts that were added within `window` before `now`."""
        return (step.amount for step in self._seen_after(now - window) if step.at - step.since <= window)

    def _seen_after(self, begin: datetime) -> Iterator[Step[A]]:
        for step in reversed(self._steps):
            if step.at <= begin:
                return
            yield step

    def _thin(self, now: datetime) -> None:
        """Merge neighbours that are close together for their age; sums and newest times stay."""
        coarseness = COARSENESS * self._many // MANY
        merged: deque[Step[A]] = deque()
        for step in self._steps:
            last = merged[-1] if merged else None
            if last is not None and (step.at - last.since) * coarseness <= now - step.at:
                merged[-1] = Step(last.since, step.at, self._add(last.amount, step.amount))
            else:
                merged.append(step)
        self._steps = merged


class CounterSeries(Growth[float]):
    """A counter of one process.

    started 12:00, first seen 12:02 with 7, then 12:03 with 9: the increase in 5m is 9, in 1m it is 2.

    `one_process=False`: who answers is not known, e.g. one of several replicas behind a Service. What a counter shows
    after it fell is then another's history perhaps, so it counts for nothing, and the window is not whole any more.

    `told_of_restarts`: `restarted` says when the process began anew, a moment before or after that shows. Any other
    fall means that something else answers. Until it is forgotten, only what exceeds the value before it counts in
    windows: 12, 3, 12 are no errors.
    """

    def __init__(
        self,
        *,
        started_at: datetime | None = None,
        whole: bool = False,
        one_process: bool = True,
        told_of_restarts: bool = False,
    ) -> None:
        super().__init__(started_at=started_at, add=operator.add, whole=whole)
        self._one_process = one_process
        self.told_of_restarts = told_of_restarts
        self._restarted = False  # and not read since
        self._fell_at: deque[datetime] = deque(maxlen=2)  # without a restart; the newest last
        self._counted_up_to = 0.0  # before these falls
        #: The newest value; None: never read.
        self.value: float | None = None
        #: Counted since the process began, restarts of the counter included. It moves whenever the counter rises.
        self.lifetime = 0.0

    def record(self, value: float, at: datetime) -> None:
        """Take the newest value (finite, >= 0). A value below the one before means that the counter began anew."""
        value = float(value)
        at = at if self.seen_at is None else max(at, self.seen_at)
        if self.value is None:
            amount = risen = value
        elif value < self.value:
            amount = risen = self._after_fall(self.value, value, at)
        else:
            risen = value - self.value
            amount = max(0.0, value - max(self.value, self._counted_up_to))
        self._restarted = False
        self.lifetime += risen
        self._grown(amount or None, at)
        self.value = value

    def restarted(self) -> None:
        """The process began anew. A fall that is not explained yet was this; else the next reading may fall."""
        if not self._fell_at or self.value is None or self.seen_at is None:
            self._restarted = True
            return
        self._fell_at.pop()
        self._grown(min(self.value, self._counted_up_to) or None, self.seen_at)
        self._counted_up_to = 0.0

    def forget_before(self, time: datetime) -> None:
        super().forget_before(time)
        if self._fell_at and self._fell_at[-1] <= time:
            self._fell_at.clear()
            self._counted_up_to = 0.0

    def filled_at(self, window: timedelta, now: datetime) -> datetime | None:
        begin = now - window
        times = [at + window for at in self._fell_at if at > begin]
        return max([*times, *filter(None, [super().filled_at(window, now)])], default=None)

    def is_unsteady(self, window: timedelta, now: datetime) -> bool:
        """It fell twice within `window`, and is not known to be of one process: several seem to answer in turn."""
        return len([at for at in self._fell_at if at > now - window]) > 1

    def increase(self, window: timedelta, now: datetime) -> float:
        """What was added within `window` before `now`."""
        return sum(self._within(window, now), 0.0)

    def increases(self, spans: Sequence[timedelta], now: datetime) -> list[float]:
        """The increase within each of `spans`, the shortest first, in one pass over what is remembered."""
        count = len(spans)
        found = [0.0] * count
        begins = [now - span for span in spans]
        first = 0  # the shortest that reaches back to the step
        for step in self._seen_after(begins[-1]):
            while step.at <= begins[first]:
                first += 1
            known = first
            took = step.at - step.since
            while known < count and took > spans[known]:
                known += 1
            if known < count:
                found[known] += step.amount
        return list(accumulate(found))

    def _after_fall(self, before: float, value: float, at: datetime) -> float:
        """What counts of a value that is below the one before."""
        if self._restarted or (self._one_process and not self.told_of_restarts):
            self._counted_up_to = 0.0
            return value
        self._fell_at.append(at)
        if self.told_of_restarts:
            self._counted_up_to = max(self._counted_up_to, before)
        return 0.0


class LevelSeries:
    """A number that goes up and down, read now and then; remembers what it was when a window began."""

    def __init__(self) -> None:
        self._points: deque[tuple[datetime, float]] = deque()  # where it changed

    def record(self, value: float, at: datetime) -> None:
        """Take the newest value."""
        if self._points and self._points[-1][1] == value:
            return
        self._points.append((at, value))
        if len(self._points) > MANY:
            self._thin(at)

    def at(self, time: datetime) -> float | None:
        """Its value at `time`; the first one known if `time` is before that. None: never read."""
        value = self._points[0][1] if self._points else None
        for changed, level in self._points:
            if changed > time:
                break
            value = level
        return value

    def filled_at(self, window: timedelta, now: datetime) -> datetime | None:
        """Until when its value at the beginning of `window` is not known; None: it is."""
        first_at = self._points[0][0] if self._points else now
        return first_at + window if first_at > now - window else None

    def forget_before(self, time: datetime) -> None:
        """Drop what is not needed to know the value at `time` and later."""
        while len(self._points) > 1 and self._points[1][0] <= time:
            self._points.popleft()

    @property
    def remembered(self) -> int:
        """Stored changes."""
        return len(self._points)

    def _thin(self, now: datetime) -> None:
        kept: deque[tuple[datetime, float]] = deque()
        for point in self._points:
            while len(kept) > 1 and (point[0] - kept[-2][0]) * COARSENESS <= now - point[0]:
                kept.pop()
            kept.append(point)
        self._points = kept


class PeakWindow:
    """The largest of the values within a window, in constant time per value (a monotonic deque).

    A value lasts until the next one is recorded, however long that takes. Bounded by the number of values in the
    window, and far below it unless they only fall.
    """

    def __init__(self) -> None:
        self._falling: deque[tuple[datetime, float]] = deque()  # until when a value lasted, and the value

    def record(self, value: float, at: datetime, *, window: timedelta) -> None:
        """Take the newest value and drop what has left the window."""
        if self._falling:
            self._falling[-1] = (at, self._falling[-1][1])
        while self._falling and self._falling[-1][1] <= value:
            self._falling.pop()
        self._falling.append((at, value))
        while len(self._falling) > 1 and self._falling[0][0] <= at - window:
            self._falling.popleft()

    @property
    def peak(self) -> float | None:
        """None: no value yet."""
        return self._falling[0][1] if self._falling else None

    @property
    def falls_at(self) -> datetime | None:
        """Until when the peak lasted, if a lower value came after it; None: the newest value is the peak."""
        return self._falling[0][0] if len(self._falling) > 1 else None
