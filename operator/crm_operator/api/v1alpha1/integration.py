"""What a user writes in a CrmIntegration. Only fields that work are here; docs/reference.md explains each.

Defaults live in these models, not in the CRD: a defaulted field in the stored object is drift for GitOps tools.
Rules that compare fields are CEL and are enforced by the API server only.
"""

from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Any

from pydantic import Field, StringConstraints, WithJsonSchema

from crm_operator.api.base import ApiModel, DnsLabel, Matching, cel, rules
from crm_operator.api.duration import duration_between
from crm_operator.api.v1alpha1.guard import Guard
from crm_operator.api.v1alpha1.metrics import Metrics
from crm_operator.api.v1alpha1.scaling import Scaling
from crm_operator.api.v1alpha1.secret_ref import FromSecret, Tls
from crm_operator.api.v1alpha1.strategy import Strategy

#: Queue names and key prefixes as Dramatiq allows them.
QueueName = Annotated[
    str,
    StringConstraints(max_length=128),
    Matching(
        "^[a-zA-Z_][a-zA-Z0-9._-]*$",
        "must be a Dramatiq name: a letter or _, then letters, digits, '.', '_' and '-'",
    ),
]


class Mode(StrEnum):
    """Whether the operator acts."""

    ENFORCE = "Enforce"
    OBSERVE = "Observe"


class BrokerKind(StrEnum):
    """Which broker Dramatiq uses."""

    REDIS = "redis"
    RABBITMQ = "rabbitmq"


#: What the CRD says of a pod template: just enough to find the worker container. The API server checks the rest when
#: the Deployment is applied; a whole PodSpec here would make the CRD ten times as long and always out of date.
_TEMPLATE_SCHEMA = {
    "type": "object",
    "x-kubernetes-preserve-unknown-fields": True,
    "properties": {
        "spec": {
            "type": "object",
            "x-kubernetes-preserve-unknown-fields": True,
            "properties": {
                "containers": {
                    "type": "array",
                    "maxItems": 32,
                    "x-kubernetes-list-type": "atomic",
                    "items": {
                        "type": "object",
                        "x-kubernetes-preserve-unknown-fields": True,
                        "properties": {"name": {"type": "string", "maxLength": 63}},
                    },
                }
            },
        }
    },
    **rules(
        cel(
            "has(self.spec) && has(self.spec.containers) && self.spec.containers.size() > 0",
            "spec.containers is missing or empty; give the worker container, as in a Deployment",
        ),
        cel(
            "!has(self.spec) || !has(self.spec.containers) || self.spec.containers.size() < 2 || "
            "self.spec.containers.exists(c, has(c.name) && c.name == 'worker')",
            "several containers, and none is named worker; give the one that takes jobs that name",
            path=".spec.containers",
        ),
    ),
}


class Workers(ApiModel):
    """The worker pods."""

    template: Annotated[dict[str, Any], WithJsonSchema(_TEMPLATE_SCHEMA)] = Field(
        description="A PodTemplateSpec, as in a Deployment. "
        "The worker is the container named `worker`, else the only one.",
    )
    concurrency: int = Field(
        default=8, ge=1, le=1000, description="Jobs that one pod runs at once: processes x threads. Default 8."
    )
    strategy: Strategy = Field(
        default_factory=Strategy, description="Of the rolling update at promotion, as in a Deployment."
    )


_IS_RABBITMQ = "(has(self.broker) && self.broker == 'rabbitmq')"
_HOST = r"([a-zA-Z0-9._-]+|\[[0-9a-fA-F:.]+\])"


class Queue(ApiModel):
    """The broker's queues that these workers serve."""

    model_config = ApiModel.model_config | {
        "json_schema_extra": rules(
            cel(
                "has(self.url) != has(self.urlFrom)",
                expression="(has(self.url) ? 'both url and urlFrom are given' : 'url and urlFrom are both missing') + "
                "'; give exactly one of them (urlFrom when the URL holds a password)'",
            ),
            cel(
                "!has(self.tls) || !has(self.url) || self.url.matches('^(rediss|https)')",
                "tls is given, but url does not ask for TLS; write rediss://, rediss+sentinel:// or https://, "
                "or remove tls",
                path=".tls",
            ),
            cel(
                # The URL itself is not repeated: what is wrong with it may be a password in it.
                f"!has(self.url) || !self.url.startsWith({_IS_RABBITMQ} ? 'redis' : 'http')",
                expression=f"{_IS_RABBITMQ} ? 'a redis:// URL does not fit broker rabbitmq; write that of the "
                "management API, http://HOST:15672/VHOST, or remove broker' : 'an http:// URL does not fit broker "
                "redis; write redis://HOST:PORT/DATABASE, or add broker: rabbitmq'",
                path=".url",
            ),
            cel(
                f"!({_IS_RABBITMQ} && has(self.__namespace__))",
                expression="'namespace ' + self.__namespace__ + ' is a key prefix of Redis, and RabbitMQ has none; "
                "remove namespace'",
                path=".namespace",
            ),
        )
    }

    broker: BrokerKind = Field(default=BrokerKind.REDIS, description="redis or rabbitmq. Default redis.")
    url: (
        Annotated[
            str,
            StringConstraints(max_length=512),
            Matching(
                rf"^(rediss?(://{_HOST}(:[0-9]{{1,5}})?|\+sentinel://{_HOST}(:[0-9]{{1,5}})?/[a-zA-Z0-9._-]+)"
                rf"(/[0-9]{{0,5}})?|https?://{_HOST}:[0-9]{{1,5}}(/[a-zA-Z0-9._~%-]{{0,255}})?)$",
                "must be redis://HOST:PORT/DATABASE, redis+sentinel://HOST:PORT/MASTER/DATABASE or, of RabbitMQ's "
                "management API, http://HOST:15672/VHOST (rediss and https for TLS), without options; "
                "a URL with a user or password belongs in a Secret, see urlFrom",
            ),
        ]
        | None
    ) = Field(
        default=None,
        description="redis://HOST:PORT/DATABASE, redis+sentinel://HOST:PORT/MASTER/DATABASE, or "
        "http://HOST:15672/VHOST of RabbitMQ's management API; rediss and https for TLS.",
    )
    url_from: FromSecret | None = Field(
        default=None, description="The URL from a Secret in this namespace; it may hold a user and password."
    )
    tls: Tls | None = Field(default=None, description="For a broker whose certificate a private authority signed.")
    namespace: QueueName = Field(default="dramatiq", description="Redis only: the key prefix. Default dramatiq.")
    names: list[QueueName] = Field(
        min_length=1,
        max_length=16,
        description="Names of the Dramatiq queues.",
        json_schema_extra={"x-kubernetes-list-type": "set"},
    )


class RolloutStep(ApiModel):
    """One step of a canary."""

    weight: int = Field(ge=1, le=100, description="Percent of the workers that run the new version.")
    hold: duration_between("0s", "168h") = Field(description="How long the step lasts at least.")  # type: ignore[valid-type]


class Rollout(ApiModel):
    """How a new worker template replaces the old one."""

    steps: list[RolloutStep] = Field(
        default=[RolloutStep(weight=20, hold=timedelta(minutes=5))],
        max_length=20,
        description="Default: 20 % for 5m. [] is a plain rolling update, guarded while it bakes.",
        json_schema_extra={
            "x-kubernetes-list-type": "atomic",
            **rules(
                cel(
                    # Rising = sorted and each weight once; comparing neighbours would need an index, which CEL's
                    # macros have only since Kubernetes 1.33.
                    "self.map(s, s.weight).isSorted() && self.all(a, self.exists_one(b, b.weight == a.weight))",
                    "weights do not rise from step to step; sort the steps and remove equal weights",
                )
            ),
        },
    )
    bake: duration_between("0s", "168h") = Field(  # type: ignore[valid-type]
        default=timedelta(minutes=15), description="After promotion the guards can still roll back. Default 15m."
    )
    progress_deadline: duration_between("10s", "24h") = Field(  # type: ignore[valid-type]
        default=timedelta(minutes=10),
        description="Roll back when nothing moves for this long; holds and pauses excluded. Default 10m.",
    )
    min_jobs: int | None = Field(
        default=None,
        ge=0,
        le=1_000_000,
        description="Jobs that the canary must have finished before a step counts. "
        "Default 20 with metrics.pods, else 0.",
    )


class OnCritical(ApiModel):
    """What a critical guard may do."""

    rollback: bool = Field(default=True, description="Roll the release back. Default true; false only holds it.")
    pause: bool = Field(
        default=False,
        description="Stop this integration by a SyncPause, which a person lifts, when no rollback can help: the "
        "provider is to blame, or no release is on trial. Default false.",
    )


class CrmIntegrationSpec(ApiModel):
    """One CRM provider's sync: its workers, queue, scaling, rollout and guards."""

    model_config = ApiModel.model_config | {
        "json_schema_extra": rules(
            cel(
                "self.provider == oldSelf.provider",
                expression="'provider cannot change from ' + oldSelf.provider + ' to ' + self.provider + "
                "'; create another CrmIntegration for ' + self.provider",
                path=".provider",
            ),
            cel(
                "!has(self.guards) || (has(self.metrics) && has(self.metrics.pods)) || "
                "self.guards.all(g, g.metric.from != 'pods')",
                "a guard reads from pods, but metrics.pods is not set; add it, e.g. metrics: {pods: {port: 9191}}",
                path=".guards",
            ),
            cel(
                "!has(self.guards) || (has(self.metrics) && has(self.metrics.backend)) || "
                "self.guards.all(g, g.metric.from != 'backend')",
                "a guard reads from backend, but metrics.backend is not set; "
                "add it, e.g. metrics: {backend: {url: 'http://api:8000/crm/metrics'}}",
                path=".guards",
            ),
            cel(
                "!has(self.guards) || (has(self.metrics) && has(self.metrics.prometheus)) || "
                "self.guards.all(g, g.metric.from != 'prometheus')",
                "a guard reads from prometheus, but metrics.prometheus is not set; "
                "add it, e.g. metrics: {prometheus: {url: 'http://prometheus.monitoring:9090'}}",
                path=".guards",
            ),
            cel(
                "!has(self.guards) || (has(self.metrics) && has(self.metrics.pods)) || "
                "self.guards.all(g, !has(g.minJobs) || g.minJobs == 0)",
                "a guard's minJobs counts jobs in the workers' metrics, but metrics.pods is not set; "
                "add it, e.g. metrics: {pods: {port: 9191}}, or remove minJobs",
                path=".guards",
            ),
            cel(
                "!has(self.rollout) || !has(self.rollout.minJobs) || self.rollout.minJobs == 0 || "
                "(has(self.metrics) && has(self.metrics.pods))",
                "minJobs counts jobs in the workers' metrics, but metrics.pods is not set; "
                "add it, e.g. metrics: {pods: {port: 9191}}, or set minJobs to 0",
                path=".rollout.minJobs",
            ),
        )
    }

    provider: DnsLabel = Field(description="hubspot, zoho, odoo or any DNS label. Immutable.")
    mode: Mode = Field(
        default=Mode.ENFORCE,
        description="Enforce, or Observe: decide and explain in status, and write nothing to workers. Default Enforce.",
    )
    workers: Workers
    queue: Queue
    scaling: Scaling
    rollout: Rollout = Field(default_factory=Rollout)
    metrics: Metrics = Field(default_factory=Metrics)
    guards: list[Guard] | None = Field(
        default=None,
        max_length=20,
        description="Omitted: the runbook's table. []: no guards.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
    )
    on_critical: OnCritical = Field(default_factory=OnCritical)
