"""Whether what was decided rested on readings. Arithmetic only."""

from collections.abc import Iterable, Sequence

from bench.outages.story import Decided

#: Decisions that a step or the bake is over: each needs readings of the version on trial.
ENDS = frozenset({"Advanced", "Promoted", "Completed"})
#: A reading counts for 3 s; it is some time on its way until the decision is seen here.
FRESH, ON_ITS_WAY = 3.0, 1.5
#: Of the new version's workers, those that a guard must have read: docs/rollout.md, "When a step ends".
READ_SHARE = 0.9


def is_blind(decided: Decided, reads: Sequence[Sequence[float]]) -> bool:
    """Whether a step was ended without readings.

    `reads` has a member for each worker of the new version at that time: when its page could be read, in order.
    """
    if decided.what not in ENDS:
        return False
    since = decided.at - FRESH - ON_ITS_WAY
    read = sum(any(since <= at <= decided.at for at in times) for times in reads)
    return read < READ_SHARE * len(reads) or not reads


def was_rolled_back(decisions: Iterable[Decided]) -> bool:
    return any(decided.what == "RolledBack" for decided in decisions)
