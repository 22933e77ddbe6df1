"""The operator's user: the shipped ServiceAccount with the shipped rights, and a kubeconfig that holds its token."""

import base64
from dataclasses import dataclass
from pathlib import Path

import yaml

from dev.cluster import Cluster

BASE = Path(__file__).parents[2] / "manifests" / "base"
NAMESPACE = "crm-operator-system"
ACCOUNT = "crm-operator"
USER = f"system:serviceaccount:{NAMESPACE}:{ACCOUNT}"


@dataclass(frozen=True, slots=True)
class Identity:
    """Who the operator is in these tests."""

    kubeconfig: Path
    user: str = USER
    namespace: str = NAMESPACE  # of its lease


def install(cluster: Cluster, folder: Path) -> Identity:
    """Apply the shipped account and rights, and write a kubeconfig into `folder`."""
    cluster.run_kubectl("apply", "-f", str(BASE / "namespace.yaml"))
    for name in ("service-account.yaml", "rbac.yaml"):
        cluster.run_kubectl("apply", "--namespace", NAMESPACE, "-f", str(BASE / name))
    return Identity(_kubeconfig(cluster, folder, ACCOUNT))


def _kubeconfig(cluster: Cluster, folder: Path, account: str) -> Path:
    token = cluster.run_kubectl("create", "token", account, "--namespace", NAMESPACE, "--duration", "3h").strip()
    admin = yaml.safe_load(cluster.kubeconfig.read_text())
    server = admin["clusters"][0]["cluster"]
    if "certificate-authority" in server:
        authority = (cluster.kubeconfig.parent / server["certificate-authority"]).read_bytes()
        server = {"server": server["server"], "certificate-authority-data": base64.b64encode(authority).decode()}
    name = "operator"
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": name,
        "clusters": [{"name": name, "cluster": server}],
        "users": [{"name": name, "user": {"token": token}}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
    }
    path = folder / f"{account}.kubeconfig"
    path.touch(mode=0o600)
    path.write_text(yaml.safe_dump(document))
    return path


def install_without(cluster: Cluster, folder: Path, *, verb: str, resource: str) -> Identity:
    """Another account, with the shipped rights but this one, and its own kubeconfig in `folder`."""
    account = f"{ACCOUNT}-without-{verb}-{resource}"
    documents = []
    for name in ("service-account.yaml", "rbac.yaml"):
        for document in yaml.safe_load_all((BASE / name).read_text()):
            for rule in document.get("rules") or ():
                if resource in rule["resources"]:
                    rule["verbs"].remove(verb)
            named = [document["metadata"], *document.get("subjects", ())]
            named += [document["roleRef"]] if "roleRef" in document else []
            for part in named:
                part["name"] = part["name"].replace(ACCOUNT, account)
            documents.append(document)
    cluster.run_kubectl("apply", "--namespace", NAMESPACE, "-f", "-", stdin=yaml.safe_dump_all(documents))
    return Identity(_kubeconfig(cluster, folder, account), user=f"system:serviceaccount:{NAMESPACE}:{account}")


def granted() -> set[tuple[str, str, str]]:
    """Every (verb, group, resource) of the shipped roles."""
    return {
        (verb, group, resource)
        for document in yaml.safe_load_all((BASE / "rbac.yaml").read_text())
        for rule in document.get("rules") or ()
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
