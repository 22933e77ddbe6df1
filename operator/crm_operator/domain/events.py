"""Events that tell users of a decision. One Event per decision; a decision's reason and words are its own."""

from crm_operator.api.v1alpha1 import Decision
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
    """`RolledBack: sync-errors ... (4f1c -> 9a02); next: 4f1c is not tried again until ...`"""
    arrow = f" ({decision.from_ or 'none'} -> {decision.to})" if decision.to is not None else ""
    # What follows a mere change of size is the same as ever.
    then = "" if decision.next is None or decision.what == "Scaled" else f"; {in_words(decision.next)}"
    return EmitEvent(
        type="Warning" if decision.what in _WARNINGS else "Normal",
        reason=decision.what,
        message=f"{decision.why[: 1000 - len(arrow) - len(then)]}{arrow}{then}"[:1000],
    )
