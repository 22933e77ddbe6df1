"""Keeps a list of conditions: one per type, in a stable order, with honest transition times."""

from collections.abc import Sequence
from datetime import datetime

from crm_operator.api.v1alpha1 import Condition


def set_condition(conditions: Sequence[Condition], new: Condition) -> list[Condition]:
    """`conditions` with `new` in its place; `lastTransitionTime` moves only with the status, at whole seconds."""
    at = transition_time(conditions, new.type, new.status, new.last_transition_time)
    # A copy costs as much as all the rest.
    fresh = new if new.last_transition_time == at else new.model_copy(update={"last_transition_time": at})
    if all(old.type != new.type for old in conditions):
        return [*conditions, fresh]
    return [fresh if old.type == new.type else old for old in conditions]


def transition_time(conditions: Sequence[Condition], type_: str, status: str, now: datetime) -> datetime:
    """Since when the condition has this status: as before, or since `now`."""
    for old in conditions:
        if old.type == type_ and old.status == status:
            return old.last_transition_time
    return now.replace(microsecond=0)


def since(conditions: Sequence[Condition], type_: str, *, status: str = "True") -> datetime | None:
    """Since when the condition has this status, at whole seconds. None: it has not."""
    found = (old for old in conditions if old.type == type_ and old.status == status)
    return next((condition.last_transition_time for condition in found), None)


def is_true(conditions: Sequence[Condition], type_: str) -> bool:
    """Whether the condition is there and True."""
    return any(condition.type == type_ and condition.status == "True" for condition in conditions)
