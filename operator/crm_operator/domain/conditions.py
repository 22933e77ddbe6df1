"""Keeps a list of conditions: one per type, in a stable order, with honest transition times."""

from collections.abc import Sequence

from crm_operator.api.v1alpha1 import Condition


def set_condition(conditions: Sequence[Condition], new: Condition) -> list[Condition]:
    """`conditions` with `new` in its place; `lastTransitionTime` moves only with the status, at whole seconds."""
    result, found = [], False
    at = new.last_transition_time.replace(microsecond=0)
    for old in conditions:
        if old.type != new.type:
            result.append(old)
            continue
        found = True
        if old.status == new.status:
            at = old.last_transition_time
        result.append(new.model_copy(update={"last_transition_time": at}))
    if not found:
        result.append(new.model_copy(update={"last_transition_time": at}))
    return result


def is_true(conditions: Sequence[Condition], type_: str) -> bool:
    """Whether the condition is there and True."""
    return any(condition.type == type_ and condition.status == "True" for condition in conditions)
