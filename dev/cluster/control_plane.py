"""etcd, API server, controller manager and scheduler: the same in both tiers, on one address."""

import json
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import yaml

from dev.cluster.build import Binaries
from dev.cluster.components import Component
from dev.cluster.pki import Authority, Pair, service_account_keys, write_kubeconfig

LOOPBACK = IPv4Address("127.0.0.1")
ISSUER = "https://kubernetes.default.svc.cluster.local"
API_TIER_SERVICES = IPv4Network("10.96.0.0/16")  # handed out, but nobody routes them: there is no kube-proxy

#: The name that the API server has towards those behind it.
PROXY = "front-proxy-client"

AUDIT_POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],  # one line per request is enough to count
    "rules": [
        # Whether the server is healthy is asked all the time and tells nothing about its users.
        {"level": "None", "nonResourceURLs": ["/healthz*", "/livez*", "/readyz*"]},
        {"level": "Metadata"},
    ],
}


@dataclass(frozen=True, slots=True)
class ControlPlane:
    """Where the control plane is and what it hands out."""

    name: str  # of the cluster
    work: Path
    address: IPv4Address
    port: int
    services: IPv4Network
    binaries: Binaries
    node_tier: bool
    autoscaler_sync_seconds: int  # how often HorizontalPodAutoscalers are looked at

    @property
    def server(self) -> str:
        """URL of the API server."""
        return f"https://{self.address}:{self.port}"

    def kubeconfig(self, authority: Authority, user: str, groups: tuple[str, ...] = (), file: str = "") -> Path:
        """A kubeconfig with a fresh certificate for a user."""
        file = file or user.removeprefix("system:")
        return write_kubeconfig(
            self.work / f"{file}.kubeconfig",
            cluster=f"crm-dev-{self.name}",
            server=self.server,
            ca=authority.file,
            user=authority.client(file, user, groups),
        )


def etcd(plane: ControlPlane) -> Component:
    """etcd on a Unix socket; what it holds is not worth waiting for the disk."""
    return Component(
        "etcd",
        [
            plane.binaries["etcd"],
            f"--data-dir={plane.work / 'etcd'}",
            "--unsafe-no-fsync=true",
            f"--listen-client-urls=unix://{etcd_socket(plane.work)}",
            "--advertise-client-urls=http://127.0.0.111:0",
            "--listen-peer-urls=http://127.0.0.1:0",
            "--quota-backend-bytes=8589934592",
            "--log-level=warn",
        ],
    )


def etcd_socket(work: Path) -> Path:
    """Where etcd listens."""
    return work / "etcd.sock"


def api_server(plane: ControlPlane, authority: Authority) -> Component:
    """The API server, with RBAC, Pod Security admission (on by default) and an audit log."""
    names = ["localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc", ISSUER.removeprefix("https://")]
    addresses = [LOOPBACK, plane.address, plane.services.network_address + 1]
    tls = authority.server("apiserver", "kube-apiserver", [*names, *map(str, addresses)])
    accounts = service_account_keys(authority.file.parent)
    proxy = authority.client("front-proxy", PROXY)
    policy = plane.work / "audit-policy.yaml"
    policy.write_text(yaml.safe_dump(AUDIT_POLICY))
    argv: list[str | Path] = [
        plane.binaries["kube-apiserver"],
        f"--etcd-servers=unix://{etcd_socket(plane.work)}",
        f"--bind-address={plane.address}",
        f"--advertise-address={plane.address}",
        f"--secure-port={plane.port}",
        f"--tls-cert-file={tls.certificate}",
        f"--tls-private-key-file={tls.key}",
        f"--client-ca-file={authority.file}",
        "--anonymous-auth=false",
        # For API servers behind this one, as adapters of metrics are: it says there who asks.
        f"--requestheader-client-ca-file={authority.file}",
        f"--requestheader-allowed-names={PROXY}",
        "--requestheader-username-headers=X-Remote-User",
        "--requestheader-group-headers=X-Remote-Group",
        "--requestheader-extra-headers-prefix=X-Remote-Extra-",
        f"--proxy-client-cert-file={proxy.certificate}",
        f"--proxy-client-key-file={proxy.key}",
        "--authorization-mode=Node,RBAC",
        f"--service-account-issuer={ISSUER}",
        f"--service-account-key-file={accounts.certificate}",
        f"--service-account-signing-key-file={accounts.key}",
        f"--service-cluster-ip-range={plane.services}",
        "--enable-admission-plugins=NodeRestriction",
        "--allow-privileged=true",
        "--profiling=false",
        f"--audit-policy-file={policy}",
        f"--audit-log-path={audit_log(plane.work)}",
        "--audit-log-maxsize=4096",  # MiB: tests read the whole file, so it must not be rotated under them
    ]
    if plane.node_tier:
        argv += _kubelet_access(authority)
    else:
        # A loopback address is no valid endpoint, and without pods nobody needs the Service `kubernetes`.
        argv += ["--endpoint-reconciler-type=none"]
    return Component("kube-apiserver", argv)


def audit_log(work: Path) -> Path:
    """The API server's audit log: JSON lines."""
    return work / "audit.log"


def _kubelet_access(authority: Authority) -> list[str]:
    client: Pair = authority.client("apiserver-kubelet", "apiserver-kubelet")
    return [
        f"--kubelet-client-certificate={client.certificate}",
        f"--kubelet-client-key={client.key}",
        f"--kubelet-certificate-authority={authority.file}",
        "--kubelet-preferred-address-types=InternalIP",
    ]


def controller_manager(plane: ControlPlane, authority: Authority) -> Component:
    """All controllers, fast enough to make thousands of pods in a test."""
    config = plane.kubeconfig(authority, "system:kube-controller-manager")
    return Component(
        "kube-controller-manager",
        [
            plane.binaries["kube-controller-manager"],
            *_kubeconfig_flags(config),
            f"--kubeconfig={config}",
            "--leader-elect=false",
            "--use-service-account-credentials=true",
            f"--service-account-private-key-file={authority.file.parent / 'service-account.key'}",
            f"--root-ca-file={authority.file}",
            "--allocate-node-cidrs=false",
            "--kube-api-qps=500",
            "--kube-api-burst=1000",
            "--concurrent-deployment-syncs=20",
            "--concurrent-replicaset-syncs=20",
            "--concurrent-gc-syncs=40",
            f"--horizontal-pod-autoscaler-sync-period={plane.autoscaler_sync_seconds}s",
            "--profiling=false",
        ],
    )


def scheduler(plane: ControlPlane, authority: Authority) -> Component:
    """The scheduler."""
    kubeconfig = plane.kubeconfig(authority, "system:kube-scheduler")
    config = plane.work / "scheduler.json"
    config.write_text(
        json.dumps(
            {
                "apiVersion": "kubescheduler.config.k8s.io/v1",
                "kind": "KubeSchedulerConfiguration",
                "leaderElection": {"leaderElect": False},
                "clientConnection": {"kubeconfig": str(kubeconfig), "qps": 500, "burst": 1000},
            }
        )
    )
    return Component(
        "kube-scheduler", [plane.binaries["kube-scheduler"], f"--config={config}", *_kubeconfig_flags(kubeconfig)]
    )


def _kubeconfig_flags(kubeconfig: Path) -> list[str]:
    return [
        f"--authentication-kubeconfig={kubeconfig}",
        f"--authorization-kubeconfig={kubeconfig}",
        # No port: nobody asks these two over the network, and clusters side by side would fight for it.
        "--secure-port=0",
    ]
