"""Pausing: what it stops, what it leaves alone, when it is said to be done, and how it ends."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from tests.cluster.kube import collection
from tests.cluster.scene import (
    Scene,
    cond,
    in_phase,
    is_paused,
    is_stable,
    queue_of,
    replicas,
    rollout,
    size,
    version,
    workers,
)
from tests.redisserver import RedisServer

pytestmark = pytest.mark.cluster

DRAINS = "crm-tests/drains"


async def test_an_applied_pause_stops_the_workers_and_a_patch_lifts_it(scene: Scene) -> None:
    await scene.settled()
    scene.enqueue(40)
    await scene.deployment_until(replicas(4))
    await scene.pause(reason="INC-42")
    paused = await scene.until(is_paused)
    assert paused["status"]["phase"] == "Paused"
    assert "INC-42" in cond(paused, "Paused")["message"]
    assert paused["status"]["sync"]["tookSeconds"] >= 0
    assert size(await scene.deployment()) == 0
    assert not await scene.workers()
    told = await scene.pause_until(lambda obj: (obj.get("status") or {}).get("phase") == "Paused")
    assert [item["name"] for item in told["status"]["integrations"]] == ["hubspot"]
    await scene.lift()
    await scene.deployment_until(replicas(4))
    resumed = await scene.until(is_stable)
    assert cond(resumed, "Paused")["reason"] == "Running"
    await scene.pause_until(lambda obj: obj["status"]["phase"] == "Released")


async def test_deleting_the_pause_resumes_too(scene: Scene) -> None:
    await scene.settled()
    await scene.pause()
    await scene.until(is_paused)
    await scene.delete(f"{collection('syncpauses', scene.namespace)}/incident")
    await scene.until(is_stable)
    await scene.deployment_until(replicas(2))


async def test_the_last_of_two_pauses_decides(scene: Scene) -> None:
    await scene.settled()
    await scene.pause("first")
    await scene.pause("second", providers=["hubspot"])
    held = await scene.until(lambda obj: is_paused(obj) and len(obj["status"]["sync"]["pauses"]) == 2)
    assert "first" in cond(held, "Paused")["message"]
    assert "second" in cond(held, "Paused")["message"]
    await scene.lift("first")
    held = await scene.until(lambda obj: obj["status"]["sync"]["pauses"] == ["second"])
    assert is_paused(held)
    assert size(await scene.deployment()) == 0
    await scene.lift("second")
    await scene.deployment_until(replicas(2))


async def test_a_pause_leaves_other_providers_and_integrations_alone(scene: Scene) -> None:
    await asyncio.gather(
        scene.settled("hubspot-eu"),
        scene.settled("hubspot-us"),
        scene.settled("zoho", provider="zoho"),
    )
    await scene.pause("by-name", providers=None, integrations=["hubspot-eu"])
    await scene.until(is_paused, "hubspot-eu")
    await scene.deployment_until(replicas(2), "hubspot-us")
    await scene.pause("by-provider", providers=["hubspot"])
    await scene.until(is_paused, "hubspot-us")
    untouched = await scene.get("zoho")
    assert cond(untouched, "Paused")["status"] == "False"
    assert size(await scene.deployment("zoho")) == 2
    # Narrowed, it lets go of the other one.
    await scene.pause("by-provider", providers=["odoo"])
    await scene.deployment_until(replicas(2), "hubspot-us")
    assert is_paused(await scene.get("hubspot-eu"))


async def test_paused_is_said_only_when_the_last_worker_is_gone(scene: Scene) -> None:
    await scene.settled()
    await scene.deployment_until(replicas(2))
    slow, _ = await scene.workers()
    path = f"{scene.pods}/{slow['metadata']['name']}"
    await scene.patch(path, {"metadata": {"finalizers": [DRAINS]}})
    await scene.pause()
    draining = await scene.until(lambda obj: obj["status"]["workers"]["ready"] == 0 and observed_pausing(obj))
    assert cond(draining, "Paused")["status"] == "False"

    async def one_left() -> bool:
        return [pod["metadata"]["name"] for pod in await scene.workers()] == [slow["metadata"]["name"]]

    await scene.eventually(one_left)
    # Nothing is left but the worker that drains: still not paused, and said so.
    still = await scene.get()
    assert cond(still, "Paused")["reason"] == "Pausing"
    told = await scene.pause_until(lambda obj: obj["status"]["phase"] == "Pausing")
    assert "hubspot" in told["status"]["message"]
    await scene.patch(path, {"metadata": {"finalizers": None}})
    await scene.until(is_paused)
    await scene.pause_until(lambda obj: obj["status"]["phase"] == "Paused")


def observed_pausing(obj: dict[str, object]) -> bool:
    return cond(obj, "Paused").get("reason") == "Pausing"


async def test_workers_started_by_hand_during_a_pause_are_stopped(scene: Scene) -> None:
    await scene.settled()
    await scene.pause()
    await scene.until(is_paused)
    await scene.patch(f"{scene.deployments}/hubspot", {"spec": {"replicas": 3}})

    async def stopped() -> bool:
        return size(await scene.deployment()) == 0 and not await scene.workers()

    await scene.eventually(stopped)
    await scene.until(is_paused)


async def test_a_pause_with_no_reachable_broker_still_scales_to_zero(scene: Scene) -> None:
    with RedisServer() as server:
        own = Scene(scene.kube, scene.namespace, server, scene.log)
        own.enqueue(40)
        await own.settled(queue={"url": server.url, "namespace": scene.namespace, "names": [queue_of("hubspot")]})
        await own.deployment_until(replicas(4))
        server.stop()
        await own.until(lambda obj: cond(obj, "QueueReachable").get("status") == "False")
        await own.pause()
        await own.until(is_paused)
        assert size(await own.deployment()) == 0
        # Lifted while the queue is still away, it does not stay at nothing for ever: what was wanted was recorded
        # as 0, so the queue decides when it is back.
        await own.lift()
        server.start()
        own.enqueue(40)
        await own.deployment_until(replicas(4))


async def test_a_pause_in_mid_canary_stops_both_versions_and_the_rollout_goes_on_after_it(scene: Scene) -> None:
    await scene.settled()
    await scene.change(workers=version(2), rollout={"steps": [{"weight": 50, "hold": "3s"}]})
    await scene.until(in_phase("Canary"))
    await scene.deployment_until(replicas(1), "hubspot-canary")
    await scene.pause()
    paused = await scene.until(is_paused)
    assert rollout(paused)["phase"] == "Canary"
    assert "stepStartTime" not in rollout(paused), "a hold is not counted while paused"
    assert workers(paused) == {"desired": 0, "ready": 0, "stable": 0, "canary": 0}
    # A version that comes during the pause waits too.
    await scene.lift()
    done = await scene.until(lambda obj: is_stable(obj) and not is_paused(obj), within=30)
    assert rollout(done)["stableRevision"] == rollout(paused)["canaryRevision"]


async def test_an_integration_made_during_a_pause_starts_no_worker(
    scene: Scene, scenes: Callable[[], Awaitable[Scene]]
) -> None:
    await scene.pause()
    told = await scene.pause_until(lambda obj: (obj.get("status") or {}).get("phase") == "Paused")
    assert "nothing to pause" in told["status"]["message"]
    await scene.create(scaling={"minReplicas": 2, "maxReplicas": 2})
    await scene.until(is_paused)
    assert size(await scene.deployment()) == 0
    # A pause holds its own namespace only.
    other = await scenes()
    await other.settled()
    await scene.lift()
    await scene.until(is_stable)
