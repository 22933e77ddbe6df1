"""A pause drains workers and loses nothing."""

from collections.abc import Callable
from datetime import datetime

import pytest

from tests.cluster.kube import GROUP, Json, collection, condition, watch_until
from tests.e2e.scene import Scene, condition_of, has_ended
from tests.e2e.together import scenario

pytestmark = pytest.mark.e2e

JOB_SECONDS = 1.2


@scenario()
async def test_a_pause_drains_running_jobs_starts_none_and_loses_none(scene: Scene) -> None:
    scene.spec["scaling"] |= {"minReplicas": 2, "maxReplicas": 2}
    await scene.deploy(JOB_SECONDS=str(JOB_SECONDS))

    async with scene.load(6) as load:  # more than 2 workers x 2 threads do, so that jobs are always in flight
        await scene.stats_when(lambda stats: stats.started >= 6)
        await scene.create(
            collection("syncpauses", scene.namespace),
            {
                "apiVersion": GROUP.removeprefix("/apis/"),
                "kind": "SyncPause",
                "metadata": {"name": "hubspot"},
                "spec": {"providers": ["hubspot"], "paused": True, "reason": "INC-42"},
            },
        )
        async with scene.record_pods() as pods:
            pause = await _pause_when(scene, lambda pause: condition(pause, "Paused") == "True")
            assert await scene.pods() == [], "Paused is said when the last worker has ended, not before"
            at_pause = await scene.stats()
            gone = await pods.when(lambda now: all(map(has_ended, now.values())), within=5)
        # Whole seconds in the status, and two clocks' readings of one machine.
        said = datetime.fromisoformat(condition_of(pause["status"], "Paused")["lastTransitionTime"])
        assert (said - gone.at).total_seconds() > -1
        assert pause["status"]["phase"] == "Paused"
        assert "the last worker ended" in pause["status"]["message"]

        sent = load.enqueued
        later = await scene.observe(4)
        assert load.enqueued > sent, "the queue must have been filled meanwhile, or nothing was shown"
        assert later.started == at_pause.started, "a job started during the pause"

        held = await scene.tally()
        assert held.balanced, held
        assert held.done == later.started, f"each started job ended within its grace: {held}"
        status = await scene.status()
        assert status["phase"] == "Paused"
        assert status["sync"]["tookSeconds"] > 0
        assert "INC-42" in status["message"]

    await scene.kubectl("patch", "syncpause", "hubspot", "--type", "merge", "-p", '{"spec":{"paused":false}}')
    await _pause_when(scene, lambda pause: pause["status"]["phase"] == "Released")
    await scene.assert_each_done_once(load)


async def _pause_when(scene: Scene, holds: Callable[[Json], bool]) -> Json:
    path = collection("syncpauses", scene.namespace)
    return await watch_until(scene.kube, path, "hubspot", lambda p: "status" in p and holds(p), within_seconds=40)
