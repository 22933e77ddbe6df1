"""The loads that are replayed: fixed shapes whose randomness comes from a seed, so that each scaler gets the same jobs.

Minutes stand for hours: a worker does 10 jobs/s and is Ready within seconds, so shapes that take a day in production
pass in two or three minutes and keep their proportions to a worker's start and to `DRAIN_TARGET`.
"""

import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

#: Jobs that one worker runs at once, and seconds that each takes: 10 jobs/s.
CONCURRENCY, JOB_SECONDS = 4, 0.4
#: The objective, in seconds, and what KEDA's `listLength` says for the same: 300 jobs for each worker.
DRAIN_TARGET = 30.0
MAX_REPLICAS = 20

#: Arrivals of a rate are drawn in slots of this many seconds, so short that jobs come one by one, or nearly.
_SLOT = 0.05


class Arrival(NamedTuple):
    """Jobs that are sent at once."""

    at: float  # seconds since the trace began
    jobs: int  # > 0


@dataclass(frozen=True, slots=True)
class Limit:
    """What the provider allows: at most `requests` jobs begun within any `per_seconds`."""

    requests: int
    per_seconds: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """One load; `arrivals` are in order and within `seconds`, with time left to work them off."""

    name: str
    what: str  # for the report: what arrives
    seconds: float
    arrivals: tuple[Arrival, ...]
    limit: Limit | None = None

    @property
    def jobs(self) -> int:
        """All that arrive."""
        return sum(arrival.jobs for arrival in self.arrivals)


def trace(name: str, *, seed: int) -> Trace:
    """The trace of that name, the same for the same seed. Raises KeyError for a name not in `TRACES` or `SMOKE`."""
    make = {**_MAKE, SMOKE: _smoke}[name]
    return make(random.Random(f"{name} {seed}"))


def _step(dice: random.Random) -> Trace:
    def rate(at: float) -> float:
        return 80.0 if 20 <= at < 100 else 10.0

    return Trace(
        name="step",
        what="10 jobs/s, then 80 jobs/s for 80 s, then 10 again",
        seconds=150,
        arrivals=_arrivals(rate, until=140, dice=dice),
    )


def _bursts(dice: random.Random) -> Trace:
    quiet = _arrivals(lambda _: 2.0, until=160, dice=dice)
    # At half seconds, as samples are taken at whole ones.
    bursts = tuple(Arrival(10.5 + 55 * number + dice.randrange(5), 1500) for number in range(3))
    return Trace(
        name="bursts",
        what="2 jobs/s and three times 1500 at once, about 55 s apart",
        seconds=170,
        arrivals=tuple(sorted(quiet + bursts)),
    )


def _wave(dice: random.Random) -> Trace:
    steps = [dice.uniform(0.7, 1.3) for _ in range(17)]

    def rate(at: float) -> float:
        return (60 - 50 * math.cos(2 * math.pi * at / 80)) * steps[int(at / 10)]

    return Trace(
        name="wave",
        what="10 to 110 jobs/s and back in 80 s, twice, times 0.7 to 1.3 for 10 s each",
        seconds=170,
        arrivals=_arrivals(rate, until=160, dice=dice),
    )


def _batch(_: random.Random) -> Trace:
    return Trace(name="batch", what="6000 jobs at once", seconds=120, arrivals=(Arrival(5.5, 6000),))


def _limited(_: random.Random) -> Trace:
    return Trace(
        name="rate-limited",
        what="2000 jobs at once, for a provider that takes 250 in 10 s",
        seconds=150,
        arrivals=(Arrival(5.5, 2000),),
        limit=Limit(requests=250, per_seconds=10),
    )


def _smoke(dice: random.Random) -> Trace:
    burst = (Arrival(1.5, 30),)
    return Trace(
        name=SMOKE,
        what="5 jobs/s and 30 at once",
        seconds=12,
        arrivals=tuple(sorted(_arrivals(lambda _: 5.0, until=4, dice=dice) + burst)),
    )


_MAKE: dict[str, Callable[[random.Random], Trace]] = {
    "step": _step,
    "bursts": _bursts,
    "wave": _wave,
    "batch": _batch,
    "rate-limited": _limited,
}
#: Names, in the order of the report.
TRACES = tuple(_MAKE)
#: A few seconds, to see that replaying works.
SMOKE = "smoke"


def _arrivals(rate: Callable[[float], float], *, until: float, dice: random.Random) -> tuple[Arrival, ...]:
    """A Poisson process of `rate(at)` jobs/s (> 0), slot by slot; the jobs of a slot are sent together, at its end."""
    found = []
    for slot in range(int(until / _SLOT)):
        at, jobs = dice.expovariate(rate(slot * _SLOT)), 0
        while at < _SLOT:
            at, jobs = at + dice.expovariate(rate(slot * _SLOT)), jobs + 1
        if jobs:
            found.append(Arrival((slot + 1) * _SLOT, jobs))
    return tuple(found)
