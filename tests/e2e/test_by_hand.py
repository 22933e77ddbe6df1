"""What people ask of a rollout, with real workers: by annotation, by going back, and by only looking."""

from collections.abc import Callable

import pytest

from tests.cluster.kube import Json
from tests.e2e.scene import NAME, Scene, condition_of, decisions, revision_of
from tests.e2e.together import scenario

pytestmark = pytest.mark.e2e

CANARY = f"{NAME}-canary"
#: Steps that nobody waits for: only a person ends them.
HOLDING = {
    "steps": [{"weight": 34, "hold": "1h"}, {"weight": 67, "hold": "1h"}],
    "bake": "2s",
    "progressDeadline": "60s",
    "minJobs": 0,
}


@scenario()
async def test_a_person_promotes_aborts_tries_again_and_goes_back(scene: Scene) -> None:
    """No job is lost on the way, and what served until a moment ago needs no canary."""
    scene.spec["rollout"] = HOLDING
    v1 = await scene.deploy()
    async with scene.load(6) as load:
        await scene.release("v2")
        await scene.deployment_when(CANARY, ready(1))
        await scene.annotate(promote="step@1")
        await scene.deployment_when(CANARY, ready(2))
        await scene.annotate(abort="INC-42")
        status = await scene.phase_when("RolledBack")
        v2 = status["rollout"]["failedRevision"]
        assert status["rollout"]["stableRevision"] == v1
        assert not [pod for pod in await scene.pods() if revision_of(pod) == v2]

        await scene.annotate(retry="1")
        await scene.deployment_when(CANARY, ready(1))
        await scene.annotate(promote="full@1")
        await scene.status_when(served(v2))
        async with scene.record_deployments() as sizes:
            await scene.release("v1")
            status = await scene.status_when(served(v1))
        canaries = {seen.objects[CANARY]["spec"]["replicas"] for seen in sizes.history if CANARY in seen.objects}
        assert canaries <= {0}, "straight into all workers"
        assert "no canary" in decisions(status, "RolloutStarted")[-1]["why"]
    answers = {verb["name"]: (verb["value"], verb["result"]) for verb in status["verbs"]}
    assert answers == {"abort": ("INC-42", "Done"), "retry": ("1", "Done"), "promote": ("full@1", "Done")}
    await scene.assert_each_done_once(load)


@scenario()
async def test_a_team_that_only_looks_finds_its_workers_untouched(scene: Scene) -> None:
    """A new version in `mode: Observe`: told in status, and begun when they say so."""
    scene.spec["rollout"] = HOLDING
    await scene.deploy()
    async with scene.load(6):
        await scene.stats_when(lambda stats: sum(seen.writes for seen in stats.revisions.values()) > 0)
        before = await versions(scene)
        looking = scene.version("v2")
        looking["spec"]["mode"] = "Observe"
        await scene.apply(looking)
        status = await scene.status_when(lambda status: bool(decisions(status, "WouldStartRollout")))
        assert condition_of(status, "Ready")["reason"] == "Observing"
        await scene.annotate(promote="full@1")
        await scene.status_when(lambda status: [verb["result"] for verb in status["verbs"]] == ["Ignored"])
        await scene.observe(3)
        assert await versions(scene) == before

        await scene.release("v2")
        await scene.deployment_when(CANARY, ready(1))


def ready(count: int) -> Callable[[Json], bool]:
    """Of a Deployment's pods."""
    return lambda deployment: bool(deployment.get("status", {}).get("readyReplicas") == count)


def served(revision: str) -> Callable[[Json], bool]:
    """It came to the end of its rollout, and all workers have it."""
    return lambda status: bool(
        status["rollout"]["phase"] == "Stable"
        and status["rollout"]["stableRevision"] == revision
        and (status["workers"]["ready"], status["workers"]["canary"]) == (3, 0)
    )


async def versions(scene: Scene) -> dict[str, str]:
    """The resourceVersion of all that a rollout writes."""
    found: dict[str, str] = {}
    apps = f"/apis/apps/v1/namespaces/{scene.namespace}"
    for kind in ("deployments", "replicasets", "controllerrevisions"):
        items: list[Json] = (await scene.get(f"{apps}/{kind}"))["items"]
        found |= {f"{kind}/{item['metadata']['name']}": item["metadata"]["resourceVersion"] for item in items}
    return found
