"""What each pod said last, and how soon another answer is to be looked at."""

from collections.abc import Set
from enum import IntEnum

from crm_operator.domain.scraped import Scrape
from crm_operator.domain.world import Unknown


class News(IntEnum):
    """How soon somebody should look. Comparable: the largest of a round counts."""

    NONE = 0
    LATER = 1  # counts that always move while a worker works, and that nothing is decided on within a second
    NOW = 2


class LastAnswers:
    """Of one integration's pods, by uid."""

    def __init__(self) -> None:
        self._said: dict[str, tuple[str, Scrape | Unknown]] = {}
        self._changed: set[str] = set()  # whose newest answer was news to look at now

    def __contains__(self, uid: object) -> bool:
        return uid in self._said

    def keep(self, uids: Set[str]) -> None:
        """Forget all others."""
        self._said = {uid: said for uid, said in self._said.items() if uid in uids}
        self._changed &= uids

    def take(self, uid: str, revision: str, found: Scrape | Unknown, *, background: Set[str]) -> News:
        """Remember it, and compare it with the one before; what is new of the metrics in `background` can wait.

        A guard of a gauge needs two readings above its limit, so the answer after a change is news too.
        """
        before, self._said[uid] = self._said.get(uid), (revision, found)
        changed = _changed_metrics(before, (revision, found))
        was_changed, is_changed = uid in self._changed, changed is None or not changed <= background
        (self._changed.add if is_changed else self._changed.discard)(uid)
        if is_changed or was_changed:
            return News.NOW
        return News.LATER if changed else News.NONE


def _changed_metrics(
    before: tuple[str, Scrape | Unknown] | None, now: tuple[str, Scrape | Unknown]
) -> frozenset[str] | None:
    """The names of those that changed; None: the answer as a whole did, or there was none before."""
    if before is None or before[0] != now[0]:
        return None
    old, new = before[1], now[1]
    if isinstance(old, Unknown) or isinstance(new, Unknown):
        return frozenset() if old == new else None
    return frozenset(name for name in old.keys() | new.keys() if old.get(name) != new.get(name))
