"""One cluster of the api tier for all tests here, one namespace for each.

The cluster is taken down at the end; with CRM_TEST_KEEP=1 it stays, and the next run finds it. CRM_TEST_CLUSTER
names it (default test-api), so that two runs on one machine do not share one.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from uuid import uuid4

import httpx
import pytest

from dev.cluster import Cluster, down, up
from tests.cluster.kube import connect, install_crds


@pytest.fixture(scope="session")
def api_cluster() -> Iterator[Cluster]:
    """The running cluster with our CRDs installed."""
    name = os.environ.get("CRM_TEST_CLUSTER", "test-api")
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
