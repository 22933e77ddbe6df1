"""A crash of the operator at any moment heals: the same end as without it."""

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import httpx
import pytest

from dev.cluster import Cluster
from dev.operator import OperatorProcess
from tests.cluster.audit import AuditLog
from tests.cluster.identity import Identity
from tests.cluster.kube import collection
from tests.cluster.scene import (
    Json,
    Scene,
    cond,
    decisions,
    image,
    in_phase,
    is_paused,
    is_stable,
    observed,
    replicas,
    rollout,
    size,
    version,
)
from tests.cluster.test_queued import baking, is_waiting, waiting_revision
from tests.cluster.test_rollout import BAKING, DEAD_LETTERS, HOLDING, rolled_back
from tests.redisserver import RedisServer

pytestmark = pytest.mark.cluster

ALLOW = ("127.0.0.1",)


@pytest.fixture
def mortal(operator_identity: Identity, namespace: str, tmp_path: Path) -> OperatorProcess:
    """An operator of this namespace alone, not started."""
    return OperatorProcess(
        operator_identity.kubeconfig, log=tmp_path / "operator.log", namespaces=[namespace], allow_hosts=ALLOW
    )


@pytest.fixture
def scene(kube: httpx.AsyncClient, namespace: str, redis_server: RedisServer, mortal: OperatorProcess) -> Scene:
    """As elsewhere, with the mortal operator."""
    return Scene(kube, namespace, redis_server, mortal.log)


async def crash(operator: OperatorProcess) -> None:
    """Kill -9 and start again; at once, as a supervisor would."""
    operator.kill()
    await asyncio.to_thread(operator.start)


async def crash_at(operator: OperatorProcess, scene: Scene, *moments: Callable[[Json], object]) -> None:
    """Crash as soon as each of `moments` is seen, in their order. One that has passed unseen is not waited for."""
    for moment in moments:
        await scene.until(moment, within=30)
        await crash(operator)


async def test_a_rollout_survives_a_crash_in_each_phase(mortal: OperatorProcess, scene: Scene) -> None:
    slow = {"steps": [{"weight": 50, "hold": "2s"}], "bake": "2s", "progressDeadline": "60s"}
    with mortal:
        first = await scene.create(rollout=slow)
        await crash_at(mortal, scene, lambda obj: rollout(obj).get("phase") in ("Promoting", "Stable"))
        first = await scene.until(is_stable, within=30)
        await scene.change(workers=version(2))
        await crash_at(
            mortal,
            scene,
            in_phase("Canary"),
            lambda obj: rollout(obj)["phase"] != "Canary",
            lambda obj: rollout(obj)["phase"] in ("Baking", "Stable"),
        )
        done = await scene.until(
            lambda obj: is_stable(obj) and rollout(obj)["stableRevision"] != rollout(first)["stableRevision"], within=30
        )
        await scene.deployment_until(lambda obj: replicas(2)(obj) and image(obj).endswith(":2"))
        await scene.gone(f"{scene.deployments}/hubspot-canary")
    told = [what for what in decisions(done) if what != "Scaled"]
    for what in ("RolloutStarted", "Promoted", "Baking", "Completed"):
        assert told.count(what) == (2 if what == "Completed" else 1), f"{what} was decided twice or never: {told}"


async def test_a_hold_goes_on_at_the_right_second_after_a_crash(mortal: OperatorProcess, scene: Scene) -> None:
    with mortal:
        await scene.settled(rollout=HOLDING)
        await scene.change(workers=version(2))
        before = await scene.until(lambda obj: in_phase("Canary")(obj) and "stepStartTime" in rollout(obj))
        canary = await scene.deployment_until(replicas(1), "hubspot-canary")
        await crash(mortal)
        # The first thing that the new process decides is that there is nothing to do.
        await scene.change(scaling={"minReplicas": 4})
        after = await scene.until(lambda obj: in_phase("Canary")(obj) and obj["status"]["workers"]["desired"] == 4)
        assert rollout(after)["stepStartTime"] == rollout(before)["stepStartTime"]
        now = await scene.deployment_until(replicas(2), "hubspot-canary")
        assert now["metadata"]["uid"] == canary["metadata"]["uid"]


async def test_a_template_that_waits_for_a_bake_begins_after_it_whenever_the_operator_crashes(
    mortal: OperatorProcess, scene: Scene
) -> None:
    with mortal:
        _, before = await baking(scene)
        await scene.change(workers=version(3))
        waiting = await scene.until(is_waiting)
        await crash(mortal)
        # The first thing that the new process decides is that there is nothing to do.
        await scene.change(scaling={"minReplicas": 4})
        after = await scene.until(lambda obj: is_waiting(obj) and obj["status"]["workers"]["desired"] == 4)
        assert waiting_revision(after) == waiting_revision(waiting)
        assert rollout(after)["stepStartTime"] == rollout(before)["stepStartTime"], "the bake goes on"
        # It ends while nobody looks.
        mortal.kill()
        await scene.change(rollout={"bake": "1s"})
        await asyncio.to_thread(mortal.start)
        began = await scene.until(in_phase("Canary"))
        assert rollout(began)["stableRevision"] == rollout(before)["canaryRevision"]
        assert rollout(began)["canaryRevision"] == waiting_revision(waiting)
        assert decisions(began)[-2:] == ["Completed", "RolloutStarted"]


async def test_a_guard_on_the_newest_value_keeps_its_state_for_a_minute_over_a_crash(
    mortal: OperatorProcess, scene: Scene
) -> None:
    with mortal:
        await scene.settled(guards=DEAD_LETTERS)
        scene.dead_letter(2)
        await scene.until(lambda obj: is_critical(obj, value="2", clear=False))
        scene.no_dead_letters()
        await scene.until(lambda obj: is_critical(obj, value="0", clear=True))
        scene.dead_letter(1)
        await scene.until(lambda obj: is_critical(obj, value="1", clear=False))
        scene.no_dead_letters()
        kept = await scene.until(lambda obj: is_critical(obj, value="0", clear=True))
        assert "; Critical until that has lasted 1m, at " in kept["status"]["message"]
        await crash(mortal)
        # The first thing that the new process decides is that there is nothing to do.
        await scene.change(scaling={"minReplicas": 4})
        after = await scene.until(lambda obj: observed(obj) and obj["status"]["workers"]["desired"] == 4)
        assert after["status"]["guards"] == kept["status"]["guards"]
        clear = await scene.until(lambda obj: obj["status"]["guards"][0]["state"] == "OK", within=75)
        guard, was = clear["status"]["guards"][0], kept["status"]["guards"][0]
        lasted = datetime.fromisoformat(guard["since"]) - datetime.fromisoformat(was["clearTime"])
        assert lasted >= timedelta(minutes=1)
        assert "clearTime" not in guard
        assert is_stable(clear)
        told = await scene.told("GuardCritical")
    assert decisions(clear).count("GuardCritical") == len(told) == 1, "a trouble that swings is told once"


def is_critical(obj: Json, *, value: str, clear: bool) -> bool:
    """The guard, at this value, and whether the value itself is above no limit any more."""
    guard: Json = next(iter(obj["status"].get("guards") or []), {})
    return (guard.get("state"), guard.get("value"), "clearTime" in guard) == ("Critical", value, clear)


async def test_what_a_person_asked_for_is_done_once_whenever_the_operator_crashes(
    mortal: OperatorProcess, scene: Scene
) -> None:
    steps = [{"weight": weight, "hold": "1h"} for weight in (25, 50, 75)]
    with mortal:
        await scene.settled(rollout={**HOLDING, "steps": steps})
        await scene.change(workers=version(2))
        await scene.until(lambda obj: in_phase("Canary")(obj) and "stepStartTime" in rollout(obj))
        mortal.kill()
        await scene.annotate(promote="step@1")
        await asyncio.to_thread(mortal.start)
        await crash_at(mortal, scene, lambda obj: rollout(obj).get("step") == 1)
        # The first thing that the new process decides is that there is nothing to do.
        await scene.change(scaling={"minReplicas": 4})
        after = await scene.until(lambda obj: observed(obj) and obj["status"]["workers"]["desired"] == 4)
        assert rollout(after)["step"] == 1
        assert decisions(after).count("Advanced") == 1


async def test_rollbacks_survive_a_crash(mortal: OperatorProcess, scene: Scene) -> None:
    with mortal:
        await asyncio.gather(
            scene.settled("canary", rollout=HOLDING, guards=DEAD_LETTERS),
            scene.settled("baking", rollout=BAKING, guards=DEAD_LETTERS),
        )
        await asyncio.gather(scene.change("canary", workers=version(2)), scene.change("baking", workers=version(2)))
        await asyncio.gather(
            scene.until(in_phase("Canary"), "canary"),
            scene.until(in_phase("Baking"), "baking", within=30),
            scene.deployment_until(replicas(1), "canary-canary"),
        )
        # The damage is done while nobody looks, and once more while it is repaired.
        mortal.kill()
        scene.dead_letter(1, "canary")
        scene.dead_letter(1, "baking")
        await asyncio.to_thread(mortal.start)
        await scene.until(lambda obj: rollout(obj)["phase"] in ("RollingBack", "RolledBack"), "baking")
        await crash(mortal)

        async def back(name: str) -> None:
            obj = await scene.until(rolled_back, name, within=30)
            assert decisions(obj).count("RolledBack") == 1
            await scene.deployment_until(lambda item: replicas(2)(item) and image(item).endswith(":1"), name)

        await asyncio.gather(back("canary"), back("baking"), scene.gone(f"{scene.deployments}/canary-canary"))


async def test_a_template_that_is_gone_blocks_the_rollback_and_a_good_one_helps(
    mortal: OperatorProcess, scene: Scene
) -> None:
    """Somebody deleted its ControllerRevision, and the operator that had read it is gone."""
    with mortal:
        first = await scene.settled(rollout=BAKING, guards=DEAD_LETTERS)
        await scene.change(workers=version(2))
        await scene.until(in_phase("Baking"))
        mortal.kill()
        stored = f"/apis/apps/v1/namespaces/{scene.namespace}/controllerrevisions"
        await scene.delete(f"{stored}/hubspot-{rollout(first)['stableRevision']}")
        scene.dead_letter(1)
        await asyncio.to_thread(mortal.start)
        blocked = await scene.until(lambda obj: cond(obj, "RolledBack").get("reason") == "RollbackBlocked")
        assert "is not stored any more; apply a good" in cond(blocked, "RolledBack")["message"]
        scene.no_dead_letters()
        await scene.change(workers=version(3))
        # Trusted, although the guard is Critical for a minute more.
        await scene.until(in_phase("Stable"))
        await scene.deployment_until(lambda obj: replicas(2)(obj) and image(obj).endswith(":3"))


async def test_a_pause_survives_a_crash(mortal: OperatorProcess, scene: Scene) -> None:
    with mortal:
        await scene.settled()
        await scene.deployment_until(replicas(2))
        slow, _ = await scene.workers()
        path = f"{scene.pods}/{slow['metadata']['name']}"
        await scene.patch(path, {"metadata": {"finalizers": ["crm-tests/drains"]}})
        await scene.pause()
        await scene.until(lambda obj: cond(obj, "Paused").get("reason") == "Pausing")
        await crash(mortal)
        assert not is_paused(await scene.get())
        await scene.patch(path, {"metadata": {"finalizers": None}})
        await scene.until(is_paused)
        # Lifted while nobody looks.
        mortal.kill()
        await scene.lift()
        await asyncio.to_thread(mortal.start)
        await scene.deployment_until(replicas(2))
        resumed = await scene.until(is_stable)
        assert decisions(resumed).count("Pausing") == decisions(resumed).count("Resumed") == 1


def shows_work_and_workers(obj: Json) -> bool:
    status = obj["status"]
    return bool(status["queue"]["waiting"] == 15 and status["workers"]["ready"] == 2)


async def test_a_restart_writes_no_status_that_nothing_has_changed(
    api_cluster: Cluster, mortal: OperatorProcess, operator_identity: Identity, scene: Scene
) -> None:
    """The queue is read before anything is said of it, so "not read yet" is never written over what was known."""
    names = [f"steady-{number}" for number in range(10)]
    for name in names:
        scene.enqueue(15, name)
    with mortal:
        await asyncio.gather(*(scene.settled(name) for name in names))
        await asyncio.gather(*(scene.until(shows_work_and_workers, name, within=30) for name in names))
        mortal.kill()
        before = {name: (await scene.get(name))["status"] for name in names}
        audit = AuditLog.from_now(api_cluster, operator_identity.user)
        await asyncio.to_thread(mortal.start)
        # Each Deployment is applied once more after a start, in the pass that would have written a status.
        applied: set[str] = set()
        async with asyncio.timeout(30):
            while applied < set(names):
                await asyncio.sleep(0.2)
                applied = {seen.name for seen in audit.requests() if seen.writes and seen.resource == "deployments"}
        # Not a wait for something: that nothing is written in this time is what is tested.
        await asyncio.sleep(3)
    assert [r for r in audit.requests() if r.resource == "crmintegrations/status"] == []
    assert {name: (await scene.get(name))["status"] for name in names} == before


async def test_a_queue_that_is_not_read_at_a_start_holds_nobody_up_for_long(
    mortal: OperatorProcess, scene: Scene, redis_server: RedisServer
) -> None:
    with mortal:
        await scene.settled()
        await scene.deployment_until(replicas(2))
        mortal.kill()
        redis_server.freeze()
        try:
            await asyncio.to_thread(mortal.start)
            lost = await scene.until(lambda obj: cond(obj, "QueueReachable").get("status") == "False")
            await scene.change(scaling={"minReplicas": 4})
            await scene.deployment_until(replicas(4))
        finally:
            redis_server.thaw()
    assert cond(lost, "QueueReachable")["reason"] == "Timeout"


async def test_what_users_did_while_no_operator_ran_is_done_at_its_start(mortal: OperatorProcess, scene: Scene) -> None:
    with mortal:
        await asyncio.gather(scene.settled(), scene.settled("zoho", provider="zoho"))
        await asyncio.gather(scene.deployment_until(replicas(2)), scene.deployment_until(replicas(2), "zoho"))
    scene.enqueue(40)
    await scene.patch(
        f"{scene.deployments}/hubspot",
        {"spec": {"template": {"spec": {"containers": [{"name": "worker", "image": "localhost/evil:1"}]}}}},
    )
    await scene.delete(f"{collection('crmintegrations', scene.namespace)}/zoho")
    await scene.create("odoo", provider="odoo")
    mortal.start()
    try:
        await asyncio.gather(
            scene.deployment_until(lambda obj: replicas(4)(obj) and image(obj).endswith(":1")),
            scene.deployment_until(replicas(2), "odoo"),
            scene.gone(f"{scene.deployments}/zoho"),
        )
    finally:
        mortal.stop()


async def test_of_two_operators_one_acts_and_the_other_takes_over(
    kube: httpx.AsyncClient,
    namespace: str,
    redis_server: RedisServer,
    operator_identity: Identity,
    tmp_path: Path,
) -> None:
    def operator(name: str) -> OperatorProcess:
        return OperatorProcess(
            operator_identity.kubeconfig,
            log=tmp_path / f"{name}.log",
            namespaces=[namespace],
            allow_hosts=ALLOW,
            lease_namespace=operator_identity.namespace,
        )

    def works(name: str) -> bool:
        return " Working" in (tmp_path / f"{name}.log").read_text()

    lease = f"/apis/coordination.k8s.io/v1/namespaces/{operator_identity.namespace}/leases"
    scene = Scene(kube, namespace, redis_server, tmp_path / "second.log")
    with operator("first") as first, operator("second") as second:

        def held_by(process: OperatorProcess) -> Callable[[Json], object]:
            return lambda obj: str(obj["spec"]["holderIdentity"]).endswith(f"-{process.pid}")

        await scene.settled()
        assert works("first")
        assert not works("second"), "a standby neither lists nor watches"
        assert second.probe("/readyz")[0] == 200
        first.kill()
        await scene._watch(lease, "crm-operator", held_by(second), 40)
        scene.enqueue(40)
        await scene.deployment_until(replicas(4))
        # A holder that ends in order lets go at once; the next need not wait for the lease to expire.
        with operator("third") as third:
            second.stop()
            await scene._watch(lease, "crm-operator", held_by(third), 6)
            scene.work_off()
            await scene.deployment_until(replicas(2))
            assert size(await scene.deployment()) == 2
    await kube.delete(f"{lease}/crm-operator")
