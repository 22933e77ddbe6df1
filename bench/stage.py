"""What every benchmark stands on: a cluster with our kinds, a namespace of its own, a Redis, and the operator."""

import contextlib
import socket
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import httpx

from dev.cluster import Cluster, Tier, down, find, up
from dev.operator import OperatorProcess
from tests.cluster.kube import connect, install_crds
from tests.redisserver import RedisServer

DEFAULT_CLUSTERS = {Tier.API: "bench-api", Tier.NODE: "bench-node"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """How a benchmark is asked to run."""

    out: Path  # folder for raw data and the operator's log
    seed: int
    smoke: bool = False
    cluster: str | None = None  # an existing one, which is left running
    quiet_load: float = 1.5  # wait for a lower load average before each part, ...
    patience_seconds: float = 0.0  # ... but no longer than this


@contextmanager
def cluster_for(run: Run, tier: Tier, *, autoscaler_sync_seconds: int = 15) -> Iterator[Cluster]:
    """The named cluster, or one of our own that is taken down afterwards. Raises ClusterError."""
    if run.cluster is not None:
        found = find(run.cluster)
        if found is None or found.tier is not tier:
            raise SystemExit(f"there is no cluster {run.cluster} of the {tier} tier; start it, or leave --cluster out")
        yield found
        return
    name = DEFAULT_CLUSTERS[tier]
    try:
        yield up(name=name, tier=tier, autoscaler_sync_seconds=autoscaler_sync_seconds)
    finally:
        down(name=name)


@asynccontextmanager
async def namespace(cluster: Cluster) -> AsyncIterator[tuple[httpx.AsyncClient, str]]:
    """An administrator's client and a fresh namespace; its deletion is asked for and not waited for."""
    async with connect(cluster.kubeconfig) as kube:
        await install_crds(kube)
        name = f"bench-{uuid4().hex[:8]}"
        (await kube.post("/api/v1/namespaces", json={"metadata": {"name": name}})).raise_for_status()
        try:
            yield kube, name
        finally:
            with contextlib.suppress(httpx.HTTPError):
                await kube.delete(f"/api/v1/namespaces/{name}")


async def kubernetes_version(kube: httpx.AsyncClient) -> str:
    version: str = (await kube.get("/version")).raise_for_status().json()["gitVersion"]
    return version


@contextmanager
def redis_on(host: str, port: int | None = None) -> Iterator[str]:
    """A real Redis on loopback and `host`; its URL for those who reach it by `host`. Without a port: a free one."""
    # The later --bind replaces the one that RedisServer gives. The address is this machine's own bridge.
    options = () if host == "127.0.0.1" else ("--bind", "127.0.0.1", host, "--protected-mode", "no")
    with RedisServer(options=options, port=port) as server:
        yield f"redis://{host}:{server.port}/0"


@contextmanager
def operator(
    cluster: Cluster, log: Path, *, namespaces: tuple[str, ...] = (), lease_namespace: str | None = None
) -> Iterator[OperatorProcess]:
    """The operator as a local process with its defaults, ready."""
    log.unlink(missing_ok=True)
    hosts = ("127.0.0.1", "10.0.0.0/8", cluster.host_ip)
    process = OperatorProcess(
        cluster.kubeconfig, log=log, namespaces=namespaces, allow_hosts=hosts, lease_namespace=lease_namespace
    )
    try:
        # Not as a context: one whose start fails must be ended too.
        yield process.start()
    finally:
        process.stop()


def logs_folder() -> Path:
    """Where operators of benchmarks write: outside the repository."""
    folder = Path(tempfile.gettempdir()) / "crm-operator-bench"
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder


def free_port(host: str) -> int:
    """A port that nobody listens on at the moment."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
        return port
