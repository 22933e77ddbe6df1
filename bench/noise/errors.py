"""Errors of healthy pods, by chance, and the times in which so many of them came that a guard is critical."""

import random
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Pod:
    """A worker that fails now and then; all times are seconds since the beginning."""

    errors: Sequence[float]
    jobs_per_second: float

    def counted(self, at: float) -> tuple[float, float]:
        """Errors and jobs by then, as its counters have them."""
        return float(bisect_right(self.errors, at)), float(int(self.jobs_per_second * at))


def pod(dice: random.Random, *, errors_per_second: float, jobs_per_second: float, seconds: float) -> Pod:
    """A Poisson process of errors."""
    errors, at = list[float](), dice.expovariate(errors_per_second)
    while at < seconds:
        errors.append(at)
        at += dice.expovariate(errors_per_second)
    return Pod(errors, jobs_per_second)


def crossings(errors: Sequence[float], *, limit: int, window: float) -> list[tuple[float, float]]:
    """From when to when more than `limit` errors are in the last `window` seconds; those close together are one."""
    found = list[tuple[float, float]]()
    for last in range(limit, len(errors)):
        begin, end = errors[last], errors[last - limit] + window
        if begin >= end:
            continue
        if found and begin <= found[-1][1] + window / 60:
            found[-1] = (found[-1][0], max(end, found[-1][1]))
        else:
            found.append((begin, end))
    return found
