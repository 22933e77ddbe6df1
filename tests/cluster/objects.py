"""Objects as users write them; a test says only what matters to it."""

from typing import Any

Json = dict[str, Any]


def worker_template(image: str = "localhost/worker:1", **container: Any) -> Json:
    """The smallest pod template."""
    return {"spec": {"containers": [{"name": "worker", "image": image, **container}]}}


def an_integration(name: str = "hubspot", **spec: Any) -> Json:
    """The smallest CrmIntegration that works; `spec` replaces whole members of its spec, None removes one."""
    members: Json = {
        "provider": "hubspot",
        "workers": {"template": worker_template()},
        "queue": {"url": "redis://redis:6379/0", "names": ["crm_hubspot"]},
        "scaling": {"maxReplicas": 3},
        **spec,
    }
    return {
        "apiVersion": "crm.agoralia.app/v1alpha1",
        "kind": "CrmIntegration",
        "metadata": {"name": name},
        "spec": {key: value for key, value in members.items() if value is not None},
    }


def a_pause(name: str = "incident", **spec: Any) -> Json:
    """A SyncPause of everything in its namespace, or of what `spec` says; None removes a member."""
    members: Json = {"providers": [], "reason": "INC-42", **spec}
    return {
        "apiVersion": "crm.agoralia.app/v1alpha1",
        "kind": "SyncPause",
        "metadata": {"name": name},
        "spec": {key: value for key, value in members.items() if value is not None},
    }


def a_guard(name: str = "errors", **members: Any) -> Json:
    """A guard on the queue's dead jobs, which needs no other configuration; None removes a member."""
    guard: Json = {
        "name": name,
        "metric": {"from": "queue", "name": "dead"},
        "reduce": "Last",
        "critical": {"above": 10},
        **members,
    }
    return {key: value for key, value in guard.items() if value is not None}
