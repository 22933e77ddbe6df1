"""The operator as users install it: from its image, into a namespace of the restricted profile, with its own rights.

Does not share its cluster with another operator: conftest.py sees to it that the scenarios begin after it.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from uuid import uuid4

import httpx
import pytest
import pytest_asyncio

from demo.images import operator_image
from demo.wheelhouse import REPOSITORY
from dev.cluster import Cluster
from tests.cluster.kube import GROUP, Json, collection, condition, connect, watch_until
from tests.e2e.scene import NAME, Scene, decisions, revision_of
from tests.e2e.together import play

pytestmark = pytest.mark.e2e

NAMESPACE = "crm-operator-system"
USER = f"system:serviceaccount:{NAMESPACE}:crm-operator"


@pytest_asyncio.fixture
async def installed(node_cluster: Cluster) -> AsyncIterator[str]:
    """The operator's address; its Deployment goes at the end, CRDs and rights stay."""
    async with connect(node_cluster.kubeconfig) as kube:
        await _alone(kube)
        node_cluster.load_image(await asyncio.to_thread(operator_image))
        kubectl = node_cluster.run_kubectl
        await asyncio.to_thread(kubectl, "apply", "--server-side", "-k", str(REPOSITORY / "demo/k8s/operator"))
        path = f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments"
        try:
            await watch_until(kube, path, "crm-operator", _is_available, within_seconds=90)
            pods = (await kube.get(f"/api/v1/namespaces/{NAMESPACE}/pods")).raise_for_status().json()["items"]
            (pod,) = [pod for pod in pods if "deletionTimestamp" not in pod["metadata"]]
            yield pod["status"]["podIP"]
        finally:
            gone = ("delete", "deployment", "crm-operator", "-n", NAMESPACE, "--cascade=foreground", "--timeout=60s")
            await asyncio.to_thread(kubectl, *gone)


async def _alone(kube: httpx.AsyncClient) -> None:
    """Until the namespaces of an earlier run are empty; one that is in use means that there is another operator."""
    async with asyncio.timeout(120):
        while items := (await kube.get(f"{GROUP}/crmintegrations")).raise_for_status().json()["items"]:
            assert items[0]["metadata"]["namespace"].startswith("e2e-"), "somebody else uses this cluster"
            await asyncio.sleep(0.2)


async def test_the_installed_operator_does_its_main_job_with_the_rights_it_has(
    node_cluster: Cluster, installed: str
) -> None:
    async with httpx.AsyncClient(base_url=f"http://{installed}:8080", trust_env=False) as operator:
        for probe in ("/livez", "/readyz"):
            assert (await operator.get(probe)).status_code == 200
        namespace = json.loads(node_cluster.run_kubectl("get", "namespace", NAMESPACE, "-o", "json"))
        assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
        await play(node_cluster, _scale_roll_back_and_pause, namespace=f"e2e-{uuid4().hex[:10]}", operator=None)
        assert "crm_" in (await operator.get("/metrics")).text

    requests = [
        request
        for line in node_cluster.audit_log.read_text().splitlines()
        if (request := _of_operator(line)) is not None
    ]
    assert len(requests) > 10
    # "Being terminated" is no lack of rights: tests of before may have left namespaces that end.
    refused = [
        (request["verb"], request["requestURI"], request["responseStatus"].get("message"))
        for request in requests
        if request["responseStatus"]["code"] in (401, 403)
        and "being terminated" not in request["responseStatus"].get("message", "")
    ]
    assert refused == []


async def _scale_roll_back_and_pause(scene: Scene) -> None:
    scene.redis_url, reached = "redis://redis:6379/0", scene.redis_url  # by its name, from inside
    scene.spec["scaling"] = {"minReplicas": 1, "maxReplicas": 2, "backlogPerReplica": 20, "scaleDownAfter": "3s"}
    v1 = await scene.deploy()
    bad = scene.version("v3", FAIL_EVERY="2")
    scene.redis_url = reached
    async with scene.load(8) as load:
        load.burst(40)
        await scene.deployment_when(NAME, lambda deployment: deployment["spec"]["replicas"] == 2)
        await scene.apply(bad)
        status = await scene.phase_when("RolledBack", within=90)
        assert status["rollout"]["stableRevision"] == v1
        assert len(decisions(status, "RolledBack")) == 1
        assert not [pod for pod in await scene.pods() if revision_of(pod) != v1]
        assert "RolledBack" in await scene.kubectl("describe", "crmintegration", NAME)
    await scene.assert_each_done_once(load)
    await scene.kubectl(
        "apply",
        "-f",
        "-",
        stdin=(REPOSITORY / "demo/k8s/pause.yaml")
        .read_text()
        .replace("namespace: crm\n", f"namespace: {scene.namespace}\n"),
    )
    path = collection("syncpauses", scene.namespace)
    await watch_until(scene.kube, path, "hubspot", lambda it: condition(it, "Paused") == "True", within_seconds=60)


def _is_available(deployment: Json) -> bool:
    return condition(deployment, "Available") == "True" and deployment["status"].get("replicas") == 1


def _of_operator(line: str) -> Json | None:
    """A request of the operator's, as the audit log has it."""
    entry: Json = json.loads(line)
    return entry if entry["user"]["username"] == USER and "responseStatus" in entry else None
