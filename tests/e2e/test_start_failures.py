"""Versions that never get to work: refused, not to be pulled, ending at their start."""

import re

import pytest

from tests.cluster.kube import Json
from tests.e2e.scene import Scene, condition_of, decisions, revision_of, worker_of
from tests.e2e.together import scenario

pytestmark = pytest.mark.e2e


@scenario()
async def test_a_template_that_the_api_server_refuses_is_named_and_the_old_version_stays(scene: Scene) -> None:
    scene.spec["scaling"] |= {"minReplicas": 1, "maxReplicas": 1}
    v1 = await scene.deploy()
    before = await scene.deployment()
    refused = scene.version("v2")
    worker_of(refused)["imagePullPolicy"] = "Sometimes"
    await scene.apply(refused)

    status = await scene.status_when(lambda status: condition_of(status, "Stalled")["status"] == "True")
    assert condition_of(status, "Stalled")["reason"] == "InvalidTemplate"
    assert re.search(r'spec\.workers\.template\.spec\.containers\[0\]\.imagePullPolicy.*"Sometimes"', status["message"])
    assert status["rollout"]["stableRevision"] == v1
    assert len(await scene.told("TemplateRefused")) == 1
    async with scene.load() as load:
        load.burst(10)
        await scene.drained()
    after = await scene.deployment()
    assert after["spec"] == before["spec"]
    assert [pod["status"]["phase"] for pod in await scene.pods()] == ["Running"]

    await scene.release("v1")
    status = await scene.status_when(lambda status: condition_of(status, "Stalled")["status"] == "False")
    assert condition_of(status, "Ready")["status"] == "True"


@scenario()
async def test_an_image_that_cannot_be_pulled_is_said_at_once_and_taken_back_at_the_deadline(scene: Scene) -> None:
    scene.spec["scaling"] |= {"minReplicas": 1, "maxReplicas": 1}
    scene.spec["rollout"]["progressDeadline"] = "25s"
    v1 = await scene.deploy()
    (stable,) = await scene.pods()
    absent = scene.version("v2")
    worker_of(absent)["image"] = "localhost/crm-dev/absent:1"
    async with scene.record_pods() as pods:
        await scene.apply(absent)
        await pods.when(lambda now: any(map(_cannot_be_pulled, now.values())), within=60)
        status = await scene.status_when(
            lambda status: bool(re.search("ErrImagePull|ImagePullBackOff", status["message"])), within=8
        )
    assert condition_of(status, "Reconciling")["reason"] == "WorkersNotStarting"
    assert status["rollout"]["phase"] == "Canary", "said, and not acted on before its time"
    status = await scene.phase_when("RolledBack", within=90)
    assert "no progress in 25s (rollout.progressDeadline)" in status["message"]
    assert re.search("ErrImagePull|ImagePullBackOff", status["message"])
    assert status["rollout"]["stableRevision"] == v1
    assert [pod["metadata"]["uid"] for pod in await scene.pods(role="stable")] == [stable["metadata"]["uid"]]


@scenario()
async def test_a_version_that_ends_at_its_start_is_taken_back_after_three_restarts(scene: Scene) -> None:
    scene.spec["scaling"] |= {"minReplicas": 1, "maxReplicas": 1}
    v1 = await scene.deploy()
    async with scene.load(4) as load:
        await scene.release("v4", CRASH="1")
        status = await scene.phase_when("RolledBack", within=150)
        assert re.search(r"restarted 3 times", decisions(status, "RolledBack")[0]["why"])
        assert status["rollout"]["stableRevision"] == v1
    await scene.assert_each_done_once(load)
    (stable,) = await scene.pods(role="stable")
    assert stable["status"]["containerStatuses"][0]["restartCount"] == 0


@scenario()
async def test_a_version_whose_configuration_is_missing_is_taken_back_after_a_minute(scene: Scene) -> None:
    """In a promotion without a canary: the old worker goes on meanwhile."""
    scene.spec["scaling"] |= {"minReplicas": 1, "maxReplicas": 1}
    scene.spec["rollout"] |= {"steps": [], "progressDeadline": "10m"}
    v1 = await scene.deploy()
    (stable,) = await scene.pods()
    unconfigured = scene.version("v2")
    worker_of(unconfigured)["envFrom"] = [{"configMapRef": {"name": "crm-absent"}}]
    await scene.apply(unconfigured)
    status = await scene.phase_when("RolledBack", within=150)
    why = decisions(status, "RolledBack")[0]["why"]
    assert re.search(r'could not start for 1m: CreateContainerConfigError \(configmap "crm-absent" not found\)', why)
    assert status["rollout"]["stableRevision"] == v1
    assert [pod["metadata"]["uid"] for pod in await scene.pods()] == [stable["metadata"]["uid"]]


def _cannot_be_pulled(pod: Json) -> bool:
    states = [status["state"] for status in pod.get("status", {}).get("containerStatuses", [])]
    return any(state.get("waiting", {}).get("reason") in ("ErrImagePull", "ImagePullBackOff") for state in states)


@scenario()
async def test_a_worker_that_is_told_to_stop_while_it_starts_does_not_live_on(scene: Scene) -> None:
    """As process 1 it would for all of its grace period, 30 s: no SIGTERM reaches that before it has a handler."""
    scene.spec["scaling"] |= {"minReplicas": 2, "maxReplicas": 2}
    v1 = await scene.deploy()
    starting = scene.version("v2")
    worker = worker_of(starting)
    worker["command"], worker["args"] = ["python3", "-c", "import time; time.sleep(600)  # imports"], []
    await scene.apply(starting)
    async with scene.record_pods() as pods:
        await pods.when(lambda now: any(_runs(pod) and revision_of(pod) != v1 for pod in now.values()), within=60)
    await scene.annotate(abort="INC-7")
    await scene.status_when(lambda status: bool(decisions(status, "RolledBack")), within=20)
    async with scene.record_pods() as pods:
        await pods.when(lambda now: all(revision_of(pod) == v1 for pod in now.values()), within=15)


def _runs(pod: Json) -> bool:
    containers = pod.get("status", {}).get("containerStatuses") or []
    return any("running" in container["state"] for container in containers)
