"""A version that turns bad only when all workers run it."""

from datetime import datetime

import pytest

from tests.e2e.scene import NAME, Scene, decisions, is_ready, is_terminating, revision_of
from tests.e2e.together import scenario

pytestmark = pytest.mark.e2e


@scenario()
async def test_a_promoted_version_that_fails_gives_way_to_the_previous_replica_set_at_once(scene: Scene) -> None:
    scene.spec["rollout"] |= {"steps": [], "bake": "60s"}
    v1 = await scene.deploy()
    before = (await scene.replica_sets())[v1]
    await scene.release("v3", FAIL_EVERY="2")
    # No job yet: the version looks good until it bakes.
    status = await scene.phase_when("Baking", within=90)
    v3 = status["rollout"]["canaryRevision"]
    assert (await scene.replica_sets())[v1]["spec"]["replicas"] == 0

    async with scene.record_pods() as pods, scene.load(10) as load:
        status = await scene.status_when(lambda status: bool(decisions(status, "RolledBack")), within=90)
        decided = datetime.fromisoformat(decisions(status, "RolledBack")[0]["time"])
        stopped = await pods.when(
            lambda now: all(is_terminating(pod) for pod in now.values() if revision_of(pod) == v3), within=20
        )
        assert (stopped.at - decided).total_seconds() < 5
        good = [pod for pod in stopped.objects.values() if revision_of(pod) == v1 and not is_terminating(pod)]
        assert not any(is_ready(pod) for pod in good), "the bad pods did not wait for good ones"

        status = await scene.phase_when("RolledBack", within=90)
        assert (status["rollout"]["stableRevision"], status["rollout"]["failedRevision"]) == (v1, v3)
        after = (await scene.replica_sets())[v1]
        assert (after["metadata"]["name"], after["metadata"]["uid"]) == (
            before["metadata"]["name"],
            before["metadata"]["uid"],
        ), "as kubectl rollout undo would"
        assert after["spec"]["replicas"] == 3
        deployment = await scene.deployment_when(
            NAME, lambda now: now["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"] == 0
        )
        assert deployment["spec"]["template"]["metadata"]["labels"]["crm.agoralia.app/revision"] == v1
        damage = await scene.stats()
        later = await scene.stats_when(lambda now: now.revisions[v1].writes >= 20)
        assert later.bad_writes == damage.bad_writes

    assert len(decisions(await scene.status(), "RolledBack")) == 1
    await scene.assert_each_done_once(load)
