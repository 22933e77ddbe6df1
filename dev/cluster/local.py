"""The local provider: a Kubernetes built from its Go modules and run as processes of this machine.

No Docker engine needed. Here is the order of a start and nothing else; what each component needs to know is in
control_plane.py, node.py and kwok.py.
"""

import os
import socket
import time
from dataclasses import replace
from pathlib import Path

import httpx

from dev.cluster import containerd, control_plane, dns, kwok, network, node, rbac, teardown
from dev.cluster.api import Api
from dev.cluster.build import Binaries, ensure_binaries
from dev.cluster.components import Supervisor
from dev.cluster.config import ProviderName, Tier, clusters_root
from dev.cluster.control_plane import ControlPlane
from dev.cluster.errors import ClusterError, MissingRequirement
from dev.cluster.locks import exclusive
from dev.cluster.network import Addresses
from dev.cluster.node import Node
from dev.cluster.packages import NODE, ensure_packages
from dev.cluster.pki import Authority, Pair
from dev.cluster.progress import Progress
from dev.cluster.state import Record, all_records

API_PORT = 6443  # in a network namespace of its own, the usual port is free


def start(
    name: str, tier: Tier, work: Path, progress: Progress, *, fake_nodes: int, autoscaler_sync_seconds: int
) -> None:
    """Start a cluster in an unused work folder and wait until it is complete.

    Raises MissingRequirement for what this machine lacks, ComponentFailed for a component that ended or is not ready
    in time. When it fails, everything is ended and the logs stay until the next start.
    """
    if tier is Tier.NODE:
        if os.geteuid() != 0:
            raise MissingRequirement(
                "the node tier needs root (namespaces, mounts, cgroups); use --tier api, or run as root"
            )
        ensure_packages(NODE, progress)
    binaries = ensure_binaries(tier, progress)
    began = time.monotonic()
    record = _reserve(name, tier, work, progress)
    try:
        plane = _plane(record, work, binaries, autoscaler_sync_seconds)
        _start_components(record, plane, progress, fake_nodes=fake_nodes)
    except BaseException:  # an interrupt too: a half-started cluster is of no use to anybody
        teardown.end_processes(work)
        raise
    replace(record, ready=True).save(work)
    progress.step(f"cluster {name} ({tier} tier) is ready after {time.monotonic() - began:.1f} s")


def is_healthy(record: Record, work: Path) -> bool:
    """Whether a recorded cluster runs, all of it."""
    supervisor = Supervisor(work)
    if not record.ready or not supervisor.alive:
        return False
    try:
        if any(status.pid is None for status in supervisor.statuses().values()):
            return False
        with admin_api(record.server, work) as api:
            return api.is_ready() and (record.tier is Tier.API or api.node_ready(f"{record.name}-node"))
    except ClusterError:  # it ended, or stopped answering, between two questions
        return False


def admin_api(server: str, work: Path) -> Api:
    """The API as the cluster's administrator."""
    pki = work / "pki"
    return Api(server, pki / "ca.crt", Pair(pki / "admin.crt", pki / "admin.key"))


def _reserve(name: str, tier: Tier, work: Path, progress: Progress) -> Record:
    """Make the work folder and choose addresses that no other cluster uses; the record in it reserves them."""
    with exclusive(clusters_root() / ".addresses.lock", progress, "choosing addresses"):
        others = all_records()
        work.mkdir(parents=True, mode=0o700)
        (work / "logs").mkdir()
        if tier is Tier.NODE:
            taken = network.routed_networks() + [other.block for other in others if other.block]
            addresses = network.choose_addresses(taken)
            server = f"https://{addresses.node}:{API_PORT}"
            record = Record(name=name, tier=tier, provider=ProviderName.LOCAL, server=server, block=addresses.block)
        else:
            port = network.choose_port([other.port for other in others if other.port])
            server = f"https://{control_plane.LOOPBACK}:{port}"
            record = Record(name=name, tier=tier, provider=ProviderName.LOCAL, server=server, port=port)
        record.save(work)
    return record


def _start_components(record: Record, plane: ControlPlane, progress: Progress, *, fake_nodes: int) -> None:
    work, binaries = plane.work, plane.binaries
    supervisor = Supervisor(work)
    progress.busy("starting the control plane")
    supervisor.launch(isolated=record.tier is Tier.NODE)
    authority = Authority(work / "pki")
    if record.block:
        the_node = Node(plane, Addresses(record.block))
        node.prepare_machine(the_node, node.supervisor_pid(supervisor))
        network.connect(the_node.addresses, work, node.supervisor_pid(supervisor))
        supervisor.start(containerd.containerd(work, the_node.addresses.pods))  # early: it needs no API server
    plane.kubeconfig(authority, "admin", ("system:masters",))
    (work / "kubectl").symlink_to(binaries["kubectl"])
    with _start_control_plane(supervisor, plane, authority) as api:
        if record.block:
            _start_node(supervisor, the_node, authority, api, progress)
        else:
            _start_fake_nodes(supervisor, plane, authority, api, progress, fake_nodes)
        supervisor.wait_ready(
            "kube-controller-manager",
            lambda: api.exists("/api/v1/namespaces/default/serviceaccounts/default"),
            "the service account of namespace default",
        )


def _plane(record: Record, work: Path, binaries: Binaries, autoscaler_sync_seconds: int) -> ControlPlane:
    if record.block:
        addresses = Addresses(record.block)
        address, port, services = addresses.node, API_PORT, addresses.services
    else:
        assert record.port is not None
        address, port, services = control_plane.LOOPBACK, record.port, control_plane.API_TIER_SERVICES
    return ControlPlane(
        name=record.name,
        work=work,
        address=address,
        port=port,
        services=services,
        binaries=binaries,
        node_tier=record.tier is Tier.NODE,
        autoscaler_sync_seconds=autoscaler_sync_seconds,
    )


def _start_control_plane(supervisor: Supervisor, plane: ControlPlane, authority: Authority) -> Api:
    supervisor.start(control_plane.etcd(plane))
    etcd_socket = control_plane.etcd_socket(plane.work)
    supervisor.wait_ready("etcd", lambda: _accepts(etcd_socket), "etcd's socket")
    supervisor.start(control_plane.api_server(plane, authority))
    api = admin_api(plane.server, plane.work)
    supervisor.wait_ready("kube-apiserver", api.is_ready, "/readyz")
    supervisor.start(control_plane.controller_manager(plane, authority))
    supervisor.start(control_plane.scheduler(plane, authority))
    return api


def _start_node(supervisor: Supervisor, the_node: Node, authority: Authority, api: Api, progress: Progress) -> None:
    progress.busy("starting the node")
    rbac.grant_node_access(api)
    supervisor.wait_ready("containerd", lambda: containerd.answers(the_node.work), "containerd's answer")
    containerd.load_pause_image(the_node.work, the_node.plane.binaries["pause"])
    for component in (
        node.kubelet(the_node, authority),
        node.kube_proxy(the_node, authority),
        dns.core_dns(the_node, authority),
    ):
        supervisor.start(component)
    supervisor.wait_ready("kubelet", lambda: api.node_ready(the_node.name), "node Ready")
    supervisor.wait_ready(
        "coredns", lambda: _answers_ok(f"http://{dns.ready_address(the_node.addresses.node)}/ready"), "DNS"
    )
    # From the machine by ClusterIP to the API server: proves cable, routes and kube-proxy's rules at once.
    service = str(the_node.addresses.kubernetes_service)
    supervisor.wait_ready("kube-proxy", lambda: _accepts((service, 443)), f"Service kubernetes at {service}")


def _start_fake_nodes(
    supervisor: Supervisor, plane: ControlPlane, authority: Authority, api: Api, progress: Progress, count: int
) -> None:
    progress.busy("starting fake nodes")
    supervisor.start(kwok.kwok(plane, authority))
    for name in kwok.create_fake_nodes(api, count):
        supervisor.wait_ready("kwok", lambda name=name: api.node_ready(name), f"fake node {name} Ready")  # type: ignore[misc]


def _accepts(address: Path | tuple[str, int]) -> bool:
    """Whether somebody accepts connections there: a Unix socket, or host and port."""
    family = socket.AF_UNIX if isinstance(address, Path) else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(str(address) if isinstance(address, Path) else address)
        except OSError:
            return False
        return True


def _answers_ok(url: str) -> bool:
    try:
        return httpx.get(url, timeout=2.0, trust_env=False).status_code == httpx.codes.OK
    except httpx.TransportError:
        return False
