"""`workers.strategy` on a real Deployment controller: how a good version comes, and how a bad one goes."""

import asyncio
from typing import Any

import pytest

from crm_operator.api.names import FIELD_MANAGER_TEMPLATE, LABEL_REVISION
from dev.cluster import Cluster
from tests.cluster import stages
from tests.cluster.audit import AuditLog
from tests.cluster.identity import Identity
from tests.cluster.objects import Json
from tests.cluster.scene import Holds, Scene, image, in_phase, is_stable, observed, replicas, rollout, version
from tests.cluster.test_reconcile import owners
from tests.cluster.test_rollout import BAKING, FOUR, rolled_back

pytestmark = pytest.mark.cluster

ONE_BY_ONE = {"maxSurge": 0, "maxUnavailable": 1}
#: By the name of an integration.
COMBINATIONS: dict[str, Json] = {
    "usual": {},
    "one-by-one": ONE_BY_ONE,
    "two-by-two": {"maxSurge": 0, "maxUnavailable": "50%"},
    "beside": {"maxSurge": "100%", "maxUnavailable": 0},
    "at-once": {"maxSurge": 0, "maxUnavailable": "100%"},
    "both": {"maxSurge": "50%", "maxUnavailable": "50%"},
    "everything": {"maxSurge": "100%", "maxUnavailable": "100%"},
}


def strategy(deployment: Json) -> Json:
    found: Json = deployment["spec"]["strategy"]["rollingUpdate"]
    return found


def has(max_surge: int | str, max_unavailable: int | str) -> Holds:
    return lambda obj: strategy(obj) == {"maxSurge": max_surge, "maxUnavailable": max_unavailable}


def by_version(pods: list[Json], revision: str | None) -> list[Json]:
    return [pod for pod in pods if pod["metadata"]["labels"][LABEL_REVISION] == revision]


def ready(pods: list[Json]) -> int:
    return sum(
        condition["type"] == "Ready" and condition["status"] == "True"
        for pod in pods
        for condition in pod.get("status", {}).get("conditions", ())
    )


async def test_a_strategy_that_is_edited_alone_is_written_once_and_starts_nothing(
    scene: Scene, api_cluster: Cluster, operator_identity: Identity
) -> None:
    first = await scene.settled()
    before = await scene.deployment_until(lambda obj: replicas(2)(obj) and has("25%", 0)(obj))
    pods = {pod["metadata"]["name"] for pod in await scene.workers()}
    audit = AuditLog.from_now(api_cluster, operator_identity.user)

    def writes() -> int:
        return sum(
            request.writes and request.namespace == scene.namespace and request.resource == "deployments"
            for request in audit.requests()
        )

    await scene.change(workers={"strategy": ONE_BY_ONE})
    changed = await scene.deployment_until(has(0, 1))
    settled = await scene.until(is_stable)
    assert rollout(settled) == rollout(first)
    assert "f:strategy" in owners(changed)[FIELD_MANAGER_TEMPLATE]
    assert changed["spec"]["template"] == before["spec"]["template"]
    assert {pod["metadata"]["name"] for pod in await scene.staying()} == pods
    # Looked at again, and again, it is left alone.
    for count in (3, 2):
        await scene.change(scaling={"minReplicas": count})
        await scene.until(observed)
        await scene.deployment_until(replicas(count))
    assert writes() == 3, "the strategy, and two sizes"
    # What somebody else writes there is put right.
    await scene.patch(f"{scene.deployments}/hubspot", {"spec": {"strategy": {"rollingUpdate": {"maxSurge": "90%"}}}})
    await scene.deployment_until(has(0, 1))
    # Not given any more, it is the default.
    await scene.change(workers={"strategy": None})
    await scene.deployment_until(has("25%", 0))
    assert rollout(await scene.until(is_stable)) == rollout(first)


@pytest.mark.usefixtures("misbehaving_pods")
async def test_without_surge_there_are_never_more_workers_than_wanted(scene: Scene) -> None:
    """Through canary, promotion and handover; and at most one is missing once the canary is up."""
    await scene.settled(
        scaling=FOUR,
        rollout={"steps": [{"weight": 50, "hold": "0s"}], "bake": "1s", "progressDeadline": "60s"},
        workers={**version(1), "strategy": ONE_BY_ONE},
    )
    await scene.deployment_until(replicas(4))
    most = 0

    async def counted() -> bool:
        nonlocal most
        most = max(most, len(await scene.staying()))
        deployment = await scene.deployment()
        return deployment is not None and image(deployment).endswith(":2") and is_stable(await scene.get())

    await scene.change(workers=version(2))
    await scene.eventually(counted, within=40)
    await scene.deployment_until(replicas(4))
    await scene.gone(f"{scene.deployments}/hubspot-canary")
    assert most == 4


@pytest.mark.usefixtures("misbehaving_pods")
@pytest.mark.parametrize("steps", [[], [{"weight": 50, "hold": "0s"}]], ids=["straight", "with a canary"])
async def test_a_rollback_in_mid_promotion_lets_all_bad_workers_go_first(scene: Scene, steps: list[Any]) -> None:
    """Workers take so long to start that some of both versions are there and Ready."""
    plan = {**BAKING, "steps": steps}

    async def back(name: str) -> None:
        slow = version(1, **stages.SLOW)
        await scene.settled(name, scaling=FOUR, rollout=plan, workers={**slow, "strategy": COMBINATIONS[name]})
        usual = strategy(await scene.deployment_until(replicas(4), name))
        await scene.change(name, workers=version(2, **stages.SLOW))
        trying = await scene.until(
            lambda obj: in_phase("Promoting")(obj) or in_phase("Baking")(obj), name, within=4 * stages.SLOW_SECONDS + 20
        )
        bad, good = rollout(trying)["canaryRevision"], rollout(trying)["stableRevision"]

        async def some_work() -> bool:
            return ready(by_version(await scene.staying(name), bad)) > 0

        await scene.eventually(some_work)
        before = {pod["metadata"]["name"] for pod in await scene.workers(name)}
        await scene.annotate(name, abort="now")

        async def bad_ones_told() -> list[Json]:
            pods = await scene.workers(name)
            left = [pod for pod in by_version(pods, bad) if "deletionTimestamp" not in pod["metadata"]]
            return [] if left or rollout(await scene.get(name))["phase"] == "Promoting" else pods

        pods = await scene.eventually(bad_ones_told)
        started = [pod for pod in by_version(pods, good) if pod["metadata"]["name"] not in before]
        assert not ready(started), "bad workers do not wait for good ones"
        done = await scene.until(rolled_back, name, within=30)
        assert rollout(done)["stableRevision"] == good
        now = await scene.deployment_until(
            lambda obj: replicas(4)(obj) and image(obj).endswith(":1") and strategy(obj) == usual, name
        )
        assert int(now["status"]["updatedReplicas"]) == 4

    await asyncio.gather(*(back(name) for name in COMBINATIONS))
