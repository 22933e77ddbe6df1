"""What is varied: the new version's share, how the workers are replaced, how long pods start, and when it goes bad."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from fnmatch import fnmatchcase

#: Percent of the workers. The first runs of the report are at `MAIN_SHARE`.
SHARES, MAIN_SHARE = (10, 20, 50), 20
#: So many workers at most, because two cores have to run them.
MOST_WORKERS = 10
#: Seconds from the start of a container to Ready, of those that start slowly.
SLOW_START = 10


class Surge(StrEnum):
    """The strategy of the rolling update at promotion: `STRATEGIES`. Others roll back by it, too."""

    DEFAULT = "default"
    FULL = "full"
    NONE = "none"
    AT_ONCE = "at-once"


class Start(StrEnum):
    """How pods become Ready."""

    QUICK = "quick"  # as soon as the worker serves its metrics
    SLOW = "slow"  # `SLOW_START` after the container's start; it takes jobs before


class Phase(StrEnum):
    """When the new version begins to fail."""

    CANARY = "canary"  # as a share of the workers
    HANDOVER = "handover"  # after promotion: all workers run it, and the canary's are still being replaced
    BAKE = "bake"  # after that: a worker that runs it is Ready in each's place


STRATEGIES: dict[Surge, dict[str, int | str]] = {
    Surge.DEFAULT: {"maxSurge": "25%", "maxUnavailable": 0},
    Surge.FULL: {"maxSurge": "100%", "maxUnavailable": 0},
    Surge.NONE: {"maxSurge": 0, "maxUnavailable": 1},
    Surge.AT_ONCE: {"maxSurge": 0, "maxUnavailable": "100%"},
}

#: What is run of the other strategies unless asked for: all combinations would take more than an hour.
VARIED = (
    *("10/full/slow/canary", "20/full/quick/bake"),
    *("50/none/slow/canary", "20/none/quick/bake"),
    *("50/at-once/quick/canary", "20/at-once/quick/bake"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One setting; `str` is its name, as in `20/default/quick/canary`."""

    weight: int  # percent of the workers
    surge: Surge
    start: Start
    phase: Phase

    def __str__(self) -> str:
        return f"{self.weight}/{self.surge}/{self.start}/{self.phase}"

    @property
    def workers(self) -> int:
        """So few that the share is a whole number of them, and so many that it is not all; 20 % of 5, 50 % of 4.

        Raises ValueError for a share of which that takes more than `MOST_WORKERS`.
        """
        for count in range(4, MOST_WORKERS + 1):
            if 0 < self.weight < 100 and self.weight * count % 100 == 0:
                return count
        raise ValueError(f"share {self.weight}: no more than {MOST_WORKERS} workers can run it; try 10, 20, 25 or 50")


MAIN = Cell(weight=MAIN_SHARE, surge=Surge.DEFAULT, start=Start.QUICK, phase=Phase.CANARY)
#: The same after promotion, and in the moment of it.
LATE, HANDOVER = replace(MAIN, phase=Phase.BAKE), replace(MAIN, phase=Phase.HANDOVER)


def cells(shares: Sequence[int] = SHARES) -> list[Cell]:
    """All of them, `MAIN` first if it is among them.

    After promotion all workers run the new version, whatever its share was: those phases are at one share only.
    """
    late = MAIN_SHARE if MAIN_SHARE in shares else min(shares)
    found = [
        Cell(weight=weight, surge=surge, start=start, phase=phase)
        for phase in Phase
        for weight in (shares if phase is Phase.CANARY else (late,))
        for start in Start
        for surge in Surge
    ]
    return sorted(found, key=lambda cell: cell != MAIN)


def usual(among: Sequence[Cell]) -> list[Cell]:
    """Those that are run unless others are asked for: everything with the default strategy, and `VARIED`."""
    return [cell for cell in among if cell.surge is Surge.DEFAULT or str(cell) in VARIED]


def select(among: Sequence[Cell], patterns: Sequence[str]) -> list[Cell]:
    """Those whose name fits one of `patterns`, as file names do (`20/*/slow/*`); all without patterns.

    Raises ValueError for a pattern that fits none.
    """
    for pattern in patterns:
        if not any(fnmatchcase(str(cell), pattern) for cell in among):
            raise ValueError(f"cell {pattern!r} is none of {', '.join(map(str, among))}")
    return [cell for cell in among if not patterns or any(fnmatchcase(str(cell), pattern) for pattern in patterns)]
