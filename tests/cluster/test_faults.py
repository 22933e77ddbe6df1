"""What goes wrong around the operator: an API server that is away, events that are lost or doubled, a frozen Redis."""

import asyncio
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from dev.cluster import Cluster
from dev.operator import OperatorProcess
from tests.cluster.audit import AuditLog
from tests.cluster.identity import Identity
from tests.cluster.kube import collection
from tests.cluster.scene import Scene, cond, queue_of, replicas, size, wants
from tests.redisserver import RedisServer

pytestmark = pytest.mark.cluster

ALLOW = ("127.0.0.1",)
RESYNC_SECONDS = 3.0


@pytest.fixture
def operator_here(operator_identity: Identity, namespace: str, tmp_path: Path) -> OperatorProcess:
    """Of this namespace alone, not started, with a quick resync."""
    return OperatorProcess(
        operator_identity.kubeconfig,
        log=tmp_path / "operator.log",
        namespaces=[namespace],
        allow_hosts=ALLOW,
        resync_seconds=RESYNC_SECONDS,
    )


@pytest.fixture
async def scene(
    kube: httpx.AsyncClient, namespace: str, redis_server: RedisServer, operator_here: OperatorProcess
) -> AsyncIterator[Scene]:
    """Left only when the cluster's own controllers work: after the API server was away they take up to a minute."""
    scene = Scene(kube, namespace, redis_server, operator_here.log)
    yield scene
    await controllers_work(scene)  # the next test, of another module perhaps, takes that for granted


async def controllers_work(scene: Scene) -> None:
    labels = {"app": "probe"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "probe", "image": "localhost/p:1"}]}}
    spec = {"replicas": 1, "selector": {"matchLabels": labels}, "template": template}
    await scene.post(scene.deployments, {"metadata": {"name": "probe"}, "spec": spec})
    await scene.deployment_until(replicas(1), "probe", within=90)


async def restart_api_server(cluster: Cluster, *, while_down: float = 0) -> None:
    await asyncio.to_thread(cluster.stop_component, "kube-apiserver", kill=True)
    try:
        await asyncio.sleep(while_down)  # how long it is away is the test
    finally:
        await asyncio.to_thread(cluster.start_component, "kube-apiserver")


async def test_doubled_events_lead_to_no_write(
    api_cluster: Cluster, operator_identity: Identity, operator_here: OperatorProcess, scene: Scene
) -> None:
    with operator_here:
        await scene.settled()
        await scene.deployment_until(replicas(2))
        await scene.until(lambda obj: obj["status"]["workers"]["ready"] == 2, within=30)
        audit = AuditLog.from_now(api_cluster, operator_identity.user)
        path = f"{collection('crmintegrations', scene.namespace)}/hubspot"
        for number in range(20):
            await scene.patch(path, {"metadata": {"annotations": {"touched": str(number)}}})
            await scene.patch(f"{scene.deployments}/hubspot", {"metadata": {"labels": {"touched": str(number)}}})
        # A change that does lead to a write shows that all before it were seen.
        await scene.change(scaling={"minReplicas": 3})
        await scene.deployment_until(replicas(3))
        writes = [request for request in audit.requests() if request.writes and request.resource == "deployments"]
        assert len(writes) == 1, writes
        # The API server counts an annotation as a new generation, so each is answered, but by no more than one write.
        audit = AuditLog.from_now(api_cluster, operator_identity.user)
        for number in range(5):
            await scene.patch(f"{scene.deployments}/hubspot", {"metadata": {"annotations": {"touched": str(number)}}})
        await scene.change(scaling={"minReplicas": 2})
        await scene.deployment_until(replicas(2))
        writes = [request for request in audit.requests() if request.writes and request.resource == "deployments"]
        assert len(writes) <= 6, writes


async def test_a_frozen_redis_delays_no_other(operator_here: OperatorProcess, scene: Scene) -> None:
    zero = {"minReplicas": 0, "maxReplicas": 4, "backlogPerReplica": 10, "scaleDownAfter": "2s"}
    with operator_here, RedisServer() as frozen:
        queue = {"url": frozen.url, "namespace": scene.namespace, "names": [queue_of("zoho")]}
        await asyncio.gather(
            scene.settled(scaling=zero), scene.settled("zoho", provider="zoho", queue=queue, scaling=zero)
        )
        frozen.freeze()
        try:
            for jobs, workers in ((10, 1), (20, 3)):
                scene.enqueue(jobs)
                await scene.until(wants(workers), within=8)
            lost = await scene.until(lambda obj: cond(obj, "QueueReachable").get("status") == "False", "zoho")
            assert cond(lost, "QueueReachable")["reason"] == "Timeout"
        finally:
            frozen.thaw()
        await scene.until(lambda obj: cond(obj, "QueueReachable").get("status") == "True", "zoho")


async def test_an_api_server_that_was_away_is_caught_up_with(
    api_cluster: Cluster, operator_here: OperatorProcess, scene: Scene
) -> None:
    with operator_here:
        await scene.settled()
        await scene.deployment_until(replicas(2))
        outage = asyncio.create_task(restart_api_server(api_cluster, while_down=4))
        scene.enqueue(40)
        await outage
        await scene.deployment_until(replicas(4), within=40)
        await scene.change(scaling={"maxReplicas": 3})
        await scene.deployment_until(replicas(3))
        assert operator_here.probe("/livez")[0] == 200


async def test_deletions_that_no_watch_told_of_are_noticed(
    api_cluster: Cluster, operator_here: OperatorProcess, scene: Scene
) -> None:
    with operator_here:
        await asyncio.gather(scene.settled(), scene.settled("zoho", provider="zoho"))
        before = await scene.deployment_until(replicas(2))
        await scene.pause("zoho-only", providers=["zoho"])
        await scene.until(lambda obj: cond(obj, "Paused").get("status") == "True", "zoho")
        # It is frozen while things go, and its watches are cut before it reads on: no DELETED ever comes.
        operator_here.send(signal.SIGSTOP)
        try:
            await scene.delete(f"{scene.deployments}/hubspot")
            await scene.delete(f"{collection('syncpauses', scene.namespace)}/zoho-only")
            await scene.gone(f"{scene.deployments}/hubspot")
            await restart_api_server(api_cluster)
        finally:
            operator_here.send(signal.SIGCONT)

        async def made_again() -> bool:
            now = await scene.deployment()
            return now is not None and now["metadata"]["uid"] != before["metadata"]["uid"] and size(now) == 2

        await asyncio.gather(
            scene.eventually(made_again, within=40), scene.deployment_until(replicas(2), "zoho", within=40)
        )


async def test_an_integration_whose_deletion_was_missed_is_let_go(
    api_cluster: Cluster, operator_here: OperatorProcess, scene: Scene
) -> None:
    with operator_here:
        await scene.settled()
        assert f'namespace="{scene.namespace}"' in operator_here.metrics()
        operator_here.send(signal.SIGSTOP)
        try:
            await scene.delete(f"{collection('crmintegrations', scene.namespace)}/hubspot")
            await scene.gone(f"{scene.deployments}/hubspot")
            await restart_api_server(api_cluster)
        finally:
            operator_here.send(signal.SIGCONT)

        async def let_go() -> bool:
            return f'namespace="{scene.namespace}"' not in await asyncio.to_thread(operator_here.metrics)

        await scene.eventually(let_go, within=40)
        assert await scene.deployment() is None
