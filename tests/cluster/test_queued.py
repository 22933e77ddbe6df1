"""A template that comes in a bake, on a real API server: it waits for the end, or begins at once."""

import asyncio
import re
from typing import Any

import pytest

from tests.cluster.contract import kstatus
from tests.cluster.objects import a_guard
from tests.cluster.scene import Json, Scene, decisions, image, in_phase, observed, replicas, rollout, version
from tests.cluster.test_rollout import DEAD_LETTERS, HOLDING

pytestmark = pytest.mark.cluster

WARNING = a_guard("dead-letters", critical=None, warning={"above": 0})
#: Told to end before another one starts: how bad workers go.
URGENT = {"maxSurge": "0%", "maxUnavailable": "100%"}


async def baking(scene: Scene, **spec: Any) -> tuple[Json, Json]:
    """The second version bakes, for an hour, in all workers: how it was with the first one, and how it is now."""
    first = await scene.settled(rollout={**HOLDING, "bake": "1h"}, **spec)
    await scene.change(workers=version(2))
    await scene.until(in_phase("Canary"))
    await scene.annotate(promote="full@2")
    await scene.deployment_until(lambda obj: replicas(2)(obj) and image(obj).endswith(":2"))
    await scene.gone(f"{scene.deployments}/hubspot-canary")
    return first, await scene.until(lambda obj: in_phase("Baking")(obj) and "stepStartTime" in rollout(obj))


def waiting_revision(obj: Json) -> str | None:
    """The version that `message` says to wait for the end of the bake."""
    found = re.search(r"baking until \S+; (\w+) waits for that", obj["status"]["message"])
    return None if found is None else found[1]


def is_waiting(obj: Json) -> bool:
    return bool(in_phase("Baking")(obj) and waiting_revision(obj) is not None)


def began(obj: Json, number: int) -> bool:
    """A Deployment has this version, and its worker beside the other one is Ready."""
    return bool(image(obj).endswith(f":{number}") and replicas(1)(obj))


async def test_it_waits_is_named_and_a_person_lets_the_newest_one_begin(scene: Scene) -> None:
    first, second = await baking(scene)
    await scene.change(workers=version(3))
    third = await scene.until(is_waiting)
    await scene.change(workers=version(4))
    fourth = await scene.until(lambda obj: is_waiting(obj) and waiting_revision(obj) != waiting_revision(third))
    then = fourth["status"]["next"]
    assert f"the bake ends and {waiting_revision(fourth)} begins" in then["what"]
    assert f"kubectl crm promote hubspot -n {scene.namespace}" in then["what"]
    assert rollout(fourth)["stepStartTime"] == rollout(second)["stepStartTime"], "the bake goes on"
    assert await scene.deployment("hubspot-canary") is None
    await scene.annotate(promote="step@4")
    trying = await scene.until(in_phase("Canary"))
    assert rollout(trying)["canaryRevision"] == waiting_revision(fourth)
    assert rollout(trying)["stableRevision"] == rollout(first)["stableRevision"], "the last that finished its bake"
    assert decisions(trying).count("RolloutStarted") == 2, "what was replaced while it waited never began"
    await scene.deployment_until(lambda obj: began(obj, 4), "hubspot-canary")
    await scene.deployment_until(lambda obj: began(obj, 1))


async def test_the_bake_ends_and_it_begins_beside_the_version_that_is_trusted_now(scene: Scene) -> None:
    _, second = await baking(scene)
    await scene.change(workers=version(3))
    waiting = await scene.until(is_waiting)
    await scene.change(rollout={"bake": "1s"})
    seen: set[str] = set()

    def watching(obj: Json) -> bool:
        seen.add(kstatus(obj))
        return bool(in_phase("Canary")(obj))

    trying = await scene.until(watching)
    assert seen == {"InProgress"}, "a pipeline that waits for the third version must not be told of the second"
    assert rollout(trying)["stableRevision"] == rollout(second)["canaryRevision"]
    assert rollout(trying)["canaryRevision"] == waiting_revision(waiting)
    assert decisions(trying)[-2:] == ["Completed", "RolloutStarted"]
    await scene.deployment_until(lambda obj: began(obj, 3), "hubspot-canary")
    await scene.deployment_until(lambda obj: began(obj, 2))


async def test_a_guard_that_warns_lets_it_begin_at_once(scene: Scene) -> None:
    first, _ = await baking(scene, guards=[WARNING])
    await scene.change(workers=version(3))
    waiting = await scene.until(is_waiting)
    scene.dead_letter(1)
    trying = await scene.until(in_phase("Canary"))
    assert rollout(trying)["canaryRevision"] == waiting_revision(waiting)
    assert rollout(trying)["stableRevision"] == rollout(first)["stableRevision"]
    told = next(item for item in trying["status"]["decisions"] if item.get("to") == waiting_revision(waiting))
    baked = rollout(waiting)["canaryRevision"]
    assert told["why"] == f"new template while {baked} bakes; guard dead-letters is Warning: dead 1 > 0"
    await scene.deployment_until(lambda obj: began(obj, 3), "hubspot-canary")
    await scene.deployment_until(lambda obj: began(obj, 1))


async def test_a_version_that_is_taken_back_leaves_it_no_blame(scene: Scene) -> None:
    """It begins in the rollback; the dead letters stay, and are older than it."""
    first, second = await baking(scene, guards=DEAD_LETTERS)
    await scene.change(workers=version(3))
    waiting = await scene.until(is_waiting)

    async def damage() -> None:
        scene.dead_letter(3)

    def at_once(obj: Json) -> bool:
        return image(obj).endswith(":1") and obj["spec"]["strategy"]["rollingUpdate"] == URGENT

    await asyncio.gather(scene.deployment_until(at_once), damage())
    trying = await scene.until(in_phase("Canary"))
    told = [item for item in trying["status"]["decisions"] if item["what"] in ("RolledBack", "RolloutStarted")][-2:]
    assert [(item["from"], item["to"]) for item in told] == [
        (rollout(second)["canaryRevision"], rollout(first)["stableRevision"]),
        (rollout(first)["stableRevision"], waiting_revision(waiting)),
    ]
    await scene.deployment_until(lambda obj: began(obj, 3), "hubspot-canary")
    await scene.deployment_until(lambda obj: began(obj, 1))
    # Pass after pass.
    await scene.change(scaling={"minReplicas": 4})
    held = await scene.until(lambda obj: observed(obj) and obj["status"]["workers"]["desired"] == 4)
    assert rollout(held)["canaryRevision"] == waiting_revision(waiting)
    guard = held["status"]["guards"][0]
    assert (guard["state"], guard["value"], guard["blame"]) == ("Critical", "3", "provider")
    assert guard["message"].endswith(", before the rollout began; left by the version that was rolled back")
