"""The shipped rights: enough for all that the operator does, and nothing that it never does."""

import base64
from pathlib import Path

import httpx
import pytest

from crm_operator.controller.deletion_costs import CONCURRENCY
from crm_operator.domain.scale_in import REFUSED
from dev.cluster import Cluster
from dev.operator import OperatorProcess
from tests.cluster import identity
from tests.cluster.audit import AuditLog
from tests.cluster.fake_workers import fake_workers
from tests.cluster.identity import Identity
from tests.cluster.objects import a_guard
from tests.cluster.scene import Scene, cond, image, is_paused, is_stable, queue_of, replicas, rollout, version
from tests.redisserver import RedisServer

pytestmark = pytest.mark.cluster

#: Kept templates besides those in use; the next one makes the operator prune.
KEPT = 10
#: Granted, and not to be seen in the audit log.
UNSEEN = {
    # Server-side apply of something new is a patch there, and the API server asks for this right as well.
    ("create", "apps", "deployments"),
}


async def test_the_shipped_rights_suffice_and_each_is_used(
    api_cluster: Cluster,
    kube: httpx.AsyncClient,
    namespace: str,
    redis_server: RedisServer,
    operator_identity: Identity,
    tmp_path: Path,
) -> None:
    audit = AuditLog.from_now(api_cluster, operator_identity.user)
    log = tmp_path / "operator.log"
    scene = Scene(kube, namespace, redis_server, log)
    operator = OperatorProcess(
        operator_identity.kubeconfig, log=log, allow_hosts=("127.0.0.1",), lease_namespace=operator_identity.namespace
    )
    with operator:
        await a_life(scene)
    requests = audit.requests()
    used = {(request.verb, request.group, request.resource) for request in requests}
    assert [request for request in requests if request.forbidden] == []
    assert identity.granted() - used == UNSEEN, "granted, and not used by anything that the operator does"


async def test_without_the_right_to_patch_pods_workers_go_all_the_same_and_it_is_said_once(
    api_cluster: Cluster, kube: httpx.AsyncClient, namespace: str, redis_server: RedisServer, tmp_path: Path
) -> None:
    """An account of its own, since the shipped one is every other test's; and no other operator runs in this module."""
    account = identity.install_without(api_cluster, tmp_path, verb="patch", resource="pods")
    log = tmp_path / "operator.log"
    scene = Scene(kube, namespace, redis_server, log)
    audit = AuditLog.from_now(api_cluster, account.user)
    with OperatorProcess(account.kubeconfig, log=log, namespaces=[namespace], allow_hosts=("127.0.0.1",)):
        await shrinks_with_busy_workers(scene, 4, 3, 2)
    tried = [request for request in audit.requests() if request.resource == "pods" and request.writes]
    assert {request.code for request in tried} == {403}
    assert len(tried) <= 4 * CONCURRENCY, "once or twice for each shrink, some at once"
    told = await scene.told("DeletionCostRefused")
    assert len(told) == 1, told
    assert (told[0]["type"], "no right to patch pods" in told[0]["note"]) == ("Warning", True)
    assert log.read_text().count("Could not write deletion costs") == 1
    said = cond(await scene.get("shrinking"), "Scaled")
    assert (said["status"], REFUSED in said["message"]) == ("True", True)


async def shrinks_with_busy_workers(scene: Scene, *sizes: int) -> None:
    """An integration of so many workers, one of them idle, then of fewer, step by step."""
    scaling = {"minReplicas": sizes[0], "maxReplicas": 8, "backlogPerReplica": 10, "scaleDownAfter": "1s"}
    async with fake_workers(scene, "shrinking") as workers:
        await scene.settled("shrinking", scaling=scaling, metrics={"pods": {"port": workers.port, "interval": "1s"}})
        await scene.deployment_until(replicas(sizes[0]), "shrinking")
        scene.enqueue(3, "shrinking")
        scene.fetch(3, "shrinking")
        for size in sizes[1:]:
            await workers.work(0, *(1 for _ in range(size)))
            await scene.change("shrinking", scaling={"minReplicas": size})
            await scene.deployment_until(replicas(size), "shrinking")


async def a_life(scene: Scene) -> None:
    """All that the operator ever does, once: a Secret, a canary, pauses of both kinds, more versions than are kept."""
    await shrinks_with_busy_workers(scene, 3, 2)
    secret = {"metadata": {"name": "redis"}, "data": {"url": base64.b64encode(scene.server.url.encode()).decode()}}
    await scene.post(f"/api/v1/namespaces/{scene.namespace}/secrets", secret)
    url = {"urlFrom": {"secretKeyRef": {"name": "redis", "key": "url"}}}
    queue = {**url, "namespace": scene.namespace, "names": [queue_of("hubspot")]}
    await scene.settled(queue=queue, rollout={"steps": [{"weight": 50, "hold": "0s"}], "bake": "0s"})
    await scene.change(workers=version(2))
    await scene.deployment_until(lambda obj: replicas(2)(obj) and image(obj).endswith(":2"))
    await scene.gone(f"{scene.deployments}/hubspot-canary")
    await scene.pause()
    await scene.until(is_paused)
    await scene.lift()
    await scene.until(is_stable)
    await scene.change(guards=[a_guard(critical={"above": 2})], onCritical={"pause": True})
    scene.dead_letter(3)
    (own,) = (await scene.until(is_paused))["status"]["sync"]["pauses"]
    await scene.lift(own)
    await scene.change(rollout={"steps": []}, guards=[])
    await scene.until(is_stable)
    for number in range(3, KEPT + 3):
        before = rollout(await scene.get())["stableRevision"]
        await scene.change(workers=version(number))
        await scene.until(lambda obj, was=before: is_stable(obj) and rollout(obj)["stableRevision"] != was)  # type: ignore[misc]

    async def pruned() -> bool:
        return len(await scene.list(f"/apis/apps/v1/namespaces/{scene.namespace}/controllerrevisions")) <= KEPT + 1

    await scene.eventually(pruned)
