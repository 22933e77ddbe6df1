"""A histogram of one process over time, and the quantile of what was observed in a window. Pure.

Used by `scraped` and `reductions`. Memory is bounded by MAX_BOUNDS and by the number of steps, as in `series`, with
fewer and so coarser ones (1/16 of their age): one pod's histogram takes at most 70 KB.
"""

import math
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from crm_operator.domain.series import Growth

#: A histogram with more buckets is not read. Prometheus's clients make 11 to 20.
MAX_BOUNDS = 64
_STEPS = 128

#: Upper bounds, rising, the last one +Inf, each with how many observations are at or below it.
Buckets = tuple[tuple[float, float], ...]


def buckets_of(counts: Mapping[float, float]) -> Buckets | None:
    """Counts by upper bound, in order. None: it has no +Inf bucket, or its counts fall, are below 0 or have no end."""
    ordered = tuple(sorted(counts.items()))
    if not ordered or ordered[-1][0] != math.inf or any(math.isnan(bound) for bound in counts):
        return None
    counted = [count for _, count in ordered]
    rises = counted == sorted(counted) and counted[0] >= 0
    return ordered if rises and all(map(math.isfinite, counted)) else None


class HistogramSeries(Growth[tuple[float, ...]]):
    """The buckets of one histogram of one process."""

    def __init__(self, *, started_at: datetime | None = None, whole: bool = False) -> None:
        super().__init__(started_at=started_at, add=_plus, many=_STEPS, whole=whole)
        self.bounds: tuple[float, ...] = ()
        self._counts: tuple[float, ...] = ()

    def record(self, buckets: Buckets, at: datetime) -> None:
        """Take the newest counts. One that fell means that all began anew, and other bounds that nothing is known."""
        at = at if self.seen_at is None else max(at, self.seen_at)
        bounds, counts = tuple(bound for bound, _ in buckets), tuple(count for _, count in buckets)
        if bounds != self.bounds and (any(self._counts) or self._steps):
            self._begin_anew()
        goes_on = bounds == self.bounds and all(new >= old for new, old in zip(counts, self._counts, strict=True))
        amounts = _minus(counts, self._counts) if goes_on else counts
        self.bounds, self._counts = bounds, counts
        self._grown(amounts if any(amounts) else None, at)

    def growth(self, window: timedelta, now: datetime) -> dict[float, float]:
        """How many observations of the last `window` are at or below each bound."""
        total = [0.0] * len(self.bounds)
        for amounts in self._within(window, now):
            total = [a + b for a, b in zip(total, amounts, strict=True)]
        return dict(zip(self.bounds, total, strict=True))

    def _begin_anew(self) -> None:
        self._steps.clear()
        self._started_at = self.first_at = self.seen_at = None
        self._counts = ()


def added(growths: Sequence[Mapping[float, float]]) -> dict[float, float]:
    """Several histograms as one, over the bounds that all of them have."""
    if not growths:
        return {}
    common = set(growths[0]).intersection(*growths[1:])
    return {bound: sum(growth[bound] for growth in growths) for bound in sorted(common)}


def quantile(q: float, counts: Mapping[float, float]) -> float | None:
    """The value below which the share `q` (0 < q < 1) of the observations lies; `counts` as of `added`.

    Linear within a bucket, and from 0 in the first one, as Prometheus's histogram_quantile does; in the +Inf bucket it
    is the highest finite bound. None: nothing was observed, or there is no finite bound.

    1: 50, 2: 90, +Inf: 100 -> q 0.5 is 1, q 0.7 is 1.5, q 0.95 is 2.
    """
    ordered = sorted(counts.items())
    if len(ordered) < 2 or ordered[-1][0] != math.inf or ordered[-1][1] <= 0:
        return None
    rank = q * ordered[-1][1]
    lower, below = min(0.0, ordered[0][0]), 0.0
    for bound, count in ordered[:-1]:
        if count >= rank:
            return lower + (bound - lower) * ((rank - below) / (count - below))
        lower, below = bound, count
    return lower


def _plus(a: tuple[float, ...], b: tuple[float, ...]) -> tuple[float, ...]:
    return tuple(x + y for x, y in zip(a, b, strict=True))


def _minus(a: tuple[float, ...], b: tuple[float, ...]) -> tuple[float, ...]:
    return tuple(x - y for x, y in zip(a, b, strict=True))
