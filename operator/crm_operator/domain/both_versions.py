"""Trouble that both versions have, for guards that cannot tell versions apart.

The queue, a backend, or a query without `$(REVISION)` has one value for all workers, and blames a release for what
begins after it. An outage of the provider in a canary makes dead letters as it makes errors, though, and a guard that
reads the workers sees that stable has them as well. So nobody blames a release while another guard tells better. Asked
by guards.py at the end of each pass, about a version on trial.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from crm_operator.domain import baseline
from crm_operator.domain.blame import IDLE_PATIENCE
from crm_operator.domain.likeness import Likeness, settled
from crm_operator.domain.verdict import Verdict, critical_since
from crm_operator.domain.world import Reading, World

_OPEN = (Likeness.EARLY, Likeness.UNSETTLED)


def heeded(world: World, verdicts: Sequence[Verdict], candidate: str | None) -> tuple[Verdict, ...]:
    """The verdicts, of which those on all workers blame `candidate` only if none on its own workers objects."""
    telling = [verdict for verdict in verdicts if verdict.revision is not None and verdict.revision == candidate]
    return tuple(_corrected(world, verdict, telling) if _blames(verdict) else verdict for verdict in verdicts)


def _blames(verdict: Verdict) -> bool:
    return verdict.revision is None and verdict.acts and verdict.blame in ("revision", "undecided")


def _corrected(world: World, verdict: Verdict, telling: Sequence[Verdict]) -> Verdict:
    """What is clear comes first, then what the two have alike; what is open waits, as it does for any guard."""
    began = critical_since(world, verdict.name)
    seen = [(other, _likeness(world, other, began)) for other in telling]
    provider = next((other for other in telling if other.acts and other.blame == "provider"), None)
    clear = any(likeness is Likeness.LESS for _, likeness in seen)
    alike = provider or next((other for other, likeness in seen if likeness is Likeness.ALIKE), None)
    # One above its limit ends its own waiting, for a second look or for the provider's other integrations.
    is_open = (other for other, likeness in seen if likeness in _OPEN)
    waits = world.now < began + IDLE_PATIENCE
    undecided = next((other for other in is_open if waits or other.blame == "undecided"), None)
    if alike is not None and (provider is not None or not clear):
        message = f"{verdict.message}; stable has trouble as well, by guard {alike.name}"
        return replace(verdict, blame="provider", by_chance=False, message=message)
    if undecided is not None and not clear:
        return replace(verdict, blame="undecided", message=f"{verdict.message}, while guard {undecided.name} looks")
    return verdict


def _likeness(world: World, verdict: Verdict, began: datetime) -> Likeness | None:
    """How stable fares by a verdict on the new version's workers. None: it does not tell.

    Errors that are counted tell below a limit as well: the first dead letter may come with the first error.
    """
    if verdict.acts and verdict.blame == "undecided" and not verdict.by_chance:
        return Likeness.UNSETTLED
    evidence, rollout = world.evidence.get(verdict.name), world.status.rollout
    assert rollout is not None, "a version is on trial"
    mine = None if evidence is None else evidence.by_revision.get(verdict.revision or "")
    other = None if evidence is None else evidence.by_revision.get(rollout.stable_revision or "")
    if not isinstance(mine, Reading) or not isinstance(other, Reading):
        return None
    if verdict.usual or verdict.by_chance:
        return Likeness.ALIKE
    if verdict.guard.reduce not in baseline.COUNTING:
        return Likeness.LESS if verdict.acts and verdict.blame == "revision" else None
    if not mine.value:
        return Likeness.ALIKE if other.value else None
    return settled(verdict.guard, mine, other, began=began, now=world.now)
