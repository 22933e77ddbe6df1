"""Trouble that both versions have, for guards that cannot tell versions apart.

The queue, a backend, or a query without `$(REVISION)` has one value for all workers, and blames a release for what
begins after it. An outage of the provider in a canary makes dead letters as it makes errors, though, and a guard that
reads the workers sees that stable has them as well. So nobody blames a release while another guard tells better. Asked
by guards.py at the end of each pass, about a version on trial.
"""

from collections.abc import Sequence
from dataclasses import replace

from crm_operator.domain import baseline
from crm_operator.domain.verdict import Verdict


def heeded(verdicts: Sequence[Verdict], candidate: str | None) -> tuple[Verdict, ...]:
    """The verdicts, of which those on all workers blame `candidate` only if no verdict on its own workers objects."""
    telling = [verdict for verdict in verdicts if verdict.revision is not None and verdict.revision == candidate]
    shared = next((verdict for verdict in telling if _is_shared(verdict)), None)
    unsettled = next((verdict for verdict in telling if verdict.acts and verdict.blame == "undecided"), None)

    def corrected(verdict: Verdict) -> Verdict:
        blames = verdict.revision is None and verdict.acts and verdict.blame in ("revision", "undecided")
        if blames and shared is not None:
            message = f"{verdict.message}; stable has trouble as well, by guard {shared.name}"
            return replace(verdict, blame="provider", by_chance=False, message=message)
        if blames and unsettled is not None and not unsettled.by_chance:
            return replace(verdict, blame="undecided", message=f"{verdict.message}, while guard {unsettled.name} looks")
        return verdict

    return tuple(corrected(verdict) for verdict in verdicts)


def _is_shared(verdict: Verdict) -> bool:
    """Whether a verdict on the new version's workers says that stable beside it has as much trouble, or all of it."""
    if verdict.acts and verdict.blame == "provider":
        return True
    if verdict.stable_value is None:
        return False
    alone = verdict.guard.reduce in baseline.COUNTING and verdict.value == 0 and verdict.stable_value > 0
    return verdict.usual or verdict.by_chance or alone
