"""The size of the workers from a real queue."""

from datetime import datetime

import dramatiq
import pytest
from dramatiq.brokers.redis import RedisBroker

from tests.cluster.scene import Scene, cond, decisions, is_stable, queue_of, replicas, says, size, wants, workers
from tests.redisserver import RedisServer

pytestmark = pytest.mark.cluster

FROM_ZERO = {"minReplicas": 0, "maxReplicas": 5, "backlogPerReplica": 10, "scaleDownAfter": "2s"}


async def test_workers_follow_the_jobs_that_dramatiq_enqueues(scene: Scene) -> None:
    await scene.settled(scaling=FROM_ZERO)
    assert size(await scene.deployment()) == 0
    broker = RedisBroker(url=scene.server.url, namespace=scene.namespace)

    sync = dramatiq.Actor(
        print, broker=broker, actor_name="sync", queue_name=queue_of("hubspot"), priority=0, options={}
    )
    for _ in range(21):
        sync.send()
    await scene.deployment_until(replicas(3))
    scene.enqueue(100)
    told = await scene.until(says("Scaled", "False", "AtMaximum"))
    assert "maxReplicas is 5" in cond(told, "Scaled")["message"]
    await scene.deployment_until(replicas(5))
    scene.work_off()
    await scene.deployment_until(replicas(0))
    await scene.until(wants(0))

    async def to_none() -> bool:
        return any("(5 -> 0)" in event["note"] for event in await scene.told("Scaled"))

    await scene.eventually(to_none)
    broker.close()


async def test_bounds_hold_and_may_be_changed(scene: Scene) -> None:
    await scene.settled(scaling={**FROM_ZERO, "minReplicas": 1})
    await scene.deployment_until(replicas(1))
    await scene.change(scaling={"minReplicas": 3})
    await scene.deployment_until(replicas(3))
    scene.enqueue(100)
    await scene.deployment_until(replicas(5))
    await scene.change(scaling={"minReplicas": 1, "maxReplicas": 2})
    await scene.deployment_until(replicas(2))
    await scene.change(scaling={"backlogPerReplica": None, "drainTarget": "10m", "jobDuration": "100ms"})
    # 100 jobs of 0.1 s on 8 at once: one worker is enough for 10 minutes, and none waits for half of them.
    await scene.deployment_until(replicas(1))


async def test_an_outage_of_the_queue_holds_the_size(scene: Scene) -> None:
    with RedisServer() as server:
        queue = {"url": server.url, "namespace": scene.namespace, "names": [queue_of("hubspot")]}
        own = Scene(scene.kube, scene.namespace, server, scene.log)
        own.enqueue(30)
        await own.settled(queue=queue, scaling={**FROM_ZERO, "scaleDownAfter": "4s"})
        await own.deployment_until(replicas(3))
        server.stop()
        lost = await own.until(says("QueueReachable", "False", "ConnectionRefused"))
        assert "spec.queue.url" in cond(lost, "QueueReachable")["message"]
        assert "check that the broker runs" in cond(lost, "QueueReachable")["message"]
        assert says("Scaled", "Unknown", "QueueUnread")(lost)
        assert workers(lost)["desired"] == 3
        # A hand-made change does not become the size that is held.
        await own.patch(f"{own.deployments}/hubspot", {"spec": {"replicas": 1}})
        await own.deployment_until(replicas(3))
        server.start()
        # It comes back empty, which says nothing about the work to come.
        back = await own.until(says("QueueReachable", "True", "Read"))
        assert workers(back)["desired"] == 3
        assert "going down slowly" in cond(back, "Scaled")["message"]
        down = await own.until(wants(0))
        since = {item["what"]: item["time"] for item in down["status"]["decisions"]}
        assert seconds_between(since["QueueRead"], since["Scaled"]) >= 3.5
        assert is_stable(down)


async def test_a_deployment_that_an_autoscaler_scales_is_left_to_it(scene: Scene) -> None:
    """The controller manager's own autoscaler: it needs no metric to keep a Deployment within its bounds."""
    await scene.settled(scaling={**FROM_ZERO, "minReplicas": 1})
    autoscaler = {
        "metadata": {"name": "cpu"},
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "hubspot"},
            "minReplicas": 4,
            "maxReplicas": 6,
            "metrics": [
                {
                    "type": "Resource",
                    "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 1}},
                }
            ],
        },
    }
    path = f"/apis/autoscaling/v2/namespaces/{scene.namespace}/horizontalpodautoscalers"
    await scene.post(path, autoscaler)
    told = await scene.until(says("Scaled", "False", "ScalingConflict"))
    assert "HorizontalPodAutoscaler cpu scales Deployment hubspot" in cond(told, "Scaled")["message"]
    assert decisions(told)[-1] == "ScalingConflict"
    await scene.deployment_until(replicas(4), within=40)
    await scene.until(lambda obj: workers(obj)["ready"] == 4)
    scene.enqueue(50)  # 5 of ours
    await scene.until(lambda obj: obj["status"]["queue"]["waiting"] == 50, within=30)
    assert size(await scene.deployment()) == 4
    await scene.delete(f"{path}/cpu")
    await scene.deployment_until(replicas(5))
    await scene.until(says("Scaled", "True", "AtTarget"))


async def test_a_rate_limit_bounds_the_workers_and_an_account_shares_it(scene: Scene) -> None:
    # A worker runs 8 jobs at once; 1000 jobs of 1 s in 10 s need 13 of them, 40 requests at once feed 5.
    limit = {"concurrency": 40, "account": "acme"}
    scaling = {"minReplicas": 0, "maxReplicas": 20, "drainTarget": "10s", "scaleDownAfter": "2s", "rateLimit": limit}
    await scene.settled(scaling=scaling)
    scene.enqueue(1000)
    told = await scene.until(says("Scaled", "False", "RateLimited"))
    assert "40 requests at once" in cond(told, "Scaled")["message"]
    await scene.deployment_until(replicas(5))
    assert told["status"]["scaling"]["rateLimitPercent"] == 100
    await scene.settled("other", scaling=scaling)
    scene.enqueue(1000, "other")
    await scene.deployment_until(replicas(2), "other")
    await scene.deployment_until(replicas(2))
    # What is paused spends nothing, however much waits for it.
    await scene.pause(integrations=["other"], providers=None)
    await scene.deployment_until(replicas(5))
    await scene.lift()
    await scene.deployment_until(replicas(2))
    scene.work_off("other")
    await scene.deployment_until(replicas(4))


def seconds_between(first: str, second: str) -> float:
    return (datetime.fromisoformat(second) - datetime.fromisoformat(first)).total_seconds()
