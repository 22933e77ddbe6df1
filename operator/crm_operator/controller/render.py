"""What we write: from a user's pod template the Deployment, and a SyncPause. Pure: no client, no clock.

What is added to the user's template: labels that tell integration, role and revision apart, and the environment
variables CRM_REVISION and CRM_ROLE in the worker container, by the downward API. Nothing else, so that the template
means here what it means in a Deployment of the user's own.
"""

import copy
import hashlib
import json
from typing import Any

from crm_operator.api.names import (
    API_VERSION,
    CANARY_SUFFIX,
    ENV_REVISION,
    ENV_ROLE,
    LABEL_INTEGRATION,
    LABEL_MANAGED_BY,
    LABEL_REVISION,
    LABEL_ROLE,
    MANAGED_BY,
    WORKER_CONTAINER,
)
from crm_operator.api.v1alpha1 import Strategy
from crm_operator.controller.kube import Object
from crm_operator.domain.plan import CreatePause, Role
from crm_operator.domain.world import Template

#: Of the canary, and of a rollback. No old pod waits for a new one, nor for the Deployment controller, which with any
#: surge makes new pods first, and ends old ones only when it looks again.
#: `0%` is only ever ours, since a user's becomes 0: so a rollback under way is told from a user's own 0/100%, and is
#: known after a restart.
_ALL_AT_ONCE = {"maxSurge": "0%", "maxUnavailable": "100%"}
#: The reason that is given with `name_taken`.
NAME_TAKEN = "NameTaken"


class TemplateError(ValueError):
    """The template cannot be used; the text names field, value and remedy."""


def deployment_name(integration: str, role: Role) -> str:
    """`hubspot` and `hubspot-canary`."""
    return integration if role == "stable" else integration + CANARY_SUFFIX


def revision_name(integration: str, revision: str) -> str:
    """Name of the ControllerRevision that keeps a template."""
    return f"{integration}-{revision}"


def owner_reference(integration: Object) -> Object:
    """Makes the garbage collector delete a child with its CrmIntegration."""
    return {
        "apiVersion": API_VERSION,
        "kind": "CrmIntegration",
        "name": integration["metadata"]["name"],
        "uid": integration["metadata"]["uid"],
        "controller": True,
    }


def is_owned(child: Object, uid: str) -> bool:
    """Whether the integration with this uid owns the object."""
    return any(owner.get("uid") == uid for owner in child["metadata"].get("ownerReferences") or ())


def name_taken(kind: str, name: str) -> str:
    """What is said of an object that somebody else made under our name."""
    return f"{kind} {name} exists and is not this integration's; delete it, or rename one of them"


def labels(integration: str, role: Role, revision: str) -> dict[str, str]:
    """On Deployment, ReplicaSet and pod."""
    return {
        LABEL_MANAGED_BY: MANAGED_BY,
        LABEL_INTEGRATION: integration,
        LABEL_ROLE: role,
        LABEL_REVISION: revision,
    }


def deployment(
    integration: Object, *, role: Role, revision: str, template: Template, strategy: Strategy, urgent: bool
) -> Object:
    """The intent for one Deployment, without replicas, which have a field manager of their own.

    `strategy` is the user's; with `urgent`, and in the canary, all old pods go at once instead.

    Raises TemplateError when the worker container cannot be told.
    """
    name = integration["metadata"]["name"]
    ours = labels(name, role, revision)
    # The canary's pods, and those of a bad version, all go at once: nobody wants them to take another job.
    all_at_once = urgent or role == "canary"
    return {
        "metadata": {"labels": ours, "ownerReferences": [owner_reference(integration)]},
        "spec": {
            "selector": {"matchLabels": {LABEL_INTEGRATION: name, LABEL_ROLE: role}},
            "strategy": {
                "type": "RollingUpdate",
                "rollingUpdate": dict(_ALL_AT_ONCE) if all_at_once else _rolling_update(strategy),
            },
            "template": _pod_template(template, ours),
        },
    }


def sync_pause(integration: Object, pause: CreatePause) -> Object:
    """The SyncPause that the operator makes: of this one integration, and deleted with it."""
    name = integration["metadata"]["name"]
    return {
        "metadata": {
            "name": pause.name,
            "labels": {LABEL_MANAGED_BY: MANAGED_BY, LABEL_INTEGRATION: name},
            "ownerReferences": [owner_reference(integration)],
        },
        "spec": {"integrations": [name], "paused": True, "reason": pause.reason},
    }


def is_urgent(deployment: Object) -> bool:
    """Whether a stable Deployment carries the strategy of a rollback."""
    return bool((deployment["spec"].get("strategy") or {}).get("rollingUpdate") == _ALL_AT_ONCE)


def worker_container(template: Template) -> str:
    """The name of the container that works: the one named `worker`, else the only one.

    Raises TemplateError.
    """
    containers = (template.get("spec") or {}).get("containers") or []
    names = [str(container.get("name", "")) for container in containers if isinstance(container, dict)]
    if WORKER_CONTAINER in names:
        return WORKER_CONTAINER
    if len(names) == 1:
        return names[0]
    raise TemplateError(
        f"spec.workers.template.spec.containers has {len(names)} containers ({', '.join(names) or 'none'}) and none is "
        f"named {WORKER_CONTAINER}; name the one that takes jobs {WORKER_CONTAINER}"
    )


def worker_image(template: Template) -> str | None:
    """The image that works. None: it cannot be told, or is longer than a status can hold."""
    try:
        worker = worker_container(template)
    except TemplateError:
        return None
    containers = template["spec"]["containers"]
    image = next((container.get("image") for container in containers if container.get("name") == worker), None)
    return image if isinstance(image, str) and 0 < len(image) <= 512 else None


def fingerprint(intent: Object) -> str:
    """Tells whether two intents are the same."""
    return hashlib.sha256(json.dumps(intent, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _rolling_update(strategy: Strategy) -> Object:
    wanted = {"maxSurge": strategy.max_surge, "maxUnavailable": strategy.max_unavailable}
    return {name: 0 if value == "0%" else value for name, value in wanted.items()}


def _pod_template(template: Template, ours: dict[str, str]) -> Object:
    worker = worker_container(template)
    result: dict[str, Any] = copy.deepcopy(template)
    metadata = result.get("metadata") or {}
    # Identity belongs to the pods; a user's name or namespace here means nothing in a Deployment.
    result["metadata"] = {
        key: value for key, value in metadata.items() if key in ("labels", "annotations") and value is not None
    }
    result["metadata"]["labels"] = {**(metadata.get("labels") or {}), **ours}
    for container in result["spec"]["containers"]:
        if container.get("name") == worker:
            container["env"] = _with_downward(container.get("env") or [])
    return result


def _with_downward(env: list[Object]) -> list[Object]:
    """The user's own variables win: theirs may come from somewhere that we do not know."""
    present = {variable.get("name") for variable in env}
    added = [
        {"name": name, "valueFrom": {"fieldRef": {"fieldPath": f"metadata.labels['{label}']"}}}
        for name, label in ((ENV_REVISION, LABEL_REVISION), (ENV_ROLE, LABEL_ROLE))
        if name not in present
    ]
    return [*env, *added]
