"""Whether a Warning of the version on trial is no news, because the stable version has as much, or had.

A limit that a healthy integration crosses now and then (the runbook warns at the first error) would else hold each
step and begin each bake again for ever. Such a Warning is shown and does not object. The test is stricter than that of
blame, since what it lets through may be promoted. Asked by guards.py.
"""

from datetime import timedelta

from crm_operator.api.v1alpha1 import Guard
from crm_operator.domain import baseline
from crm_operator.domain.blame import Past
from crm_operator.domain.likeness import SHARED_FAULT, as_often
from crm_operator.domain.world import Reading

#: A Warning is news when a version that fails as often as stable makes so many errors this rarely. The usual 5 %: of
#: 133 simulated releases five times as bad one ends its bake (docs/benchmarks.md, "In the bake").
RARE = 0.05


def beside(guard: Guard, mine: Reading, other: Reading, *, ran: timedelta) -> bool:
    """Whether stable, which runs beside it, has as much; `ran`: how long the version on trial has run (> 0).

    Of counters of events: per finished job, or where jobs are not counted per pod and second. Of other values: stable
    is above the limit itself, and at least half as far.
    """
    if mine.lower_bound is not None:
        return False
    if guard.reduce not in baseline.COUNTING:
        return _as_high(guard, mine, baseline.standing(other))
    errors, others = baseline.events(guard, mine), baseline.events(guard, other)
    base, other_base = baseline.jobs(mine), baseline.jobs(other)
    if not base or not other_base:
        window: timedelta = guard.window or ran
        base = mine.samples * min(ran, window).total_seconds()
        other_base = other.samples * window.total_seconds()
    return others > 0 and as_often(errors, base, others, other_base, chance=RARE)


def before(guard: Guard, mine: Reading, past: Past | None) -> bool:
    """Whether the trusted version had as much while it worked alone.

    Events that come in bursts: it had so many more than once. Of other values half of that is as well.
    """
    if past is None or mine.lower_bound is not None:
        return False
    level = None if past.did.level is None else float(past.did.level)
    if guard.reduce in baseline.COUNTING:
        filled = past.ran >= (guard.window or timedelta())
        return past.explains(guard, mine, chance=RARE) or (filled and level is not None and level >= mine.value)
    return level is not None and _as_high(guard, mine, level)


def _as_high(guard: Guard, mine: Reading, other: float) -> bool:
    return guard.warning is not None and other > guard.warning.above and other >= SHARED_FAULT * mine.value
