"""onCritical.pause: the SyncPause that the operator makes, and that a person's word about it stands."""

import pytest

from tests.cluster.fake_workers import fake_workers
from tests.cluster.kube import collection
from tests.cluster.objects import a_guard
from tests.cluster.scene import Json, Scene, cond, in_phase, is_paused, replicas, size, version
from tests.cluster.test_baseline import ERRORS, TWO, fail, two_left
from tests.cluster.test_rollout import BAKING, rolled_back

pytestmark = pytest.mark.cluster

DEAD = a_guard("dead-letters", critical={"above": 2})
PAUSES: Json = {"guards": [DEAD], "onCritical": {"pause": True}}


async def made(scene: Scene) -> list[Json]:
    return await scene.list(collection("syncpauses", scene.namespace))


def decided(obj: Json, what: str) -> list[Json]:
    return [decision for decision in obj["status"].get("decisions", []) if decision["what"] == what]


async def paused_by_guard(scene: Scene) -> tuple[Json, Json]:
    """The paused integration and the pause that was made."""
    integration = await scene.settled(**PAUSES)
    scene.dead_letter(3)
    paused = await scene.until(is_paused)
    (pause,) = await made(scene)
    assert pause["metadata"]["ownerReferences"][0]["uid"] == integration["metadata"]["uid"]
    return paused, pause


async def test_a_critical_guard_pauses_until_a_person_lifts_it_and_not_again_for_the_same_trouble(
    scene: Scene,
) -> None:
    paused, pause = await paused_by_guard(scene)
    name = pause["metadata"]["name"]
    assert pause["metadata"]["labels"]["crm.agoralia.app/integration"] == "hubspot"
    assert pause["spec"]["integrations"] == ["hubspot"]
    assert pause["spec"]["reason"] == "guard dead-letters: dead 3 > 2; the provider is to blame"
    assert size(await scene.deployment()) == 0
    assert f"kubectl patch syncpause {name} -n {scene.namespace}" in cond(paused, "Paused")["message"]
    told = await scene.pause_until(lambda obj: obj["status"].get("phase") == "Paused", name)
    assert told["metadata"]["generation"] == 1, "the operator does not write what it made"
    events = await scene.told("PauseRequested")
    assert [event["type"] for event in events] == ["Warning"]
    await scene.lift(name)
    await scene.deployment_until(replicas(2))
    lifted = await scene.until(lambda obj: bool(decided(obj, "PauseLifted")) and not is_paused(obj))
    assert "is not paused again before the guard was clear" in cond(lifted, "Ready")["message"]
    assert lifted["status"]["automaticPause"]["state"] == "Lifted"
    assert lifted["status"]["guards"][0]["answer"] == "Pause"
    # Another dead letter is the same trouble: looked at, and not paused.
    scene.dead_letter(1)
    await scene.until(lambda obj: obj["status"]["queue"]["dead"] == 4)
    assert not is_paused(await scene.get())
    assert len(await made(scene)) == 1
    # A person may pause with the same object again.
    await scene.patch(f"{collection('syncpauses', scene.namespace)}/{name}", {"spec": {"paused": True}})
    await scene.until(is_paused)


async def test_a_deleted_pause_is_not_made_again(scene: Scene) -> None:
    _, pause = await paused_by_guard(scene)
    await scene.delete(f"{collection('syncpauses', scene.namespace)}/{pause['metadata']['name']}")
    await scene.deployment_until(replicas(2))
    await scene.until(lambda obj: bool(decided(obj, "PauseLifted")) and not is_paused(obj))
    assert await made(scene) == []


async def test_an_automatic_pause_holds_its_integration_only_and_goes_with_it(scene: Scene) -> None:
    await scene.settled("hubspot-us")
    _, pause = await paused_by_guard(scene)
    assert size(await scene.deployment("hubspot-us")) == 2
    await scene.delete(f"{collection('crmintegrations', scene.namespace)}/hubspot")
    await scene.gone(f"{collection('syncpauses', scene.namespace)}/{pause['metadata']['name']}")


async def test_a_bad_version_in_the_bake_is_rolled_back_and_pauses_nothing(scene: Scene) -> None:
    """Neither for its errors, while no stable worker can be read yet, nor for the dead letters that they end as."""
    async with fake_workers(scene) as workers:
        metrics = {"pods": {"port": workers.port, "interval": "1s"}}
        spec = PAUSES | {"guards": [ERRORS, DEAD]}
        await scene.settled(scaling=TWO, metrics=metrics, rollout=BAKING, **spec)
        await scene.change(workers=version(2))
        await scene.until(in_phase("Baking"))
        await scene.deployment_until(replicas(2))
        await scene.eventually(lambda: two_left(scene))
        names = await workers.work(0, 0)
        fail(workers, names, errors=0, jobs=0)
        await workers.read_again(*names)
        fail(workers, names, errors=200, jobs=400)
        await scene.until(in_phase("RollingBack"))
        scene.dead_letter(3)
        await scene.until(lambda obj: any(guard["state"] == "Critical" for guard in obj["status"]["guards"][1:]))
        await scene.until(rolled_back)
        await scene.deployment_until(replicas(2))
        back = await scene.until(lambda obj: obj["status"]["guards"][0]["state"] != "Critical")
        dead = back["status"]["guards"][1]
        assert (dead["state"], dead["blame"], dead["answer"]) == ("Critical", "revision", "Rollback")
        assert await made(scene) == []
        assert not decided(back, "PauseRequested")
