"""Which outages are played, when, and on whose metrics. Data only."""

import random
from dataclasses import dataclass
from enum import StrEnum

from bench.outages.faults import FAULTS


class When(StrEnum):
    """Where in the rollout the outage begins."""

    BEFORE = "before the canary"
    HOLD = "in the hold"
    PROMOTION = "at the promotion"
    BAKE = "in the bake"


class Whose(StrEnum):
    """Of which workers the metrics misbehave."""

    ALL = "all"
    NEW = "the new version's"
    OLD = "the old version's"
    HALF = "half of each version's"


#: How many plans there are, and how many releases meet the provider's outage.
PLANS, RELEASES = 40, 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One release of a healthy version, and what its metrics do meanwhile."""

    number: int
    fault: str  # of FAULTS
    whose: Whose
    when: When
    phase: float  # 0..1: how late within that part of the rollout it begins

    @property
    def name(self) -> str:
        return f"plan-{self.number:02}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """One release that is under way when the provider goes down for all versions."""

    number: int
    lead: float  # seconds from shipping to the outage
    pause: bool  # onCritical.pause

    @property
    def name(self) -> str:
        return f"release-{self.number:02}"


def plans(seed: int, count: int = PLANS) -> list[Plan]:
    """Every fault at least twice, in other parts of the rollout and mostly on other workers."""
    dice = random.Random(f"plans {seed}")
    faults, whens, whoses = list(FAULTS), list(When), list(Whose)
    found = []
    for number in range(count):
        lap, fault = divmod(number, len(faults))
        when = whens[(fault + 3 * lap) % len(whens)]
        whose = whoses[(fault // len(whens) + fault + lap) % len(whoses)]
        if whose is Whose.OLD and when in (When.PROMOTION, When.BAKE):
            whose = Whose.ALL  # the old version leaves, or has left
        found.append(Plan(number=number + 1, fault=faults[fault], whose=whose, when=when, phase=dice.random()))
    return found


def releases(seed: int, longest: float, count: int = RELEASES) -> list[Release]:
    """Shipped at random, up to `longest` seconds before the outage; every other one may be paused."""
    dice = random.Random(f"releases {seed}")
    return [Release(number=n + 1, lead=dice.uniform(0, longest), pause=n % 2 == 0) for n in range(count)]
