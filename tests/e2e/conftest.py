"""One cluster of the node tier for all tests here, a namespace with real workers for each.

The cluster is taken down at the end; with CRM_TEST_KEEP=1 it stays, and the next run finds it. CRM_E2E_CLUSTER names
it (default test-e2e), so that two runs on one machine do not share one. Each process of a run has its own.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio

from demo.images import app_image
from dev.cluster import Cluster, down, up
from dev.images import redis_image
from tests.cluster.conftest import own_name
from tests.cluster.kube import connect, install_crds
from tests.e2e.together import Together, is_scenario, selected


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Scenarios last: once begun they share the cluster with each other and with nothing else."""
    items.sort(key=is_scenario)


@pytest.fixture(scope="session")
def node_cluster() -> Iterator[Cluster]:
    """The running cluster with our CRDs, and the images of the demo application and of Redis."""
    name = own_name(os.environ.get("CRM_E2E_CLUSTER", "test-e2e"))
    try:
        # The local provider: the tests talk to pods and Services from here.
        cluster = up(name=name, tier="node", provider="local")
        for archive in (app_image(), redis_image()):
            cluster.load_image(archive)

        async def install() -> None:
            async with connect(cluster.kubeconfig) as kube:
                await install_crds(kube)
                # What a killed run left in a cluster that was kept: this cluster's name is the tests' own.
                namespaces = (await kube.get("/api/v1/namespaces")).raise_for_status().json()["items"]
                for name in (item["metadata"]["name"] for item in namespaces):
                    if name.startswith("e2e-"):
                        await kube.delete(f"/api/v1/namespaces/{name}")

        asyncio.run(install())
        yield cluster
    finally:
        if not os.environ.get("CRM_TEST_KEEP"):
            down(name=name)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def together(
    request: pytest.FixtureRequest, node_cluster: Cluster, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Together]:
    """All selected scenarios, running."""
    folder = tmp_path_factory.mktemp("operators")
    async with Together(node_cluster, selected(request.session.items), folder) as scenarios:
        yield scenarios
