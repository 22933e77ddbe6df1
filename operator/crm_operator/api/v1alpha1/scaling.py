"""What a user writes under `spec.scaling`: bounds, the drain law's parameters, and the CRM's rate limit."""

from datetime import timedelta
from enum import StrEnum

from pydantic import Field

from crm_operator.api.base import ApiModel, DnsLabel, cel, rules
from crm_operator.api.duration import duration_between


class RatePreset(StrEnum):
    """Published limits of CRMs, see domain/rate_limit.py for the numbers."""

    HUBSPOT_FREE = "hubspot-free"
    HUBSPOT_PROFESSIONAL = "hubspot-professional"
    HUBSPOT_INCREASED = "hubspot-increased"
    HUBSPOT_OAUTH = "hubspot-oauth"
    HUBSPOT_SEARCH = "hubspot-search"
    ZOHO_FREE = "zoho-free"
    ZOHO_STANDARD = "zoho-standard"
    ZOHO_PROFESSIONAL = "zoho-professional"
    ZOHO_ENTERPRISE = "zoho-enterprise"
    ZOHO_ULTIMATE = "zoho-ultimate"
    ODOO_ONLINE = "odoo-online"


class RateLimit(ApiModel):
    """What the CRM allows. More workers than that would only collect refusals."""

    model_config = ApiModel.model_config | {
        "json_schema_extra": rules(
            cel(
                "has(self.preset) || has(self.requests) || has(self.concurrency) || has(self.daily)",
                "rateLimit names no limit; give a preset, or requests and per, concurrency or daily",
            ),
            cel(
                "has(self.requests) == has(self.per)",
                expression="(has(self.requests) ? 'requests needs its time; add per, e.g. per: 10s' : "
                "'per needs a number; add requests, e.g. requests: 100')",
            ),
        )
    }

    preset: RatePreset | None = Field(
        default=None, description="A published limit of a CRM. The fields beside it take precedence."
    )
    requests: int | None = Field(default=None, ge=1, le=1_000_000, description="Requests allowed within `per`.")
    per: duration_between("1s", "24h") | None = Field(default=None, description="The time of `requests`.")  # type: ignore[valid-type]
    concurrency: int | None = Field(default=None, ge=1, le=100_000, description="Requests allowed at the same time.")
    daily: int | None = Field(
        default=None, ge=1, le=1_000_000_000, description="Requests, or credits, of a day; spread evenly over it."
    )
    requests_per_job: float = Field(
        default=1.0, gt=0, le=10_000, description="Requests, or credits, that one job takes. Default 1."
    )
    account: DnsLabel | None = Field(
        default=None,
        description="Integrations of one provider and namespace that name the same account share its limit.",
    )


class Scaling(ApiModel):
    """How many workers run."""

    model_config = ApiModel.model_config | {
        "json_schema_extra": rules(
            cel(
                "!has(self.minReplicas) || self.minReplicas <= self.maxReplicas",
                "maxReplicas is below minReplicas; raise it to minReplicas or more",
                path=".maxReplicas",
            ),
            cel(
                "!(has(self.drainTarget) && has(self.backlogPerReplica))",
                "drainTarget and backlogPerReplica are two ways to say one thing; remove one of them",
            ),
        )
    }

    min_replicas: int = Field(default=0, ge=0, le=1000, description="Fewest workers. Default 0.")
    max_replicas: int = Field(ge=1, le=1000, description="Most workers, canary included.")
    drain_target: duration_between("1s", "24h") | None = Field(  # type: ignore[valid-type]
        default=None, description="Size the workers so that the backlog is gone in this time. Default 60s."
    )
    backlog_per_replica: int | None = Field(
        default=None, ge=1, le=1_000_000, description="Instead of drainTarget: this many waiting jobs per worker."
    )
    job_duration: duration_between("1ms", "1h") = Field(  # type: ignore[valid-type]
        default=timedelta(seconds=1),
        description="How long one job takes; metrics.pods teaches it better. Default 1s.",
    )
    scale_down_after: duration_between("0s", "1h") = Field(  # type: ignore[valid-type]
        default=timedelta(seconds=20),
        description="Go down only to the largest size that was needed in this time. Default 20s.",
    )
    rate_limit: RateLimit | None = Field(
        default=None, description="No more workers than the CRM's limits feed. Default: no limit."
    )
