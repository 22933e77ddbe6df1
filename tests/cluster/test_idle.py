"""`ready-but-idle` on a real API server: workers that are Ready, are scraped, and finish nothing."""

import asyncio

import pytest

from tests.cluster.fake_workers import fake_workers
from tests.cluster.scene import Json, Scene, cond, rollout, version
from tests.cluster.test_rollout import DEAD_LETTERS, HOLDING, rolled_back

pytestmark = pytest.mark.cluster

TWO = {"minReplicas": 2, "maxReplicas": 2, "backlogPerReplica": 10}
#: It is late after a minute.
LATE = 90.0


def idle(obj: Json) -> Json:
    guards = (obj.get("status") or {}).get("guards") or []
    found: Json = next((guard for guard in guards if guard["name"] == "ready-but-idle"), {})
    return found


async def test_workers_that_finish_nothing_are_seen_and_a_canary_that_does_is_taken_back(scene: Scene) -> None:
    """Side by side: both take a minute. Who works on, and who is to blame, comes from the pods' own counters."""
    async with fake_workers(scene) as steady, fake_workers(scene, "hubspot-us") as trial:

        async def nobody_works() -> None:
            await scene.settled(scaling=TWO, guards=DEAD_LETTERS, metrics={"pods": {"port": steady.port}})
            scene.enqueue(5)
            steady.idle = set(await steady.work(0, 0))
            seen = await scene.until(lambda obj: idle(obj).get("state") == "Critical", within=LATE)
            assert seen["status"]["phase"] == "Degraded"
            assert "5 jobs wait and 2 Ready workers finished none for 6" in idle(seen)["message"]
            assert "blame" not in idle(seen)
            steady.idle = set()
            await scene.until(lambda obj: idle(obj).get("state") == "OK")

        async def only_the_canary_idles() -> None:
            name = "hubspot-us"
            metrics = {"pods": {"port": trial.port}}
            await scene.settled(name, scaling=TWO, guards=DEAD_LETTERS, metrics=metrics, rollout=HOLDING)
            scene.enqueue(5, name)
            trial.idle = set()
            await scene.change(name, workers=version(2))
            await scene.deployment_until(lambda obj: obj["status"].get("readyReplicas") == 1, f"{name}-canary")
            await scene.deployment_until(lambda obj: obj["status"].get("replicas") == 1, name)
            pods = await trial.work(0, 0)
            trial.idle = {pod for pod in pods if "canary" in pod}
            assert len(trial.idle) == 1
            back = await scene.until(rolled_back, name, within=LATE)
            assert "finished none for 6" in rollout(back)["reason"]
            assert cond(back, "RolledBack")["status"] == "True"

        await asyncio.gather(nobody_works(), only_the_canary_idles())
