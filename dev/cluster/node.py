"""The real node of the node tier: containerd, kubelet, kube-proxy and DNS, all in the cluster's own namespaces.

Pods are connected by CNI's `ptp`: each has a cable to the node and everything is routed, so Service addresses work
between pods of the node without the bridge netfilter module.
"""

import json
import subprocess
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import yaml

from dev.cluster.api import Api
from dev.cluster.components import Component, Supervisor
from dev.cluster.config import work_id
from dev.cluster.control_plane import ControlPlane
from dev.cluster.errors import ClusterError
from dev.cluster.network import Addresses, run
from dev.cluster.oci import write_single_binary_image
from dev.cluster.pki import Authority

PAUSE_IMAGE = "localhost/crm-dev/pause:dev"
CGROUPS = Path("/sys/fs/cgroup")
MAX_PODS = 250
# Folders with a fixed place on the machine that containerd, CNI and kubelet write to. In the cluster's own mount
# namespace each is covered by an empty one, so nothing is left on the machine and two clusters cannot meet there.
COVERED = ("/run/containerd", "/run/runc", "/var/lib/cni", "/var/log/containers")
KUBELET_ROOT = "/var/lib/kubelet"  # covered by a folder of the cluster's: too much for memory
CORE_DNS_RULES = [
    {"apiGroups": [""], "resources": ["endpoints", "services", "pods", "namespaces"], "verbs": ["list", "watch"]},
    {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["list", "watch"]},
]


@dataclass(frozen=True, slots=True)
class Node:
    """The node and what it is made from."""

    plane: ControlPlane
    addresses: Addresses

    @property
    def name(self) -> str:
        """Name of the Node object."""
        return f"{self.plane.name}-node"

    @property
    def work(self) -> Path:
        """The cluster's work folder."""
        return self.plane.work


def containerd_socket(work: Path) -> Path:
    """Where containerd listens."""
    return work / "containerd.sock"


def cgroup_root(work: Path) -> str:
    """The cgroup below which all pods of a cluster are, in each hierarchy."""
    return f"crm-dev-{work_id(work)}"


def prepare_machine(node: Node, supervisor_pid: int) -> None:
    """Cover the fixed folders, make the cgroups, raise the machine's limit of inotify instances. Needs root."""
    inside = ["nsenter", "--target", str(supervisor_pid), "--mount"]
    covers = [f"mkdir -p {path} && mount -t tmpfs -o mode=0711 crm-dev {path}" for path in COVERED]
    run(*inside, "sh", "-ec", "\n".join(covers))
    (node.work / "kubelet").mkdir()
    Path(KUBELET_ROOT).mkdir(parents=True, exist_ok=True)
    run(*inside, "mount", "--bind", str(node.work / "kubelet"), KUBELET_ROOT)
    for hierarchy in cgroup_hierarchies():
        (hierarchy / cgroup_root(node.work)).mkdir(exist_ok=True)
    limit = Path("/proc/sys/fs/inotify/max_user_instances")
    if int(limit.read_text()) < 1024:  # the usual 128 are used up by two clusters; raised, never lowered again
        limit.write_text("1024")


def cgroup_hierarchies() -> list[Path]:
    """Where cgroups are made: one folder with cgroup v2, one per controller with v1."""
    if (CGROUPS / "cgroup.controllers").exists():
        return [CGROUPS]
    return [folder for folder in CGROUPS.iterdir() if (folder / "cgroup.procs").exists() and not folder.is_symlink()]


def containerd(node: Node) -> Component:
    """containerd with its own root, state and socket, and our pause image."""
    home = node.work / "containerd"
    home.mkdir()
    cni = _cni_config(node)
    cri = {
        "sandbox_image": PAUSE_IMAGE,
        # Lowering the OOM score needs CAP_SYS_RESOURCE, which containers often lack: every sandbox would die of it.
        "restrict_oom_score_adj": True,
        "disable_apparmor": True,
        "disable_tcp_service": True,
        "netns_mounts_under_state_dir": True,
        "cni": {"bin_dir": "/usr/lib/cni", "conf_dir": str(cni)},
        "containerd": {
            "snapshotter": "overlayfs",
            "runtimes": {"runc": {"runtime_type": "io.containerd.runc.v2", "options": {"SystemdCgroup": False}}},
        },
    }
    config = {
        "version": 2,
        "root": str(home / "root"),
        "state": str(home / "state"),
        "grpc": {"address": str(containerd_socket(node.work))},
        "plugins": {"io.containerd.grpc.v1.cri": cri, "io.containerd.internal.v1.opt": {"path": str(home / "opt")}},
    }
    file = home / "config.toml"
    file.write_text("\n".join(_toml(config)) + "\n")
    return Component("containerd", ["/usr/bin/containerd", "--config", file])


def _toml(table: dict[str, Any], path: tuple[str, ...] = ()) -> list[str]:
    """Nested dicts of strings, numbers and booleans as TOML lines; JSON's notation of those is TOML's too."""
    lines = [f"[{'.'.join(json.dumps(part) for part in path)}]"] if path else []
    lines += [f"{key} = {json.dumps(value)}" for key, value in table.items() if not isinstance(value, dict)]
    for key, value in table.items():
        if isinstance(value, dict):
            lines += _toml(value, (*path, key))
    return lines


def _cni_config(node: Node) -> Path:
    ipam = {
        "type": "host-local",
        "ranges": [[{"subnet": str(node.addresses.pods)}]],
        "routes": [{"dst": "0.0.0.0/0"}],
        "dataDir": str(node.work / "cni" / "addresses"),
    }
    document = {
        "cniVersion": "1.0.0",
        "name": "crm-dev",
        "plugins": [
            {"type": "ptp", "ipMasq": False, "ipam": ipam},
            {"type": "portmap", "capabilities": {"portMappings": True}},
        ],
    }
    folder = node.work / "cni" / "net.d"
    folder.mkdir(parents=True)
    (folder / "10-crm-dev.conflist").write_text(json.dumps(document, indent=2))
    return folder


def load_pause_image(node: Node) -> None:
    """Give containerd the image that holds each pod's namespaces. Raises ClusterError."""
    archive = node.work / "pause.tar"
    write_single_binary_image(node.plane.binaries["pause"], name=PAUSE_IMAGE, archive=archive)
    import_image(node.work, archive)


def import_image(work: Path, archive: Path) -> None:
    """Load an OCI or Docker archive into the node. Raises ClusterError."""
    run("ctr", "--address", str(containerd_socket(work)), "--namespace", "k8s.io", "images", "import", str(archive))


def containerd_answers(work: Path) -> bool:
    """Whether containerd takes requests."""
    command = ["ctr", "--address", str(containerd_socket(work)), "--connect-timeout", "1s", "version"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def kubelet(node: Node, authority: Authority) -> Component:
    """The kubelet, without evictions or image clean-up: the machine's disk and memory are not the test's subject."""
    tls = authority.server("kubelet-server", f"system:node:{node.name}", [node.name, str(node.addresses.node)])
    (node.work / "resolv.conf").write_text("")
    config = {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": str(node.addresses.node),
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": str(authority.file)},
        },
        "authorization": {"mode": "Webhook"},
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{cgroup_root(node.work)}",
        "clusterDNS": [str(node.addresses.node)],
        "clusterDomain": "cluster.local",
        "containerRuntimeEndpoint": f"unix://{containerd_socket(node.work)}",
        "crashLoopBackOff": {"maxContainerRestartPeriod": "5s"},
        "evictionHard": {"memory.available": "0%", "nodefs.available": "0%", "imagefs.available": "0%"},
        "failCgroupV1": False,
        "failSwapOn": False,
        "imageGCHighThresholdPercent": 100,
        "maxPods": MAX_PODS,
        "oomScoreAdj": 0,
        "podLogsDir": str(pod_logs(node.work)),
        "readOnlyPort": 0,
        "registerNode": True,
        "resolvConf": str(node.work / "resolv.conf"),
        "serializeImagePulls": False,
        "syncFrequency": "10s",
        "tlsCertFile": str(tls.certificate),
        "tlsPrivateKeyFile": str(tls.key),
    }
    file = node.work / "kubelet.yaml"
    file.write_text(yaml.safe_dump(config))
    user = f"system:node:{node.name}"
    return Component(
        "kubelet",
        [
            node.plane.binaries["kubelet"],
            f"--config={file}",
            f"--kubeconfig={node.plane.kubeconfig(authority, user, ('system:nodes',), file='kubelet')}",
            f"--hostname-override={node.name}",
            f"--node-ip={node.addresses.node}",
            f"--root-dir={KUBELET_ROOT}",
            f"--cert-dir={node.work / 'pki'}",
        ],
    )


def pod_logs(work: Path) -> Path:
    """Where the kubelet keeps the logs of containers."""
    return work / "pod-logs"


def kube_proxy(node: Node, authority: Authority) -> Component:
    """kube-proxy in iptables mode: Service addresses work from pods and from the machine."""
    config = {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "bindAddress": str(node.addresses.node),
        "clientConnection": {"kubeconfig": str(node.plane.kubeconfig(authority, "system:kube-proxy"))},
        "clusterCIDR": str(node.addresses.pods),
        "conntrack": {"maxPerCore": 0},
        "healthzBindAddress": f"{node.addresses.node}:10256",
        "hostnameOverride": node.name,
        "metricsBindAddress": "127.0.0.1:10249",
        "mode": "iptables",
        "oomScoreAdj": 0,
        # Endpoints that change are seen at once: a drained worker must not get requests for another second.
        "iptables": {"minSyncPeriod": "100ms", "syncPeriod": "30s"},
    }
    file = node.work / "kube-proxy.yaml"
    file.write_text(yaml.safe_dump(config))
    return Component("kube-proxy", [node.plane.binaries["kube-proxy"], f"--config={file}"])


def core_dns(node: Node, authority: Authority) -> Component:
    """DNS of the cluster as a program of the node, on the node's address."""
    file = node.work / "Corefile"
    kubeconfig = node.plane.kubeconfig(authority, "crm-dev:coredns", file="coredns")
    file.write_text(
        f""".:53 {{
    bind {node.addresses.node}
    errors
    ready {dns_ready_address(node.addresses.node)}
    kubernetes cluster.local in-addr.arpa {{
        kubeconfig {kubeconfig}
        pods insecure
        ttl 2
    }}
    cache 2
}}
"""
    )
    return Component("coredns", [node.plane.binaries["coredns"], "-conf", file])


def dns_ready_address(address: IPv4Address) -> str:
    """Where CoreDNS tells whether it knows the cluster's Services: host and port."""
    return f"{address}:8181"


def grant_node_access(api: Api) -> None:
    """Roles that no default binding gives: the API server may ask kubelets (logs, exec), DNS may watch Services."""
    rbac = "/apis/rbac.authorization.k8s.io/v1"
    version = {"apiVersion": "rbac.authorization.k8s.io/v1"}
    role = {**version, "kind": "ClusterRole", "metadata": {"name": "crm-dev:coredns"}, "rules": CORE_DNS_RULES}
    api.create(f"{rbac}/clusterroles", role)
    for user, role_name in (
        ("apiserver-kubelet", "system:kubelet-api-admin"),
        ("crm-dev:coredns", "crm-dev:coredns"),
    ):
        binding = {
            **version,
            "kind": "ClusterRoleBinding",
            "metadata": {"name": f"crm-dev:{user.removeprefix('crm-dev:')}"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role_name},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}],
        }
        api.create(f"{rbac}/clusterrolebindings", binding)


def supervisor_pid(supervisor: Supervisor) -> int:
    """Pid of the running supervisor, the first process of the cluster's namespaces. Raises ClusterError."""
    identity = supervisor.identity
    if identity is None or not supervisor.alive:
        raise ClusterError("the cluster's supervisor does not run")
    return identity.pid
