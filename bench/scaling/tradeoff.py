"""What one scaler's backlog is worth in another's replica-seconds: both can be had for more of the other.

A scaler with a setting (jobs for each worker, `drainTarget`) has a curve of pairs, one for each setting. Between two of
its points it is taken to be a straight line in logarithms. Arithmetic only.
"""

import math
from bisect import bisect_right
from collections.abc import Sequence
from typing import NamedTuple


class Point(NamedTuple):
    """One setting's outcome on one load."""

    replica_seconds: float
    backlog_seconds: float


def for_as_much(curve: Sequence[Point], replica_seconds: float) -> float | None:
    """The fewest backlog-seconds that these settings, or one between two, have for at most `replica_seconds`.

    None: no setting is so cheap. An outcome that another one beats in both is nobody's choice and does not count.
    """
    best = frontier(curve)
    if not best or replica_seconds < best[0].replica_seconds:
        return None
    index = bisect_right(best, (replica_seconds, math.inf))
    before = best[index - 1]
    if index == len(best):
        return before.backlog_seconds
    after = best[index]
    way = math.log(replica_seconds / before.replica_seconds) / math.log(after.replica_seconds / before.replica_seconds)
    return before.backlog_seconds * math.pow(after.backlog_seconds / before.backlog_seconds, way)


def frontier(curve: Sequence[Point]) -> list[Point]:
    """The outcomes that no other beats in both, the cheapest first."""
    found: list[Point] = []
    for point in sorted(set(curve)):
        if not found or point.backlog_seconds < found[-1].backlog_seconds:
            found.append(point)
    return found
