"""Roles that no default binding of Kubernetes gives to the node tier's components."""

from typing import Any

from dev.cluster import dns
from dev.cluster.api import Api

_API = "/apis/rbac.authorization.k8s.io/v1"
_GROUP = "rbac.authorization.k8s.io"


def grant_node_access(api: Api) -> None:
    """Let the API server ask kubelets (logs, exec) and DNS watch Services. Raises ClusterError."""
    api.create(f"{_API}/clusterroles", _document("ClusterRole", dns.USER, rules=dns.RULES))
    for user, role in (("apiserver-kubelet", "system:kubelet-api-admin"), (dns.USER, dns.USER)):
        binding = _document(
            "ClusterRoleBinding",
            f"crm-dev:{user.removeprefix('crm-dev:')}",
            roleRef={"apiGroup": _GROUP, "kind": "ClusterRole", "name": role},
            subjects=[{"apiGroup": _GROUP, "kind": "User", "name": user}],
        )
        api.create(f"{_API}/clusterrolebindings", binding)


def _document(kind: str, name: str, **fields: Any) -> dict[str, Any]:
    return {"apiVersion": f"{_GROUP}/v1", "kind": kind, "metadata": {"name": name}, **fields}
