"""The status as tools read it, from the first moment on. The rules are in contract.py; other tests hold to them too."""

import asyncio

import pytest

from tests.cluster.contract import CONDITIONS, NOT_OBSERVED, assert_status_contract, kstatus
from tests.cluster.kube import collection, server_side_apply
from tests.cluster.objects import Json
from tests.cluster.scene import Scene, in_phase, is_paused, is_stable, observed, version
from tests.cluster.test_rollout import HOLDING

pytestmark = pytest.mark.cluster


async def test_a_new_object_is_in_progress_before_any_operator_has_seen_it(scene: Scene) -> None:
    path = f"{collection('crmintegrations', scene.namespace)}/hubspot"
    answer = await server_side_apply(scene.kube, path, scene.integration())
    new: Json = answer.json()
    assert new["status"]["observedGeneration"] == NOT_OBSERVED
    assert kstatus(new) == "InProgress"
    assert_status_contract(new)
    settled = await scene.until(lambda obj: kstatus(obj) == "Current")
    assert is_stable(settled)
    # A new generation is in progress until it was acted on.
    changed = await scene.change(workers=version(2))
    assert kstatus(changed) == "InProgress"
    done = await scene.until(lambda obj: kstatus(obj) == "Current")
    assert is_stable(done)
    assert done["metadata"]["generation"] == 2


async def test_every_condition_is_there_in_every_state(scene: Scene) -> None:
    await asyncio.gather(
        scene.settled("canary", rollout=HOLDING),
        scene.settled("invalid"),
        scene.settled("held", provider="zoho"),
        scene.create("unread", queue={"url": "redis://redis:6379/0", "names": ["crm_unread"]}),
    )
    await scene.change("canary", workers=version(2))
    await scene.change("invalid", workers={"template": {"spec": {"restartPolicy": "Never"}}})
    await scene.pause(providers=["zoho"])
    states = {
        "canary": await scene.until(in_phase("Canary"), "canary"),
        "invalid": await scene.until(lambda obj: kstatus(obj) == "Failed", "invalid"),
        "held": await scene.until(is_paused, "held"),
        "unread": await scene.until(observed, "unread"),
    }
    for obj in states.values():
        assert_status_contract(obj)
    assert kstatus(states["canary"]) == "InProgress"
    assert kstatus(states["held"]) == "InProgress", "a paused sync does not serve"


async def test_transition_times_move_only_with_the_status(scene: Scene) -> None:
    before = await scene.settled(rollout=HOLDING)
    await scene.change(workers=version(2))
    after = await scene.until(in_phase("Canary"))
    old, new = ({item["type"]: item for item in obj["status"]["conditions"]} for obj in (before, after))
    assert list(new) == list(CONDITIONS)
    for type_ in CONDITIONS:
        assert new[type_]["observedGeneration"] == 2
        if old[type_]["status"] == new[type_]["status"]:
            assert old[type_]["lastTransitionTime"] == new[type_]["lastTransitionTime"]
    assert new["Reconciling"]["status"] == "True"
    assert new["Ready"]["status"] == "True", "in a canary the stable version serves"
