"""What the controller asks for: which queues of which broker, for one integration."""

from dataclasses import dataclass
from datetime import timedelta

from crm_operator.api.v1alpha1 import BrokerKind
from crm_operator.sources.secret import Secret


@dataclass(frozen=True, slots=True)
class QueueSource:
    """The queues of one integration."""

    url: Secret  # as `broker` wants it, password included
    namespace: str  # Redis: the key prefix, not the Kubernetes namespace; RabbitMQ: not looked at
    names: tuple[str, ...]
    window: timedelta  # for the largest backlog: scaling.scaleDownAfter
    #: What error texts call the place of the URL, e.g. `spec.queue.urlFrom (Secret redis, key url)`.
    field: str = "spec.queue.url"
    ca: Secret | None = None  # PEM, for TLS; no secret, but it comes from one
    ca_field: str = "spec.queue.tls.caFrom"
    broker: BrokerKind = BrokerKind.REDIS
