"""What the stable version counted reaches status, and the bake is judged by it, on a real API server."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.cluster.fake_workers import FakeWorkers, fake_workers
from tests.cluster.scene import Json, Scene, in_phase, replicas, rollout, version
from tests.cluster.test_rollout import BAKING, rolled_back

pytestmark = pytest.mark.cluster

TWO = {"minReplicas": 2, "maxReplicas": 2, "backlogPerReplica": 10}
ERRORS = {
    "name": "sync-errors",
    "metric": {"from": "pods", "name": "crm_sync_errors_total"},
    "reduce": "Increase",
    "window": "5s",
    "critical": {"above": 30},
}


async def test_what_the_version_before_had_as_well_rolls_nothing_back(scene: Scene) -> None:
    """About 20 errors of 400 jobs in a window; then 32 of 240, which chance explains, and then 368 of 560."""
    async with fake_workers(scene) as workers:
        metrics = {"pods": {"port": workers.port, "interval": "1s"}}
        await scene.settled(scaling=TWO, guards=[ERRORS], metrics=metrics, rollout=BAKING)
        async with failing_now_and_then(workers, await workers.work(0, 0)):
            await scene.until(lambda obj: guard(obj).get("state") == "OK" and float(guard(obj)["value"]) >= 10)
            await scene.change(workers=version(2))
            promoting = await scene.until(in_phase("Promoting"))
        [baseline] = rollout(promoting)["baseline"]
        assert baseline["guard"] == "sync-errors"
        assert baseline["seconds"] >= 5
        assert baseline["events"] >= 10
        assert baseline["jobs"] == 20 * baseline["events"]

        await scene.until(in_phase("Baking"))
        await scene.deployment_until(replicas(2))
        await scene.eventually(lambda: two_left(scene))
        names = await workers.work(0, 0)
        fail(workers, names, errors=0, jobs=0)
        await workers.read_again(*names)
        fail(workers, names, errors=16, jobs=120)
        held = await scene.until(lambda obj: guard(obj).get("state") == "Critical")
        assert guard(held)["blame"] == "undecided"
        assert "no more than chance makes of what the version before had" in guard(held)["message"]
        assert rollout(held)["phase"] == "Baking"
        fail(workers, names, errors=200, jobs=400)
        back = await scene.until(rolled_back)
        assert "crm_sync_errors_total +" in rollout(back)["reason"]


def guard(obj: Json) -> Json:
    found = (obj.get("status") or {}).get("guards") or []
    return next((item for item in found if item["name"] == "sync-errors"), {})


async def two_left(scene: Scene) -> bool:
    return len(await scene.workers()) == 2


def fail(workers: FakeWorkers, names: list[str], *, errors: int, jobs: int) -> None:
    """What the counters of each of these pods show from now on."""
    counters = ("crm_sync_errors_total", errors), ("dramatiq_messages_total", jobs)
    for name in names:
        workers.says[name] = "".join(f"# TYPE {counter} counter\n{counter} {value}\n" for counter, value in counters)


@asynccontextmanager
async def failing_now_and_then(workers: FakeWorkers, names: list[str]) -> AsyncIterator[None]:
    """Each of the pods fails twice a second, in one job of 20, until the end of the block."""

    async def work() -> None:
        errors = 0
        while True:
            fail(workers, names, errors=errors, jobs=20 * errors)
            errors += 1
            await asyncio.sleep(0.5)

    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(work())
        try:
            yield
        finally:
            task.cancel()
