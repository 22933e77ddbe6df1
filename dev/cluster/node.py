"""The real node of the node tier: kubelet and kube-proxy, and what the machine must give for them (mounts, cgroups).

Everything runs in the cluster's own namespaces. See also containerd.py, dns.py and network.py.
"""

from dataclasses import dataclass
from pathlib import Path

import yaml

from dev.cluster import containerd
from dev.cluster.components import Component, Supervisor
from dev.cluster.config import work_id
from dev.cluster.control_plane import ControlPlane
from dev.cluster.errors import ClusterError
from dev.cluster.network import Addresses, run
from dev.cluster.pki import Authority

CGROUPS = Path("/sys/fs/cgroup")
MAX_PODS = 250
# Folders with a fixed place on the machine that containerd, CNI and kubelet write to. In the cluster's own mount
# namespace each is covered by an empty one, so nothing is left on the machine and two clusters cannot meet there.
COVERED = ("/run/containerd", "/run/runc", "/var/lib/cni", "/var/log/containers")
KUBELET_ROOT = "/var/lib/kubelet"  # covered by a folder of the cluster's: too much for memory


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
        "containerRuntimeEndpoint": f"unix://{containerd.socket_path(node.work)}",
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


def supervisor_pid(supervisor: Supervisor) -> int:
    """Pid of the running supervisor, the first process of the cluster's namespaces. Raises ClusterError."""
    identity = supervisor.identity
    if identity is None or not supervisor.alive:
        raise ClusterError("the cluster's supervisor does not run")
    return identity.pid
