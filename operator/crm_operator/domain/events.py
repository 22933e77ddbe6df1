"""Events that tell users of a decision. One Event per decision; a decision's reason and words are its own."""

from crm_operator.api.v1alpha1 import Decision
from crm_operator.domain.blame import BLAMED
from crm_operator.domain.next_step import in_words
from crm_operator.domain.plan import EmitEvent

#: Decisions that somebody should look at.
_WARNINGS = frozenset(
    {
        "RolledBack",
        "RollbackBlocked",
        "RolloutHeld",
        "GuardCritical",
        "GuardWarning",
        "PauseRequested",
        "TemplateRefused",
        "QueueLost",
        "ScalingConflict",
        "WriteRefused",
        "VerbIgnored",
        "VerbRefused",
        "DeletionCostRefused",
    }
)


def event_of(decision: Decision) -> EmitEvent:
    """`RolledBack: +11 > 10 in 5m ... [guard sync-errors, 10 samples, ...] (4f1c -> 9a02); next: 4f1c is not ...`"""
    arrow = f" ({decision.from_ or 'none'} -> {decision.to})" if decision.to is not None else ""
    rest = _rests_on(decision) + arrow
    # What follows a mere change of size is the same as ever.
    then = "" if decision.next is None or decision.what == "Scaled" else f"; {in_words(decision.next)}"
    return EmitEvent(
        type="Warning" if decision.what in _WARNINGS else "Normal",
        reason=decision.what,
        message=f"{decision.why[: 1000 - len(rest) - len(then)]}{rest}{then}"[:1000],
    )


def _rests_on(decision: Decision) -> str:
    """The guard behind it: what its own words, which have value, limit and window, do not say."""
    evidence = decision.evidence
    if evidence is None:
        return ""
    parts = [] if evidence.guard in decision.why else [f"guard {evidence.guard}"]
    if evidence.samples is not None:
        parts.append(f"{evidence.samples} sample{'' if evidence.samples == 1 else 's'}")
    blamed = BLAMED.get(evidence.blame or "")
    if blamed is not None and blamed not in decision.why:
        parts.append(blamed)
    return f" [{', '.join(parts)}]" if parts else ""
