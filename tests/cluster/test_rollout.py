"""Rollouts on a real API server: steps and split, promotion, bake, and every way back."""

import asyncio

import pytest

from crm_operator.domain.clearing import CLEAN
from tests.cluster import stages
from tests.cluster.kube import condition
from tests.cluster.scene import (
    WITHIN,
    Json,
    Scene,
    cond,
    decisions,
    image,
    in_phase,
    is_stable,
    observed,
    replicas,
    rollout,
    size,
    version,
    workers,
)

pytestmark = pytest.mark.cluster

FOUR = {"minReplicas": 4, "maxReplicas": 4, "backlogPerReplica": 10, "scaleDownAfter": "1s"}
HOLDING = {"steps": [{"weight": 50, "hold": "1h"}], "bake": "1s", "progressDeadline": "60s"}
BAKING = {"steps": [], "bake": "1h", "progressDeadline": "60s"}
DEAD_LETTERS = [
    {
        "name": "dead-letters",
        "metric": {"from": "queue", "name": "dead"},
        "reduce": "Last",
        "critical": {"above": 0},
    }
]


def rolled_back(obj: Json) -> bool:
    return observed(obj) and rollout(obj).get("phase") == "RolledBack"


async def test_a_new_version_goes_through_its_steps_is_promoted_and_bakes(scene: Scene) -> None:
    first = await scene.settled(
        scaling=FOUR,
        rollout={
            "steps": [{"weight": 25, "hold": "1s"}, {"weight": 75, "hold": "1s"}],
            "bake": "5s",  # longer than the canary's workers hand over, one by one
            "progressDeadline": "60s",
        },
    )
    assert decisions(first)[:2] == ["Deployed", "Completed"], "a first version has nothing to be compared with"
    seen: list[tuple[str, int, int]] = []

    def watching(obj: Json) -> bool:
        now = (rollout(obj).get("phase", ""), workers(obj).get("stable", 0), workers(obj).get("canary", 0))
        if observed(obj) and (not seen or seen[-1] != now):
            seen.append(now)
        return is_stable(obj) and rollout(obj)["stableRevision"] != rollout(first)["stableRevision"]

    async def split() -> None:
        await scene.deployment_until(replicas(1), "hubspot-canary")
        await scene.deployment_until(replicas(3), "hubspot-canary")

    changing = scene.change(workers=version(2))
    done, _, _ = await asyncio.gather(scene.until(watching, within=30), split(), changing)
    phases = [item for item in seen if item[0] != "Stable"]
    assert phases[:2] == [("Canary", 3, 1), ("Canary", 1, 3)], seen
    assert [phase for phase, _, _ in phases[2:]][:1] == ["Promoting"], seen
    assert phases[-1] == ("Baking", 4, 0), seen
    assert [what for what in decisions(done) if what != "Scaled"][-5:] == [
        "RolloutStarted",
        "Advanced",
        "Promoted",
        "Baking",
        "Completed",
    ]
    await scene.deployment_until(lambda obj: replicas(4)(obj) and image(obj).endswith(":2"))
    await scene.gone(f"{scene.deployments}/hubspot-canary")


async def test_the_split_follows_the_size_while_a_step_holds(scene: Scene) -> None:
    await scene.settled(scaling={**FOUR, "minReplicas": 1, "maxReplicas": 6}, rollout=HOLDING)
    await scene.change(workers=version(2))
    await asyncio.gather(scene.deployment_until(replicas(1)), scene.deployment_until(replicas(1), "hubspot-canary"))
    scene.enqueue(60)
    await asyncio.gather(scene.deployment_until(replicas(3)), scene.deployment_until(replicas(3), "hubspot-canary"))
    scene.work_off()
    await asyncio.gather(scene.deployment_until(replicas(1)), scene.deployment_until(replicas(1), "hubspot-canary"))


async def test_a_guard_takes_the_canary_back_and_its_version_is_not_tried_again(scene: Scene) -> None:
    first = await scene.settled(scaling=FOUR, rollout=HOLDING, guards=DEAD_LETTERS)
    await scene.change(workers=version(2))
    await scene.until(in_phase("Canary"))
    await scene.deployment_until(replicas(2), "hubspot-canary")
    scene.dead_letter(3)
    back = await scene.until(rolled_back)
    assert rollout(back)["stableRevision"] == rollout(first)["stableRevision"]
    assert rollout(back)["failedRevision"] != rollout(first)["stableRevision"]
    assert condition(back, "Ready") == "False"
    assert condition(back, "Stalled") == "True", "a pipeline must not turn green"
    assert "dead" in back["status"]["message"]
    await scene.deployment_until(lambda obj: replicas(4)(obj) and image(obj).endswith(":1"))
    await scene.gone(f"{scene.deployments}/hubspot-canary")
    # Anything else in the spec may change; the failed version stays where it is.
    await scene.change(scaling={"minReplicas": 3})
    await scene.deployment_until(replicas(3))
    assert rolled_back(await scene.get())
    # Back to the stable template: no analysis, and all is well.
    await scene.change(workers=version(1))
    settled = await scene.until(in_phase("Stable"))
    assert rollout(settled)["stableRevision"] == rollout(first)["stableRevision"]
    assert "failedRevision" not in rollout(settled)
    assert "Reverted" in decisions(settled)
    await scene.told("RolloutStarted", "RolledBack", "Restored", "Reverted", "GuardCritical")


async def test_what_hits_another_integration_of_the_provider_too_takes_nothing_back(scene: Scene) -> None:
    await asyncio.gather(
        scene.settled(rollout=BAKING, guards=DEAD_LETTERS), scene.settled("hubspot-us", guards=DEAD_LETTERS)
    )
    await scene.change(workers=version(2))
    await scene.until(in_phase("Baking"))
    scene.dead_letter(1, "hubspot-us")
    await scene.until(lambda obj: obj["status"]["phase"] == "Degraded", "hubspot-us")
    scene.dead_letter(1)
    held = await scene.until(lambda obj: obj["status"]["phase"] == "Degraded")
    assert rollout(held)["phase"] == "Baking"
    assert held["status"]["guards"][0]["blame"] == "provider"
    assert "as on hubspot-us" in held["status"]["message"]


async def test_a_guard_takes_back_a_promoted_version(scene: Scene) -> None:
    await scene.settled(scaling=FOUR, rollout=BAKING, guards=DEAD_LETTERS)
    before = await scene.deployment_until(replicas(4))
    await scene.change(workers=version(2))
    await scene.until(in_phase("Baking"))
    await scene.deployment_until(lambda obj: replicas(4)(obj) and image(obj).endswith(":2"))
    scene.dead_letter(1)
    back = await scene.until(rolled_back)
    now = await scene.deployment_until(lambda obj: replicas(4)(obj) and image(obj).endswith(":1"))
    # As `kubectl rollout undo`: the previous ReplicaSet works again, and no third one was made.
    sets = await scene.list(
        f"/apis/apps/v1/namespaces/{scene.namespace}/replicasets", labelSelector="crm.agoralia.app/role=stable"
    )
    assert len(sets) == 2
    assert now["metadata"]["uid"] == before["metadata"]["uid"]
    assert now["spec"]["template"] == before["spec"]["template"]
    # The strategy of the emergency does not stay.
    await scene.deployment_until(lambda obj: obj["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"] == 0)
    # A corrected version is tried.
    scene.no_dead_letters()
    await scene.change(workers=version(3))
    trying = await scene.until(lambda obj: rollout(obj).get("phase") == "Baking")
    assert rollout(trying)["stableRevision"] == rollout(back)["stableRevision"]


async def test_without_rollback_a_critical_guard_only_holds(scene: Scene) -> None:
    await scene.settled(
        scaling=FOUR,
        rollout={**HOLDING, "steps": [{"weight": 50, "hold": "0s"}]},
        guards=DEAD_LETTERS,
        onCritical={"rollback": False},
    )
    scene.dead_letter(1)
    await scene.until(lambda obj: condition(obj, "Ready") == "False")
    await scene.change(workers=version(2))
    await scene.until(lambda obj: in_phase("Canary")(obj) and "stepStartTime" in rollout(obj))
    # The hold is no time at all: only the guard keeps the canary where it is, pass after pass.
    for count in (5, 6):
        await scene.change(scaling={"minReplicas": count, "maxReplicas": count})
        await scene.deployment_until(replicas(3 if count == 6 else 2))
    held = await scene.get()
    assert rollout(held)["phase"] == "Canary"
    assert cond(held, "Ready")["reason"] == "GuardCritical"
    scene.no_dead_letters()
    # The newest value has no window, so its guard holds for a clean minute.
    await scene.until(is_stable, within=CLEAN.total_seconds() + WITHIN)


async def test_the_stable_template_again_in_mid_canary_ends_the_canary(scene: Scene) -> None:
    first = await scene.settled(rollout=HOLDING)
    await scene.change(workers=version(2))
    await scene.deployment_until(replicas(1), "hubspot-canary")
    await scene.change(workers=version(1))
    settled = await scene.until(is_stable)
    assert "Abandoned" in decisions(settled)
    assert rollout(settled)["stableRevision"] == rollout(first)["stableRevision"]
    await scene.gone(f"{scene.deployments}/hubspot-canary")
    await scene.deployment_until(replicas(2))


async def test_a_third_version_in_mid_canary_replaces_the_second(scene: Scene) -> None:
    first = await scene.settled(rollout=HOLDING)
    await scene.change(workers=version(2))
    second = await scene.until(in_phase("Canary"))
    await scene.deployment_until(lambda obj: replicas(1)(obj) and image(obj).endswith(":2"), "hubspot-canary")
    await scene.change(workers=version(3))
    third = await scene.until(
        lambda obj: in_phase("Canary")(obj) and rollout(obj)["canaryRevision"] != rollout(second)["canaryRevision"]
    )
    assert rollout(third)["stableRevision"] == rollout(first)["stableRevision"]
    await scene.deployment_until(lambda obj: replicas(1)(obj) and image(obj).endswith(":3"), "hubspot-canary")
    stable = await scene.deployment()
    assert stable is not None
    assert image(stable).endswith(":1")


async def test_edited_steps_start_again_at_the_first(scene: Scene) -> None:
    await scene.settled(
        scaling=FOUR, rollout={**HOLDING, "steps": [{"weight": 25, "hold": "0s"}, {"weight": 50, "hold": "1h"}]}
    )
    await scene.change(workers=version(2))
    await scene.until(lambda obj: rollout(obj).get("step") == 1)
    await scene.change(rollout={"steps": [{"weight": 75, "hold": "1h"}]})
    again = await scene.until(lambda obj: observed(obj) and rollout(obj).get("weight") == 75)
    assert rollout(again)["step"] == 0
    assert "RolloutRestarted" in decisions(again)
    await scene.deployment_until(replicas(3), "hubspot-canary")


async def test_a_canary_with_no_work_must_still_start(scene: Scene) -> None:
    await scene.settled(scaling={**FOUR, "minReplicas": 0})
    await scene.change(workers=version(2))
    await scene.deployment_until(replicas(1), "hubspot-canary")
    await scene.until(is_stable)
    assert size(await scene.deployment()) == 0
    await scene.gone(f"{scene.deployments}/hubspot-canary")


@pytest.mark.usefixtures("misbehaving_pods")
async def test_a_canary_that_crashes_is_taken_back_at_once(scene: Scene) -> None:
    await scene.settled()
    await scene.change(workers=version(2, **stages.CRASHING))
    back = await scene.until(rolled_back)
    assert "restarted 4 times (CrashLoopBackOff)" in rollout(back)["reason"]
    await scene.gone(f"{scene.deployments}/hubspot-canary")


@pytest.mark.usefixtures("misbehaving_pods")
async def test_a_version_that_cannot_start_is_taken_back_after_a_minute(scene: Scene) -> None:
    """In the canary, and in a promotion without one; the deadline is far away."""
    slow = {**HOLDING, "progressDeadline": "1h"}
    names = ("with-canary", "straight")
    await asyncio.gather(
        scene.settled("with-canary", rollout=slow), scene.settled("straight", rollout={**slow, "steps": []})
    )

    async def taken_back(name: str) -> None:
        await scene.change(name, workers=version(2, **stages.MISCONFIGURED))
        seen = await scene.until(lambda obj: "failingSince" in rollout(obj), name)
        assert cond(seen, "Reconciling")["reason"] == "WorkersNotStarting"
        back = await scene.until(rolled_back, name, within=90)
        assert "could not start for 1m: CreateContainerConfigError" in rollout(back)["reason"]
        await scene.deployment_until(lambda obj: replicas(2)(obj) and image(obj).endswith(":1"), name)

    await asyncio.gather(*(taken_back(name) for name in names))


async def test_back_to_the_version_before_without_a_canary(scene: Scene) -> None:
    await scene.settled(rollout=HOLDING)
    await scene.change(workers=version(2))
    await scene.until(in_phase("Canary"))
    await scene.annotate(promote="full@1")
    served = await scene.until(lambda obj: is_stable(obj) and len(rollout(obj)["goodRevisions"]) == 2)
    assert "stoppedTime" in rollout(served)["goodRevisions"][0]
    await scene.change(workers=version(1))
    back = await scene.until(
        lambda obj: is_stable(obj) and rollout(obj)["stableRevision"] != rollout(served)["stableRevision"]
    )
    assert "Canary" not in str(back["status"]["decisions"][-3:])
    assert [item for item in decisions(back) if item != "Scaled"][-3:] == ["RolloutStarted", "Baking", "Completed"]
    assert await scene.deployment("hubspot-canary") is None
    await scene.deployment_until(lambda obj: replicas(2)(obj) and image(obj).endswith(":1"))


@pytest.mark.usefixtures("misbehaving_pods")
async def test_versions_that_never_get_ready_are_taken_back_at_the_deadline(scene: Scene) -> None:
    canary = {"steps": [{"weight": 50, "hold": "1s"}], "bake": "1s", "progressDeadline": "10s"}
    await asyncio.gather(
        scene.settled("with-canary", rollout=canary), scene.settled("straight", rollout={**canary, "steps": []})
    )
    # And a first version, which has nothing to go back to: it stays, and says so.
    await scene.create("first", workers=version(2, **stages.NEVER_READY), rollout=canary)
    for name in ("with-canary", "straight"):
        await scene.change(name, workers=version(2, **stages.NEVER_READY))

    async def back(name: str) -> None:
        obj = await scene.until(rolled_back, name, within=40)
        assert "rollout.progressDeadline" in rollout(obj)["reason"]
        assert "0 of " in rollout(obj)["reason"], "old workers that are Ready are no new ones"
        await scene.deployment_until(lambda item: replicas(2)(item) and image(item).endswith(":1"), name)

    async def stays() -> None:
        obj = await scene.until(lambda obj: condition(obj, "Stalled") == "True", "first", within=40)
        assert cond(obj, "Stalled")["reason"] == "ProgressDeadlineExceeded"
        assert cond(obj, "Ready")["status"] == "False"
        assert size(await scene.deployment("first")) == 2
        # A good version gets it going.
        await scene.create("first", workers=version(3), rollout=canary)
        await scene.until(is_stable, "first")

    await asyncio.gather(back("with-canary"), back("straight"), stays())
