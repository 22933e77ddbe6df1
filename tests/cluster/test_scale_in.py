"""Idle workers go first when a Deployment shrinks: costs on real pods, taken by the real controller manager."""

from typing import Any

import pytest

from dev.cluster import Cluster
from tests.cluster.audit import AuditLog, Request
from tests.cluster.fake_workers import fake_workers
from tests.cluster.identity import Identity
from tests.cluster.kube import server_side_apply
from tests.cluster.scene import Scene, replicas

pytestmark = pytest.mark.cluster

COST = "controller.kubernetes.io/pod-deletion-cost"
LOWEST = str(-(2**31))
FIVE = {"minReplicas": 5, "maxReplicas": 8, "backlogPerReplica": 10, "scaleDownAfter": "1s"}


def scraped(port: int) -> dict[str, Any]:
    return {"pods": {"port": port, "interval": "1s"}}


async def test_idle_workers_go_first_and_nothing_is_written_before(
    scene: Scene, api_cluster: Cluster, operator_identity: Identity
) -> None:
    audit = AuditLog.from_now(api_cluster, operator_identity.user)
    async with fake_workers(scene) as workers:
        await scene.settled(scaling=FIVE, metrics=scraped(workers.port))
        await scene.deployment_until(replicas(5))
        scene.enqueue(4)
        scene.fetch(4)
        names = await workers.work(3, 0, 1, 0, 0)
        await workers.work(2, 0, 2, 0, 0)
        # A cost that was left behind when the load came back, on a pod that has work by now.
        await given_a_cost(scene, names[0])
        await workers.read_again(*names)
        assert costs_written(audit, scene) == [], "work comes and goes, and nothing shrinks"
        await scene.change(scaling={"minReplicas": 2})
        await scene.deployment_until(replicas(2))
    left = {pod["metadata"]["name"]: pod["metadata"].get("annotations", {}) for pod in await scene.staying()}
    assert set(left) == {names[0], names[2]}
    assert not any(COST in annotations for annotations in left.values()), left
    written = costs_written(audit, scene)
    assert sorted(request.name for request in written) == sorted([names[0], names[1], names[3], names[4]])
    assert max(request.at for request in written) < shrunk_at(audit, scene), "the costs first, then the size"


async def test_equally_busy_workers_are_not_chosen_among(
    scene: Scene, api_cluster: Cluster, operator_identity: Identity
) -> None:
    audit = AuditLog.from_now(api_cluster, operator_identity.user)
    async with fake_workers(scene) as workers:
        await scene.settled(scaling=FIVE, metrics=scraped(workers.port))
        await scene.deployment_until(replicas(5))
        scene.enqueue(10)
        scene.fetch(10)
        await workers.work(2, 2, 2, 2, 2)
        await scene.change(scaling={"minReplicas": 2})
        await scene.deployment_until(replicas(2))
    assert costs_written(audit, scene) == []


async def given_a_cost(scene: Scene, pod: str) -> None:
    body = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": pod, "annotations": {COST: LOWEST}}}
    answer = await server_side_apply(scene.kube, f"{scene.pods}/{pod}", body, fieldManager="crm-operator-deletion-cost")
    assert answer.is_success, answer.text


def costs_written(audit: AuditLog, scene: Scene) -> list[Request]:
    return [
        request
        for request in audit.requests()
        if request.namespace == scene.namespace and request.resource == "pods" and request.writes
    ]


def shrunk_at(audit: AuditLog, scene: Scene) -> str:
    """When the Deployment was written to last."""
    return max(
        request.at
        for request in audit.requests()
        if request.namespace == scene.namespace and request.resource == "deployments" and request.writes
    )
