"""What a user writes in a SyncPause, and what the operator says of it."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field, StringConstraints

from crm_operator.api.base import ApiModel, Timestamp, cel, rules
from crm_operator.api.duration import duration_between
from crm_operator.api.v1alpha1.integration import DnsLabel
from crm_operator.api.v1alpha1.status import Condition


class SyncPauseSpec(ApiModel):
    """Stops the workers of some providers, or of named integrations, in this namespace."""

    model_config = ApiModel.model_config | {
        "json_schema_extra": rules(
            cel(
                "has(self.providers) != has(self.integrations)",
                "give exactly one of providers and integrations; providers: [] means all in this namespace",
            )
        )
    }

    providers: list[DnsLabel] | None = Field(
        default=None,
        max_length=32,
        description="[] = every integration in this namespace.",
        json_schema_extra={"x-kubernetes-list-type": "set"},
    )
    integrations: list[DnsLabel] | None = Field(
        default=None,
        min_length=1,
        max_length=100,
        description="Names of CrmIntegrations in this namespace.",
        json_schema_extra={"x-kubernetes-list-type": "set"},
    )
    paused: bool = Field(default=True, description="false lifts the pause. Default true.")
    reason: Annotated[str, StringConstraints(min_length=1, max_length=200)] = Field(
        description="Shown to everyone who wonders why."
    )
    expires_after: duration_between("1m", "168h") | None = Field(  # type: ignore[valid-type]
        default=None, description="From when the operator first saw the pause; then the sync goes on."
    )


class SyncPausePhase(StrEnum):
    """Where a pause stands."""

    PAUSING = "Pausing"
    PAUSED = "Paused"
    RELEASED = "Released"
    EXPIRED = "Expired"


class SyncPauseIntegration(ApiModel):
    """One integration that the pause stops."""

    name: Annotated[str, StringConstraints(max_length=63)]
    state: SyncPausePhase
    since_time: Timestamp


class SyncPauseStatus(ApiModel):
    """What became of the pause."""

    observed_generation: int = -1
    phase: SyncPausePhase | None = None
    message: Annotated[str, StringConstraints(max_length=1024)] | None = None
    #: When the operator first saw `paused: true`; expiry counts from here.
    effective_time: Timestamp | None = None
    integrations: list[SyncPauseIntegration] = Field(
        default=[],
        max_length=100,
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
    )
    conditions: list[Condition] = Field(
        default=[],
        max_length=8,
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
    )
