"""Workers from real queue depth."""

import pytest

from tests.e2e.scene import NAME, Scene
from tests.e2e.together import scenario

pytestmark = pytest.mark.e2e


@scenario()
async def test_a_burst_is_worked_off_by_as_many_workers_as_it_needs_and_then_by_none(scene: Scene) -> None:
    scene.spec["scaling"] = {"minReplicas": 0, "maxReplicas": 6, "backlogPerReplica": 20, "scaleDownAfter": "3s"}
    await scene.deploy()
    assert (await scene.deployment())["spec"]["replicas"] == 0

    async with scene.record_deployments() as sizes, scene.load() as load:
        load.burst(70)  # 70 jobs at 20 per worker: 4
        await sizes.when(lambda now: now[NAME]["spec"]["replicas"] == 4, within=60)
        await scene.drained()
        await sizes.when(lambda now: now[NAME]["spec"]["replicas"] == 0, within=60)
        await scene.status_when(lambda status: status["workers"]["desired"] == 0 and status["workers"]["ready"] == 0)
        wanted = [seen.objects[NAME]["spec"]["replicas"] for seen in sizes.history]

    assert max(wanted) == 4, "never more than the burst needs"
    top = wanted.index(4)
    assert wanted[:top] == sorted(wanted[:top]), "up without a step back"
    assert load.enqueued == 70
    await scene.assert_each_done_once(load)
