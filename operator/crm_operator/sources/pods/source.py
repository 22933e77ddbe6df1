"""What the controller asks for: which pods of one integration to scrape, and for what."""

from dataclasses import dataclass
from datetime import datetime, timedelta


@dataclass(frozen=True, slots=True)
class PodTarget:
    """One worker pod. `uid` is its identity; a container restart within it is seen as a counter reset."""

    name: str
    uid: str
    ip: str
    role: str  # stable | canary
    revision: str
    started_at: datetime | None  # when the process that counts began; None: not known
    #: Ready and not draining. One that starts or drains is read too, and need not answer.
    serving: bool = True
    every: int = 1  # it is scraped in one of so many rounds, and at once when it is new


@dataclass(frozen=True, slots=True)
class PodSource:
    """The pods of one integration."""

    port: int
    path: str
    interval: timedelta  # between rounds of scrapes
    metrics: frozenset[str]  # names that guards need
    window: timedelta  # the longest guard window
    targets: tuple[PodTarget, ...]
    levels: frozenset[str] = frozenset()  # of `metrics`, gauges that guards reduce over a window
    by_workspace: frozenset[str] = frozenset()  # of `metrics`, counters whose workspaces guards ask for
    #: Names whose changes may wait for a second, when nothing else is new.
    background: frozenset[str] = frozenset()

    @property
    def place(self) -> tuple[int, str]:
        """Where each pod is asked."""
        return self.port, self.path
