"""The kinds of objects that are read and written, and where the API server keeps each."""

from dataclasses import dataclass
from urllib.parse import quote

from crm_operator.api.names import GROUP, INTEGRATIONS, PAUSES, VERSION


@dataclass(frozen=True, slots=True)
class Resource:
    """One kind of namespaced objects and where the API server keeps it."""

    group: str  # "" is the core group
    version: str
    plural: str
    kind: str

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    def path(self, namespace: str | None, name: str | None = None, subresource: str | None = None) -> str:
        """`/apis/apps/v1/namespaces/crm/deployments/hubspot/scale`; namespace None means all of them."""
        parts = ["apis", self.group, self.version] if self.group else ["api", self.version]
        if namespace is not None:
            parts += ["namespaces", namespace]
        parts.append(self.plural)
        parts += [part for part in (name, subresource) if part is not None]
        # A name from outside must not be able to climb to another path.
        return "/" + "/".join(quote(part, safe="") for part in parts)


DEPLOYMENTS = Resource("apps", "v1", "deployments", "Deployment")
CONTROLLERREVISIONS = Resource("apps", "v1", "controllerrevisions", "ControllerRevision")
AUTOSCALERS = Resource("autoscaling", "v2", "horizontalpodautoscalers", "HorizontalPodAutoscaler")
PODS = Resource("", "v1", "pods", "Pod")
SECRETS = Resource("", "v1", "secrets", "Secret")
EVENTS = Resource("events.k8s.io", "v1", "events", "Event")
LEASES = Resource("coordination.k8s.io", "v1", "leases", "Lease")
CRMINTEGRATIONS = Resource(GROUP, VERSION, INTEGRATIONS, "CrmIntegration")
SYNCPAUSES = Resource(GROUP, VERSION, PAUSES, "SyncPause")
