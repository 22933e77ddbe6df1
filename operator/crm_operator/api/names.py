"""The names that users and other programs see: group, labels, annotations, field managers.

Changing any of them is a breaking change of the API.
"""

GROUP = "crm.agoralia.app"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"

INTEGRATIONS = "crmintegrations"
PAUSES = "syncpauses"

#: On Deployment, ReplicaSet, pod and ControllerRevision: which CrmIntegration it belongs to.
LABEL_INTEGRATION = f"{GROUP}/integration"
#: `stable` or `canary`.
LABEL_ROLE = f"{GROUP}/role"
#: The revision of the pod template, see domain/revision.py.
LABEL_REVISION = f"{GROUP}/revision"
LABEL_MANAGED_BY = "app.kubernetes.io/managed-by"
MANAGED_BY = "crm-operator"

#: Injected into the worker container by the downward API.
ENV_REVISION = "CRM_REVISION"
ENV_ROLE = "CRM_ROLE"

#: Name of the worker container in a template with several containers.
WORKER_CONTAINER = "worker"

FIELD_MANAGER_TEMPLATE = "crm-operator-template"
FIELD_MANAGER_SCALE = "crm-operator-scale"
FIELD_MANAGER_STATUS = "crm-operator-status"
FIELD_MANAGER_DELETION_COST = "crm-operator-deletion-cost"

#: Suffix of the canary Deployment's name.
CANARY_SUFFIX = "-canary"

#: Kubernetes' own, on a pod: of several that may go, a ReplicaSet takes the one with the lowest cost first.
ANNOTATION_DELETION_COST = "controller.kubernetes.io/pod-deletion-cost"
#: The lowest that Kubernetes takes. The operator writes no other.
LOWEST_DELETION_COST = -(2**31)


def annotation(verb: str) -> str:
    """The annotation by which a person asks for a verb: `crm.agoralia.app/promote`."""
    return f"{GROUP}/{verb}"
