"""A cluster in which nothing changes sees nothing of the operator: no write, no read, no event, for a whole minute."""

import asyncio
from pathlib import Path

import httpx
import pytest

from dev.cluster import Cluster
from dev.operator import OperatorProcess
from tests.cluster.audit import AuditLog
from tests.cluster.identity import Identity
from tests.cluster.scene import QUICK_SCALING, Scene, cond, in_phase, is_paused, is_stable, replicas, says, version
from tests.cluster.test_rollout import BAKING, DEAD_LETTERS, HOLDING, rolled_back
from tests.redisserver import RedisServer

pytestmark = pytest.mark.cluster

QUIET_SECONDS = 60
STEADY = 20


async def test_a_quiet_minute_has_no_request_but_watches(
    api_cluster: Cluster,
    kube: httpx.AsyncClient,
    namespace: str,
    redis_server: RedisServer,
    operator_identity: Identity,
    tmp_path: Path,
) -> None:
    log = tmp_path / "operator.log"
    operator = OperatorProcess(
        operator_identity.kubeconfig, log=log, namespaces=[namespace], allow_hosts=("127.0.0.1",)
    )
    scene = Scene(kube, namespace, redis_server, log)
    with operator:
        await in_every_quiet_state(scene)
        # What was just decided is followed by one more status, of the live numbers, 15 s later.
        audit = await last_numbers(AuditLog.from_now(api_cluster, operator_identity.user), scene, api_cluster)
        # Not a wait for something: that nothing happens in this time is what is tested.
        await asyncio.sleep(QUIET_SECONDS)
        seen = [request for request in audit.requests() if request.verb != "watch"]
    assert not seen, f"{len(seen)} requests in {QUIET_SECONDS} quiet seconds, e.g. {seen[:10]}"


async def in_every_quiet_state(scene: Scene) -> None:
    """Steady, busy, paused, holding a canary, baking, rolled back, without its queue, only observed, with
    an image that failed elsewhere.
    """
    small = {**QUICK_SCALING, "minReplicas": 1}
    await asyncio.gather(
        *(scene.settled(f"steady-{number}", scaling=small) for number in range(STEADY)),
        scene.settled("busy", scaling=QUICK_SCALING),
        scene.settled("paused", provider="zoho"),
        scene.settled("canary", rollout=HOLDING, guards=DEAD_LETTERS),
        scene.settled("baking", rollout=BAKING),
        scene.settled("failed", rollout=HOLDING, guards=DEAD_LETTERS),
        scene.settled("held", rollout=HOLDING),
        scene.create("observed", mode="Observe"),
        scene.create("unread", queue={"url": "redis://127.0.0.1:1/0", "names": ["crm_unread"]}),
    )
    scene.enqueue(30, "busy")
    await asyncio.gather(
        scene.pause(providers=["zoho"]),
        *(scene.change(name, workers=version(2)) for name in ("canary", "baking", "failed")),
    )
    await scene.until(in_phase("Canary"), "failed")
    scene.dead_letter(1, "failed")
    await asyncio.gather(
        *(scene.deployment_until(replicas(1), f"steady-{number}") for number in range(STEADY)),
        scene.deployment_until(replicas(3), "busy"),
        scene.until(is_paused, "paused"),
        scene.pause_until(lambda obj: obj["status"]["phase"] == "Paused"),
        scene.until(in_phase("Canary"), "canary"),
        scene.deployment_until(replicas(1), "canary-canary"),
        scene.until(in_phase("Baking"), "baking"),
        scene.until(rolled_back, "failed"),
        scene.gone(f"{scene.deployments}/failed-canary"),
        scene.until(says("Ready", "True", "Observing"), "observed"),
        scene.until(lambda obj: cond(obj, "QueueReachable").get("reason") == "ConnectionRefused", "unread"),
        scene.until(is_stable, "unread"),
    )
    await scene.change("held", workers=version(2))
    await scene.until(says("Stalled", "True", "ImageFailedElsewhere"), "held")


async def last_numbers(audit: AuditLog, scene: Scene, cluster: Cluster) -> AuditLog:
    """The log from when no request has been made for longer than live numbers wait (15 s).

    The rate of arrivals is judged for a minute after the last job came (domain/arrivals), and numbers move meanwhile.
    """
    quiet = 17.0
    loop = asyncio.get_running_loop()
    count, since, deadline = -1, loop.time(), loop.time() + 120

    async def still() -> bool:
        nonlocal count, since
        now = len([request for request in audit.requests() if request.verb != "watch"])
        if now != count:
            count, since = now, loop.time()
        await asyncio.sleep(0.5)
        return loop.time() - since > quiet

    while not await still():
        assert loop.time() < deadline, f"it never gets quiet: {audit.requests()[-20:]}"
    return AuditLog.from_now(cluster, audit.user)
