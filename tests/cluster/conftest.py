"""One cluster of the api tier for all tests here, one namespace for each.

The cluster is taken down at the end; with CRM_TEST_KEEP=1 it stays, and the next run finds it. CRM_TEST_CLUSTER
names it (default test-api), so that two runs on one machine do not share one. Each process of a run has its own.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import replace
from uuid import uuid4

import httpx
import pytest

from dev.cluster import Cluster, down, up
from dev.operator import OperatorProcess
from tests.cluster import identity, stages
from tests.cluster.audit import AuditLog
from tests.cluster.identity import Identity
from tests.cluster.kube import connect, install_crds
from tests.cluster.scene import Scene
from tests.redisserver import RedisServer

ALLOW = ("127.0.0.1",)


def own_name(cluster: str) -> str:
    """Of this process of the run: two must not share a cluster, since the first to end takes it down."""
    worker = os.environ.get("PYTEST_XDIST_WORKER")
    return cluster if worker is None else f"{cluster}-{worker}"


@pytest.fixture(scope="session")
def api_cluster() -> Iterator[Cluster]:
    """The running cluster with our CRDs installed."""
    name = own_name(os.environ.get("CRM_TEST_CLUSTER", "test-api"))
    try:
        cluster = up(name=name, tier="api")

        async def install() -> None:
            async with connect(cluster.kubeconfig) as kube:
                await install_crds(kube)

        asyncio.run(install())
        yield cluster
    finally:
        if not os.environ.get("CRM_TEST_KEEP"):
            down(name=name)


@pytest.fixture
async def kube(api_cluster: Cluster) -> AsyncIterator[httpx.AsyncClient]:
    """The API server, as administrator; paths begin with /api or /apis."""
    async with connect(api_cluster.kubeconfig) as client:
        yield client


@pytest.fixture
async def namespace(kube: httpx.AsyncClient) -> AsyncIterator[str]:
    """A fresh namespace; its deletion is asked for at the end and not waited for."""
    name = f"test-{uuid4().hex[:10]}"
    created = await kube.post("/api/v1/namespaces", json={"metadata": {"name": name}})
    created.raise_for_status()
    yield name
    await kube.delete(f"/api/v1/namespaces/{name}")


@pytest.fixture(scope="session")
def operator_identity(api_cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Identity:
    """The shipped account with the shipped rights: what the operator may do here is what it may do at a user's."""
    return identity.install(api_cluster, tmp_path_factory.mktemp("identity"))


@pytest.fixture(scope="session")
def misbehaving_pods(api_cluster: Cluster) -> None:
    """Templates may ask for pods that never get Ready, or crash; see stages.py."""
    stages.teach(api_cluster)


@pytest.fixture(scope="module")
def redis_server() -> Iterator[RedisServer]:
    """One for a module; tests do not share keys, since the key prefix is the namespace."""
    with RedisServer() as server:
        yield server


@pytest.fixture(scope="module")
def operator(
    api_cluster: Cluster, operator_identity: Identity, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[OperatorProcess]:
    """An operator of all namespaces while a module's tests run, and not longer: the others have their own, or none."""
    audit = AuditLog.from_now(api_cluster, operator_identity.user)
    log = tmp_path_factory.mktemp("operator") / "operator.log"
    with OperatorProcess(operator_identity.kubeconfig, log=log, allow_hosts=ALLOW) as process:
        yield process
    forbidden = [request for request in audit.requests() if request.forbidden]
    assert not forbidden, f"the shipped rights do not suffice: {forbidden}"
    assert "Traceback" not in log.read_text(), log.read_text()


@pytest.fixture
def scene(kube: httpx.AsyncClient, namespace: str, redis_server: RedisServer, operator: OperatorProcess) -> Scene:
    """A namespace with the module's operator and Redis."""
    return Scene(kube, namespace, redis_server, operator.log)


@pytest.fixture
async def scenes(scene: Scene) -> AsyncIterator[Callable[[], Awaitable[Scene]]]:
    """More namespaces like `scene`, for what runs side by side in one test."""
    made: list[str] = []

    async def another() -> Scene:
        name = f"test-{uuid4().hex[:10]}"
        made.append(name)
        await scene.post("/api/v1/namespaces", {"metadata": {"name": name}})
        return replace(scene, namespace=name)

    yield another
    for name in made:
        await scene.kube.delete(f"/api/v1/namespaces/{name}")
