"""Annotations that ask something of a rollout, as `kubectl annotate` sets them, on a real API server."""

import pytest

from tests.cluster.scene import Json, Scene, cond, decisions, image, in_phase, is_stable, replicas, rollout, version
from tests.cluster.test_rollout import HOLDING, rolled_back

pytestmark = pytest.mark.cluster

TWO_HOLDS = {**HOLDING, "steps": [{"weight": 25, "hold": "1h"}, {"weight": 50, "hold": "1h"}]}


def answer(obj: Json, verb: str) -> Json:
    """What status says of the annotation, {} while it says nothing."""
    return next((item for item in (obj.get("status") or {}).get("verbs") or [] if item["name"] == verb), {})


async def test_a_person_promotes_aborts_and_tries_again(scene: Scene) -> None:
    first = await scene.settled(rollout={**TWO_HOLDS, "bake": "1h"})
    generation = (await scene.change(workers=version(2)))["metadata"]["generation"]
    await scene.until(lambda obj: in_phase("Canary")(obj) and "stepStartTime" in rollout(obj))

    await scene.annotate(promote="step@1")
    stepped = await scene.until(lambda obj: rollout(obj).get("step") == 1)
    assert answer(stepped, "promote")["result"] == "Done"
    await scene.annotate(promote="full@2")
    baking = await scene.until(in_phase("Baking"))
    assert decisions(baking)[-3:] == ["Advanced", "Promoted", "Baking"]
    assert baking["metadata"]["generation"] == generation, "an annotation is no new generation"

    await scene.annotate(abort="INC-42")
    back = await scene.until(rolled_back)
    assert rollout(back)["reason"] == "aborted by annotation crm.agoralia.app/abort (INC-42)"
    assert rollout(back)["stableRevision"] == rollout(first)["stableRevision"]
    await scene.deployment_until(lambda obj: replicas(2)(obj) and image(obj).endswith(":1"))

    await scene.annotate(retry="1")
    again = await scene.until(in_phase("Canary"))
    assert rollout(again)["step"] == 0
    assert rollout(again)["canaryRevision"] == rollout(back)["failedRevision"]


async def test_what_cannot_be_done_or_understood_is_said(scene: Scene) -> None:
    await scene.settled()
    await scene.annotate(abort="INC-42")
    said = await scene.until(lambda obj: answer(obj, "abort").get("value") == "INC-42")
    assert answer(said, "abort")["result"] == "Ignored"
    await scene.annotate(promote="all")
    bad = await scene.until(lambda obj: cond(obj, "VerbsAccepted").get("status") == "False")
    assert 'annotation crm.agoralia.app/promote: "all" must be step@ or full@' in cond(bad, "VerbsAccepted")["message"]
    assert is_stable(bad)
    await scene.annotate(promote=None)
    await scene.until(lambda obj: cond(obj, "VerbsAccepted").get("status") == "True")

    async def told() -> bool:
        return {"VerbIgnored", "VerbRefused"} <= {event["reason"] for event in await scene.events()}

    await scene.eventually(told)
