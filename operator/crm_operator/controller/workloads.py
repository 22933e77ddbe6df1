"""From Deployments and Pods as the API server has them to the domain's `Workload`.

Knows what was last applied, so that a Deployment that nobody touched is not compared field by field: the API server
counts changes of a spec in `metadata.generation`, and ours are the only ones that should be there.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from crm_operator.api.names import ANNOTATION_DELETION_COST, LABEL_INTEGRATION, LABEL_REVISION, LABEL_ROLE
from crm_operator.controller.cache import Cache
from crm_operator.controller.kube import Object
from crm_operator.controller.render import deployment_name, is_owned, is_urgent
from crm_operator.controller.resources import DEPLOYMENTS, PODS
from crm_operator.domain.key import Key
from crm_operator.domain.plan import Role
from crm_operator.domain.world import Pod, Workload


@dataclass(frozen=True, slots=True)
class Applied:
    """What we last wrote to a Deployment, and the generation that it had then."""

    uid: str
    generation: int
    fingerprint: str


class Ledger:
    """What was last applied to each Deployment, in memory: after a restart each is applied once more."""

    def __init__(self) -> None:
        self._applied: dict[tuple[Key, Role], Applied] = {}

    def templated(self, key: Key, role: Role, stored: Object, fingerprint: str) -> None:
        """The template was applied; `stored` is the answer."""
        metadata = stored["metadata"]
        self._applied[key, role] = Applied(metadata["uid"], int(metadata["generation"]), fingerprint)

    def scaled(self, key: Key, role: Role, stored: Object) -> None:
        """The size was applied: one more generation, if nobody else wrote in between."""
        was = self._applied.get((key, role))
        metadata = stored["metadata"]
        if was is not None and was.uid == metadata["uid"] and int(metadata["generation"]) == was.generation + 1:
            self._applied[key, role] = Applied(was.uid, was.generation + 1, was.fingerprint)

    def intact(self, key: Key, role: Role, live: Object, fingerprint: str) -> bool:
        """Whether the live Deployment is what was last applied, and that is what is wanted now."""
        metadata = live["metadata"]
        return self._applied.get((key, role)) == Applied(metadata["uid"], int(metadata["generation"]), fingerprint)

    def knows(self, key: Key, role: Role, live: Object) -> bool:
        """Whether this process has applied the live Deployment before."""
        was = self._applied.get((key, role))
        return was is not None and was.uid == live["metadata"]["uid"]

    def forget(self, key: Key) -> None:
        self._applied.pop((key, "stable"), None)
        self._applied.pop((key, "canary"), None)


def find(cache: Cache, key: Key, role: Role, uid: str) -> Object | None:
    """The integration's Deployment of this role, if it is there and ours."""
    live = cache.get(DEPLOYMENTS.kind, key.namespace, deployment_name(key.name, role))
    if live is None or not is_owned(live, uid):
        return None
    return live


def labels_right(live: Object, key: Key, role: Role) -> bool:
    """Labels are metadata, which `generation` does not count."""
    have = live["metadata"].get("labels") or {}
    template = live["spec"]["template"]["metadata"].get("labels") or {}
    return (
        have.get(LABEL_INTEGRATION) == key.name
        and have.get(LABEL_ROLE) == role
        and have.get(LABEL_REVISION) == template.get(LABEL_REVISION)
    )


def revision_of(live: Object) -> str:
    """The revision on the Deployment's pod template; empty when somebody removed it."""
    template = live["spec"]["template"]["metadata"].get("labels") or {}
    return str(template.get(LABEL_REVISION, ""))


def workload(
    live: Object, pods: list[Object], *, role: Role, intact: bool, applied: bool, worker: str | None
) -> Workload:
    """The domain's view of a Deployment and its pods."""
    status = live.get("status") or {}
    return Workload(
        revision=revision_of(live),
        replicas=int(live["spec"].get("replicas", 1)),
        updated=int(status.get("updatedReplicas") or 0),
        ready=int(status.get("readyReplicas") or 0),
        available=int(status.get("availableReplicas") or 0),
        total=int(status.get("replicas") or 0),
        observed=int(status.get("observedGeneration") or 0) >= int(live["metadata"]["generation"]),
        intact=intact,
        applied=applied,
        urgent_strategy=role == "stable" and is_urgent(live),
        pods_refused=_pods_refused(status),
        pods=tuple(pod(item, role=role, worker=worker) for item in pods),
    )


def _pods_refused(status: dict[str, Any]) -> str | None:
    failures = (c for c in status.get("conditions") or () if c.get("type") == "ReplicaFailure")
    return next((str(c.get("message", ""))[:300] for c in failures if c.get("status") == "True"), None)


def pods_of(cache: Cache, key: Key, role: Role) -> list[Object]:
    """Pods of one side that could still take a job; those that ended are not among them."""
    return [
        item
        for item in cache.children(PODS.kind, key)
        if (item["metadata"].get("labels") or {}).get(LABEL_ROLE) == role
        and (item.get("status") or {}).get("phase") not in ("Succeeded", "Failed")
    ]


def pod(item: Object, *, role: Role, worker: str | None) -> Pod:
    """One pod, seen through its worker container."""
    container = container_status(item, worker)
    stuck = container if _waits_for(container) is not None else _stuck_init(item)
    return Pod(
        name=item["metadata"]["name"],
        role=role,
        revision=str((item["metadata"].get("labels") or {}).get(LABEL_REVISION, "")),
        ready=_is_ready(item),
        terminating=item["metadata"].get("deletionTimestamp") is not None,
        started_at=started_at(item, worker),
        restarts=int((stuck or container).get("restartCount") or 0),
        waiting_reason=None if stuck is None else _waits_for(stuck),
        waiting_message=None if stuck is None else _words(stuck),
        node=str((item.get("spec") or {}).get("nodeName") or ""),
        deletion_cost=_deletion_cost(item),
    )


def _deletion_cost(item: Object) -> int:
    """0 when it has none, or one that a ReplicaSet cannot read either."""
    text = (item["metadata"].get("annotations") or {}).get(ANNOTATION_DELETION_COST, "")
    try:
        return int(text)
    except ValueError:
        return 0


def _waits_for(container: dict[str, Any]) -> str | None:
    """Why a container does not run. None: it does, or is only being started."""
    reason = ((container.get("state") or {}).get("waiting") or {}).get("reason")
    return None if reason in (None, "ContainerCreating", "PodInitializing") else str(reason)


def _words(container: dict[str, Any]) -> str | None:
    message = ((container.get("state") or {}).get("waiting") or {}).get("message")
    return None if message is None else str(message)[:200]


def _stuck_init(item: Object) -> dict[str, Any] | None:
    """The init container that keeps the worker from starting."""
    statuses = (item.get("status") or {}).get("initContainerStatuses") or []
    return next((entry for entry in statuses if _waits_for(entry) is not None), None)


def serves(item: Object) -> bool:
    """Whether a pod is Ready and does not drain."""
    return _is_ready(item) and item["metadata"].get("deletionTimestamp") is None


def _is_ready(item: Object) -> bool:
    conditions = (item.get("status") or {}).get("conditions") or ()
    return any(c.get("type") == "Ready" and c.get("status") == "True" for c in conditions)


def container_status(item: Object, worker: str | None) -> dict[str, Any]:
    """The worker container's status, or an empty one."""
    statuses = (item.get("status") or {}).get("containerStatuses") or []
    return next((entry for entry in statuses if worker is None or entry.get("name") == worker), {})


def started_at(item: Object, worker: str | None) -> datetime | None:
    """When the worker's present process began."""
    running = (container_status(item, worker).get("state") or {}).get("running") or {}
    text = running.get("startedAt") or (item.get("status") or {}).get("startTime")
    return None if text is None else datetime.fromisoformat(text)
