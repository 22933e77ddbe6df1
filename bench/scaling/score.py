"""What a replay cost and gave, computed from its raw record alone."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from bench.records import Json


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """Of one trace and scaler. Waits are those of all jobs: one that never began waited until the end, at least."""

    backlog_seconds: float  # jobs in the queue, begun ones included, times seconds
    replica_seconds: float  # pods that exist, Ready or not, times seconds
    wait_p50: float  # seconds from sending to beginning, within 0.1 s
    wait_p95: float
    writes: int  # changes of spec.replicas
    most: int  # largest spec.replicas


def score(record: Json) -> Score:
    """Of a run as `replay` writes it. Raises KeyError for another record."""
    sizes = [(at, asked, exist) for at, asked, exist, _ in record["sizes"]]
    return Score(
        backlog_seconds=trapezoids([(at, waiting + held) for at, waiting, held in record["samples"]]),
        replica_seconds=steps([(at, exist) for at, _, exist in sizes], until=record["seconds"]),
        wait_p50=percentile_of(record["waits"], 50),
        wait_p95=percentile_of(record["waits"], 95),
        writes=sum(before[1] != after[1] for before, after in pairwise(sizes)),
        most=max(asked for _, asked, _ in sizes),
    )


def trapezoids(points: Sequence[tuple[float, float]]) -> float:
    """The area under straight lines between (seconds, value) points in order: for what is sampled."""
    return sum((after[0] - before[0]) * (before[1] + after[1]) / 2 for before, after in pairwise(points))


def steps(points: Sequence[tuple[float, float]], *, until: float) -> float:
    """The area under (seconds, value) points in order, each of which holds until the next: for what is watched."""
    ends = [at for at, _ in points[1:]] + [until]
    return sum((end - at) * value for (at, value), end in zip(points, ends, strict=True))


def tally(values: Sequence[float]) -> list[tuple[float, int]]:
    """(value rounded to a tenth, how many) in order: what is kept of thousands of waits."""
    counts: dict[float, int] = {}
    for value in values:
        tenth = round(value, 1)
        counts[tenth] = counts.get(tenth, 0) + 1
    return sorted(counts.items())


def percentile_of(counted: Sequence[tuple[float, int]], percent: float) -> float:
    """The nearest-rank percentile (0 to 100) of a `tally`. Raises ValueError for an empty one."""
    left = max(1, math.ceil(sum(count for _, count in counted) * percent / 100))
    for value, count in counted:
        left -= count
        if left <= 0:
            return value
    raise ValueError("no percentile of nothing")
