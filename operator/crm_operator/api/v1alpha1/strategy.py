"""What a user writes under `spec.workers.strategy`: how many workers at a time a rolling update replaces."""

from typing import Annotated

from pydantic import Field, StringConstraints

from crm_operator.api.base import ApiModel, Matching, cel, rules

#: As in a Deployment, but not above 100 %: more at a time than all of them is all of them.
Percent = Annotated[
    str,
    StringConstraints(max_length=16),
    Matching(
        "^(100|[1-9]?[0-9])%$",
        "must be a whole number of workers from 0, or a percentage of them from 0% to 100%, like 25%",
    ),
]
#: Strict, since "5" is refused by the API server, too.
IntOrPercent = Annotated[int, Field(strict=True, ge=0, le=1000)] | Percent


class Strategy(ApiModel):
    """The rolling update at promotion. A rollback does not wait for it: bad workers go at once."""

    model_config = ApiModel.model_config | {
        "json_schema_extra": rules(
            cel(
                "!has(self.maxSurge) || !(string(self.maxSurge) in ['0', '0%']) || "
                "(has(self.maxUnavailable) && !(string(self.maxUnavailable) in ['0', '0%']))",
                "maxUnavailable is 0 (its default) and so is maxSurge, so no worker could be replaced; "
                "set maxUnavailable to 1 or more, or raise maxSurge",
                path=".maxUnavailable",
            ),
        )
    }

    max_surge: IntOrPercent = Field(
        default="25%",
        description="How many workers more than wanted may run meanwhile: a number, or percent, rounded up. "
        "Default 25%, as in a Deployment.",
    )
    max_unavailable: IntOrPercent = Field(
        default=0,
        description="How many workers fewer than wanted may be Ready meanwhile: a number, or percent, rounded down. "
        "Default 0 (in a Deployment 25%), so that an old worker ends only when a new one is Ready.",
    )
