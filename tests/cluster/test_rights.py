"""The shipped rights: enough for all that the operator does, and nothing that it never does."""

import base64
from pathlib import Path

import httpx
import pytest

from dev.cluster import Cluster
from dev.operator import OperatorProcess
from tests.cluster import identity
from tests.cluster.audit import AuditLog
from tests.cluster.identity import Identity
from tests.cluster.objects import a_guard
from tests.cluster.scene import Scene, image, is_paused, is_stable, queue_of, replicas, rollout, version
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


async def a_life(scene: Scene) -> None:
    """All that the operator ever does, once: a Secret, a canary, pauses of both kinds, more versions than are kept."""
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
