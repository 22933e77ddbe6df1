"""The status of an integration whose stored spec cannot be read, e.g. after a CRD was replaced by a narrower one."""

from datetime import datetime

from crm_operator.api.v1alpha1 import Condition, CrmIntegrationStatus, Phase
from crm_operator.domain.conditions import set_condition


def invalid_spec_status(
    status: CrmIntegrationStatus, *, generation: int, why: str, now: datetime
) -> CrmIntegrationStatus:
    """`status` with Ready=False and Stalled=True; the rollout's memory stays, and so does what runs."""
    message = f"the spec cannot be used, so nothing is changed: {why}"
    conditions = list(status.conditions)
    for type_, value in (("Ready", "False"), ("Reconciling", "False"), ("Stalled", "True")):
        conditions = set_condition(
            conditions,
            Condition(
                type=type_,
                status="True" if value == "True" else "False",
                observed_generation=generation,
                last_transition_time=now,
                reason="InvalidSpec",
                message=message,
            ),
        )
    return status.model_copy(
        update={
            "observed_generation": generation,
            "phase": Phase.DEGRADED,
            "message": message,
            "conditions": conditions,
        }
    )
