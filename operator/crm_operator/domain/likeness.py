"""How the stable version fares beside the one on trial: fails as well, clearly less, or nobody can tell yet.

What is compared is errors per finished job, over the same short time on both sides: a worker that fails fast takes more
jobs than others, so counts per pod say little, and a stable version's hour of good work says nothing of the last
seconds. Asked by blame.py of a guard that breaches, and by both_versions.py of one that may tell for another.
"""

import math
import sys
from datetime import datetime, timedelta
from enum import Enum

from crm_operator.api.v1alpha1 import Guard, Reduce
from crm_operator.domain import baseline
from crm_operator.domain.world import Reading, Recent

#: Stable is "failing just as much" from this share of the new version's errors per job. Half, because counts scatter.
SHARED_FAULT = 0.5

#: Stable does fail less when the chance of so few errors, did it fail half as often, is below this. The usual 5 %
#: blamed healthy releases ten times as often in simulated outages (tests/unit/domain/test_blame.py).
SURE = 0.01
#: The new version is bad beyond doubt, and only the provider's part is not clear: after this time what is likelier than
#: not decides. A stable version with hardly any job has still to end two well beside a version that fails in each.
PATIENCE, LIKELY = timedelta(seconds=3), 0.5
#: More errors than this on both sides together need no test of chance.
MANY = 1000
#: A chance is at least this, and at most 1 without it.
_LEAST = sys.float_info.epsilon

#: Stable is read once more before events are taken for the release's, this much after they were seen at least: an
#: outage of the provider shows in stable once its jobs in flight are done, and a version that fails fast has many
#: errors by then. With workers read every 250 ms it is the next reading, whatever either takes.
SECOND_LOOK = timedelta(milliseconds=150)
#: With few errors chance decides nothing: a stable version that has none in so many jobs at that look does not fail.
CLEAN_JOBS = 10

#: Reductions of a gauge's window.
LEVELS = (Reduce.AVERAGE, Reduce.MAX)

#: A quantile of fewer observations is not compared.
OBSERVATIONS = 20

#: Stable's newest sample may be this much older than the new version's to be compared with it. In the first second of
#: an outage of both, the side that was read last has all the errors.
SAME_MOMENT = timedelta(milliseconds=250)


class Likeness(Enum):
    """How the stable version fares beside one that breaches."""

    ALIKE = "fails as well"
    LESS = "fails clearly less"
    UNSETTLED = "too few jobs to tell"
    EARLY = "is read again before anybody is blamed"


def settled(guard: Guard, mine: Reading, other: Reading, *, began: datetime, now: datetime) -> Likeness:
    """How `other` fares beside `mine`, whose trouble was first seen at `began`: stable does better only at two looks.

    After `PATIENCE` it need not be of one moment with `mine` any more, but of the later half of that time: what it told
    just after the trouble began is of jobs that it had taken before.
    """
    waited = now - began
    is_long = waited >= PATIENCE
    found = compare(guard, mine, other, sure=LIKELY if is_long else SURE)
    if found is Likeness.ALIKE:
        return found
    # A gauge has had its second look: it was over the limit twice running.
    is_of_jobs = bool(mine.recent) and guard.reduce not in LEVELS
    apart = waited / 2 if is_long else SAME_MOMENT
    if (is_of_jobs and other.at < began + SECOND_LOOK and not is_long) or other.at < mine.at - apart:
        return Likeness.EARLY
    if is_of_jobs and other.worked_since is not None and other.worked_since < mine.at - waited:
        return Likeness.UNSETTLED  # all its good jobs may have been over before the trouble began
    if found is Likeness.UNSETTLED and _is_clean(guard, mine, other):
        return Likeness.LESS
    return found


def compare(guard: Guard, mine: Reading, other: Reading, *, sure: float = SURE) -> Likeness:
    """How `other` fares beside `mine`, whose value is above 0.

    Of counters of events, by the conditional test of two Poisson rates (Przyborowski and Wilenski 1940): if stable
    failed half as often, its part of all errors would follow a binomial distribution. It fails less when the chance of
    so few is below `sure`.
    """
    both = _same_time(guard, mine, other)
    if both is None:
        return Likeness.ALIKE if share_of(guard, mine, other) >= SHARED_FAULT else Likeness.LESS
    a, b = both
    if not a.base or not b.base:
        return Likeness.UNSETTLED
    if guard.reduce is Reduce.QUANTILE and b.base < OBSERVATIONS:
        return Likeness.UNSETTLED
    if guard.reduce is Reduce.QUANTILE or guard.reduce in LEVELS:
        return Likeness.ALIKE if b.value >= SHARED_FAULT * a.value else Likeness.LESS
    if b.value * a.base >= SHARED_FAULT * a.value * b.base:
        return Likeness.ALIKE
    errors = round(a.value + b.value)
    if guard.reduce is Reduce.RATIO or errors > MANY:
        return Likeness.LESS  # what a Ratio divides need not be a number of events
    expected = SHARED_FAULT * b.base
    chance = at_most(round(b.value), errors, expected / (a.base + expected))
    return Likeness.LESS if chance < sure else Likeness.UNSETTLED


def as_often(mine: float, base: float, other: float, other_base: float, *, chance: float) -> bool:
    """Whether `mine` errors in `base` jobs (> 0) are no more than a version makes that had `other` in `other_base`.

    Half as often is as well. Else so many must not be rarer than `chance`, did both fail alike.
    """
    if other * base >= SHARED_FAULT * mine * other_base:
        return True
    together = round(mine + other)
    return together <= MANY and at_most(round(other), together, other_base / (base + other_base)) >= chance


def share_of(guard: Guard, mine: Reading, other: Reading) -> float:
    """What `other` has for each of `mine`: per job where jobs are counted, else per pod; of a gauge, as it is."""
    both = _same_time(guard, mine, other)
    if both is not None and both[0].base and both[1].base:
        a, b = both
        if guard.reduce is Reduce.QUANTILE or guard.reduce in LEVELS:
            return b.value / a.value
        return _divided(b.value / (b.base or 1.0), a.value / (a.base or 1.0))
    if guard.reduce in baseline.COUNTING:
        return _divided(other.value / other.samples, mine.value / mine.samples)
    return other.value / mine.value


def _divided(other: float, mine: float) -> float:
    """`other / mine`. A worker may claim so little, or so many jobs, that nothing is left of `mine`."""
    return other / mine if mine else math.inf


def _is_clean(guard: Guard, mine: Reading, other: Reading) -> bool:
    """Whether stable has no error in so many jobs that it does not fail."""
    both = _same_time(guard, mine, other)
    return both is not None and not both[1].value and (both[1].base or 0) >= CLEAN_JOBS


def _same_time(guard: Guard, mine: Reading, other: Reading) -> tuple[Recent, Recent] | None:
    """The shortest time that holds half of what `mine` did in the window. None: nobody counts jobs.

    That is when the trouble is: all that stable did well before it would hide that it fails now, and one high value of
    stable long before it would excuse it. Of a Quantile it is the shortest time with enough observations in which it
    is half as high as in the window, or None; of a gauge the shortest in which it is half as high.
    """
    whole = mine.recent[-1].value if mine.recent else 0.0
    enough = OBSERVATIONS if guard.reduce is Reduce.QUANTILE else 0
    for a, b in zip(mine.recent, other.recent, strict=False):
        if a.base is None or b.base is None:
            return None
        if a.base and a.base >= enough and a.value and a.value >= whole / 2:
            return a, b
    return None


def at_most(count: int, of: int, chance: float) -> float:
    """The chance of at most `count` hits in `of` tries (1..1000), each with `chance` in [0, 1].

    A share of jobs may round to 0 or 1: a worker may claim any number of them, and none is to keep us from deciding.
    """
    chance = min(max(chance, _LEAST), 1 - _LEAST)
    logs = (
        math.lgamma(of + 1)
        - math.lgamma(hits + 1)
        - math.lgamma(of - hits + 1)
        + hits * math.log(chance)
        + (of - hits) * math.log1p(-chance)
        for hits in range(min(count, of) + 1)
    )
    return math.fsum(math.exp(log) for log in logs)
