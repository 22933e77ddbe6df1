"""What the watches say exists: CrmIntegrations, SyncPauses, Deployments, Pods and autoscalers, as dicts, trimmed.

Three sources write here: watch events (`watch.py`), the periodic list (`resync.py`), and the answers to our own writes
(`apply.py`), which are put in at once so that the next pass sees them. They arrive in any order, so the cache keeps the
newest version of each object. Versions are compared as integers, which Kubernetes 1.35 made a promise
(KEP-5504) and which was true of every API server before. Names are reused, and the rule covers that too: whatever has
the name now was written after whatever had it before.

Taken for granted: one event loop; nobody changes a dict that was put in or taken out.
"""

import sys
from collections import OrderedDict, defaultdict
from collections.abc import Iterable, Iterator
from typing import Any

from crm_operator.api.names import CANARY_SUFFIX, LABEL_INTEGRATION
from crm_operator.controller.kube import Object
from crm_operator.controller.resources import AUTOSCALERS, CRMINTEGRATIONS, DEPLOYMENTS, PODS, SYNCPAUSES, Resource
from crm_operator.domain.key import Key

#: What is held, by kind.
KINDS: dict[str, Resource] = {r.kind: r for r in (CRMINTEGRATIONS, SYNCPAUSES, DEPLOYMENTS, PODS, AUTOSCALERS)}
#: Those that belong to a CrmIntegration by label.
CHILDREN = frozenset({DEPLOYMENTS.kind, PODS.kind})
#: Those that are found by what they belong to: children by CrmIntegration, autoscalers by the Deployment they name.
_INDEXED = CHILDREN | {AUTOSCALERS.kind}

#: Deletions remembered, so that a late event or answer does not bring the dead back. Some thousand pods' worth.
TOMBSTONES = 8192

_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


class Cache:
    """Objects by kind, namespace and name, and children by the CrmIntegration they belong to."""

    def __init__(self, namespaces: Iterable[str] | None = None) -> None:
        """`namespaces` None: all of them, with one list per kind."""
        self.scopes: tuple[str | None, ...] = (None,) if namespaces is None else tuple(namespaces)
        self._objects: dict[str, dict[Key, Object]] = {kind: {} for kind in KINDS}
        self._children: dict[str, dict[Key, set[Key]]] = {kind: defaultdict(set) for kind in _INDEXED}
        self._buried: OrderedDict[str, int] = OrderedDict()  # uid -> version of its deletion
        self._listed: dict[tuple[str, str | None], int] = {}  # version of the newest list

    # --- reads

    def get(self, kind: str, namespace: str, name: str) -> Object | None:
        return self._objects[kind].get(Key(namespace, name))

    def objects(self, kind: str, namespace: str | None = None) -> Iterator[Object]:
        """Of one namespace, or of all; in no order."""
        for key, obj in list(self._objects[kind].items()):
            if namespace is None or key.namespace == namespace:
                yield obj

    def keys(self, kind: str) -> list[Key]:
        return list(self._objects[kind])

    def children(self, kind: str, integration: Key) -> list[Object]:
        """Deployments or Pods that carry the integration's label, by name."""
        held = self._objects[kind]
        return [held[key] for key in sorted(self._children[kind].get(integration, ()))]

    def autoscalers(self, deployment: Key) -> list[Object]:
        """HorizontalPodAutoscalers that name this Deployment, by name."""
        return self.children(AUTOSCALERS.kind, deployment)

    def count(self, kind: str) -> int:
        return len(self._objects[kind])

    def synced(self, kind: str | None = None) -> bool:
        """Whether the kind, or every kind, has been listed in full at least once."""
        kinds = KINDS if kind is None else (kind,)
        return all((k, scope) in self._listed for k in kinds for scope in self.scopes)

    # --- writes

    def upsert(self, kind: str, obj: Object) -> bool:
        """Put in a version of an object; False: the cache holds it already, or something newer."""
        key, version = key_of(obj), version_of(obj)
        held = self._objects[kind].get(key)
        if held is not None and version_of(held) >= version:
            return False
        if self._buried.get(uid_of(obj), -1) >= version:
            return False
        if held is not None:
            self._unindex(kind, key, held)
        obj = trim(kind, obj)
        self._objects[kind][key] = obj
        owner = self._indexed_owner(kind, obj)
        if owner is not None:
            self._children[kind][owner].add(key)
        return True

    def remove(self, kind: str, obj: Object) -> bool:
        """Take out an object that was deleted, or left the watch's selector; False: it was not held.

        `obj` is as the watch's DELETED event gave it: its resourceVersion is that of the deletion.
        """
        self._bury(uid_of(obj), version_of(obj))
        key = key_of(obj)
        held = self._objects[kind].get(key)
        # A newer version of the same uid: it left the selector and came back. Another uid: a namesake made since.
        if held is None or uid_of(held) != uid_of(obj) or version_of(held) > version_of(obj):
            return False
        self._drop(kind, key, held)
        return True

    def replace(
        self, kind: str, items: Iterable[Object], resource_version: str, namespace: str | None = None
    ) -> set[Key]:
        """Bring one scope in line with a full list, and return the keys (see `owner_of`) that it changed.

        What the list lacks is gone, unless it was written after the list was read.
        """
        at = int(resource_version)
        touched: set[Key] = set()
        held = {k: o for k, o in self._objects[kind].items() if namespace is None or k.namespace == namespace}
        if at < self._listed.get((kind, namespace), 0):
            # Time went backwards: the cluster was restored from a backup, and our versions mean nothing in it.
            self._buried.clear()
            for key, obj in held.items():
                self._drop(kind, key, obj)
                touched |= owners(kind, obj)
            held = {}
        self._listed[kind, namespace] = at
        present: set[Key] = set()
        for item in items:
            present.add(key_of(item))
            before = self._objects[kind].get(key_of(item))
            if self.upsert(kind, item):
                touched |= owners(kind, item)
                if before is not None:
                    touched |= owners(kind, before)
        for key, obj in held.items():
            if key not in present and version_of(obj) <= at:
                self._drop(kind, key, obj)
                self._bury(uid_of(obj), at)
                touched |= owners(kind, obj)
        return touched

    # --- inside

    def _drop(self, kind: str, key: Key, obj: Object) -> None:
        del self._objects[kind][key]
        self._unindex(kind, key, obj)

    def _unindex(self, kind: str, key: Key, obj: Object) -> None:
        owner = self._indexed_owner(kind, obj)
        if owner is not None:
            siblings = self._children[kind][owner]
            siblings.discard(key)
            if not siblings:
                del self._children[kind][owner]

    def _indexed_owner(self, kind: str, obj: Object) -> Key | None:
        return owner_of(kind, obj) if kind in _INDEXED else None

    def _bury(self, uid: str, version: int) -> None:
        self._buried[uid] = max(version, self._buried.pop(uid, -1))
        while len(self._buried) > TOMBSTONES:
            self._buried.popitem(last=False)


def key_of(obj: Object) -> Key:
    """Its own namespace and name."""
    return Key(obj["metadata"]["namespace"], obj["metadata"]["name"])


def uid_of(obj: Object) -> str:
    return str(obj["metadata"]["uid"])


def version_of(obj: Object) -> int:
    """Raises ValueError when it is not a number, which no API server of ours can send."""
    return int(obj["metadata"]["resourceVersion"])


def owner_of(kind: str, obj: Object) -> Key | None:
    """Whose it is: the CrmIntegration of a child, the Deployment of an autoscaler, else the object itself.

    None: a child without the label, or an autoscaler of something else.
    """
    if kind == AUTOSCALERS.kind:
        target = obj["spec"]["scaleTargetRef"]
        is_deployment = (str(target.get("apiVersion")).partition("/")[0], target["kind"]) == ("apps", "Deployment")
        return Key(obj["metadata"]["namespace"], target["name"]) if is_deployment else None
    if kind not in CHILDREN:
        return key_of(obj)
    name = (obj["metadata"].get("labels") or {}).get(LABEL_INTEGRATION)
    return Key(obj["metadata"]["namespace"], name) if name else None


def owners(kind: str, obj: Object) -> set[Key]:
    """The keys to look at when an object changed: of an autoscaler, each CrmIntegration that may own its Deployment."""
    owner = owner_of(kind, obj)
    if owner is None:
        return set()
    if kind == AUTOSCALERS.kind:
        return {owner, owner._replace(name=owner.name.removesuffix(CANARY_SUFFIX))}
    return {owner}


def trim(kind: str, obj: Object) -> Object:
    """A copy without what nobody reads: managedFields and kubectl's copy of the spec, and most of a Pod.

    Words that many objects have in common (keys, kinds, reasons) are held once for all: a third of the memory.
    """
    lean: Object = _sharing_words(_without_noise(kind, obj))
    return lean


def _without_noise(kind: str, obj: Object) -> Object:
    metadata = {k: v for k, v in obj["metadata"].items() if k != "managedFields"}
    annotations = metadata.get("annotations")
    if annotations and _LAST_APPLIED in annotations:
        metadata["annotations"] = {k: v for k, v in annotations.items() if k != _LAST_APPLIED}
    if kind == PODS.kind:
        return _trim_pod(obj, metadata)
    if kind == AUTOSCALERS.kind:
        # Not its status, which changes every 15 s.
        who = _pick(metadata, "namespace", "name", "uid", "resourceVersion", "ownerReferences")
        return {**_pick(obj, "apiVersion", "kind"), "metadata": who, "spec": _pick(obj["spec"], "scaleTargetRef")}
    return {**obj, "metadata": metadata}


def _sharing_words(value: Any) -> Any:
    if isinstance(value, dict):
        return {sys.intern(name): _sharing_words(member) for name, member in value.items()}
    if isinstance(value, list):
        return [_sharing_words(item) for item in value]
    # A word, not a sentence, a time or a name with a number: those are as good as unique.
    return sys.intern(value) if isinstance(value, str) and value.isidentifier() else value


def _pick(source: dict[str, Any] | None, *fields: str) -> dict[str, Any]:
    return {field: source[field] for field in fields if source and field in source}


def _trim_pod(obj: Object, metadata: dict[str, Any]) -> Object:
    """What `world.Pod`, scraping and scale-in look at. A pod's spec is some kilobytes, times ten thousand pods."""
    status = obj.get("status") or {}
    containers = {
        field: [_pick(c, "name", "ready", "restartCount", "state", "lastState") for c in status[field]]
        for field in ("initContainerStatuses", "containerStatuses")
        if status.get(field)
    }
    return {
        **_pick(obj, "apiVersion", "kind"),
        "metadata": _pick(
            metadata,
            *("namespace", "name", "uid", "resourceVersion", "labels", "annotations", "ownerReferences"),
            *("creationTimestamp", "deletionTimestamp"),
        ),
        "spec": _pick(obj.get("spec"), "nodeName", "hostNetwork"),
        "status": _pick(status, "phase", "reason", "podIP", "hostIP", "startTime", "conditions") | containers,
    }
