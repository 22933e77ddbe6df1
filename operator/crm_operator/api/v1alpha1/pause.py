"""What a user writes in a SyncPause, and what the operator says of it."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field, StringConstraints

from crm_operator.api.base import ApiModel, DnsLabel, Matching, Timestamp, cel, rules
from crm_operator.api.duration import duration_between
from crm_operator.api.v1alpha1.status import Condition
from crm_operator.api.v1alpha1.text import Text


class SyncPauseSpec(ApiModel):
    """Stops the workers of some providers, or of named integrations, in this namespace."""

    model_config = ApiModel.model_config | {
        "json_schema_extra": rules(
            cel(
                "has(self.providers) != has(self.integrations)",
                expression="(has(self.providers) ? 'both providers and integrations are given' : "
                "'providers and integrations are both missing') + "
                "'; give exactly one of them (providers: [] means all in this namespace)'",
            )
        )
    }

    providers: list[DnsLabel] | None = Field(
        default=None,
        max_length=32,
        description="Providers to stop; [] is every integration in this namespace.",
        json_schema_extra={"x-kubernetes-list-type": "set"},
    )
    integrations: list[DnsLabel] | None = Field(
        default=None,
        min_length=1,
        max_length=100,
        description="Instead of providers: names of CrmIntegrations in this namespace.",
        json_schema_extra={"x-kubernetes-list-type": "set"},
    )
    paused: bool = Field(default=True, description="false lifts the pause. Default true.")
    reason: Annotated[
        str,
        StringConstraints(max_length=200),
        Matching(r"^[^\r\n]*[^ \t\r\n][^\r\n]*$", "must say in one line why, e.g. INC-42"),
    ] = Field(description="Why, in one line, shown to everyone who wonders; e.g. INC-42.")
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

    name: Annotated[str, StringConstraints(max_length=63)] = Field(description="Of the CrmIntegration.")
    state: SyncPausePhase = Field(description="Where it stands.")
    since_time: Timestamp = Field(description="When the state last changed.")


class SyncPauseStatus(ApiModel):
    """What became of the pause."""

    observed_generation: int = Field(
        default=-1, description="The metadata.generation that the operator last acted on; -1: none yet."
    )
    phase: SyncPausePhase | None = Field(default=None, description="Where the pause stands.")
    message: Text | None = Field(default=None, description="One sentence with numbers.")
    effective_time: Timestamp | None = Field(
        default=None, description="When the operator first saw `paused: true`; expiry counts from here."
    )
    integrations: list[SyncPauseIntegration] = Field(
        default=[],
        max_length=1000,
        description="The integrations that it stops.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
    )
    conditions: list[Condition] = Field(
        default=[],
        max_length=8,
        description="As in Kubernetes' own objects.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
    )
