"""`mode: Observe` on a real API server: all is told in status, and nothing else is written."""

import pytest

from dev.cluster import Cluster
from tests.cluster.audit import AuditLog
from tests.cluster.identity import Identity
from tests.cluster.scene import (
    Scene,
    cond,
    decisions,
    in_phase,
    is_stable,
    observed,
    replicas,
    rollout,
    says,
    size,
    version,
    workers,
)
from tests.cluster.test_rollout import DEAD_LETTERS, HOLDING, rolled_back

pytestmark = pytest.mark.cluster


def writes(audit: AuditLog, namespace: str) -> set[tuple[str, str]]:
    return {(r.verb, r.resource) for r in audit.requests() if r.writes and r.namespace == namespace}


async def test_a_team_looks_before_it_adopts(api_cluster: Cluster, operator_identity: Identity, scene: Scene) -> None:
    """Their own workers run elsewhere: there is no Deployment of ours, and none is made before they say so."""
    audit = AuditLog.from_now(api_cluster, operator_identity.user)
    await scene.create(mode="Observe")
    seen = await scene.until(says("Ready", "True", "Observing"))
    assert "WouldDeploy: first deployment" in seen["status"]["message"]
    scene.enqueue(60)
    more = await scene.until(lambda obj: workers(obj).get("desired") == 4)
    assert decisions(more) == ["WouldDeploy", "WouldScale"]
    await scene.pause()
    await scene.until(lambda obj: "its workers would be stopped" in cond(obj, "Paused").get("message", ""))
    lifted = await scene.pause_until(lambda obj: obj.get("status", {}).get("phase") == "Paused")
    assert not lifted["status"].get("integrations"), "it stops none"
    await scene.annotate(abort="1")
    await scene.until(lambda obj: bool(obj["status"].get("verbs")))
    await scene.change(workers=version(2))
    last = await scene.until(lambda obj: observed(obj) and decisions(obj)[-1] == "WouldDeploy")
    assert await scene.deployment() is None
    assert await scene.list(f"/apis/apps/v1/namespaces/{scene.namespace}/controllerrevisions") == []
    assert await scene.events() == []
    assert writes(audit, scene.namespace) == {("patch", "crmintegrations/status"), ("patch", "syncpauses/status")}

    await scene.lift()
    await scene.change(mode="Enforce")
    adopted = await scene.until(is_stable)
    assert rollout(adopted)["stableRevision"] != ""
    assert cond(last, "Stalled")["status"] == "False"
    await scene.deployment_until(replicas(4))


async def test_an_integration_that_is_only_observed_is_left_as_it_is(
    api_cluster: Cluster, operator_identity: Identity, scene: Scene
) -> None:
    """In mid-canary: no step, no size, no rollback; and back in Enforce what is due is done."""
    await scene.settled(rollout={**HOLDING, "progressDeadline": "10s"}, guards=DEAD_LETTERS)
    await scene.change(workers=version(2))
    await scene.until(lambda obj: in_phase("Canary")(obj) and "stepStartTime" in rollout(obj))
    await scene.change(mode="Observe")
    frozen = await scene.until(says("Ready", "True", "Observing"))
    audit = AuditLog.from_now(api_cluster, operator_identity.user)
    scene.enqueue(60)
    await scene.until(lambda obj: workers(obj).get("desired") == 4)
    scene.dead_letter(1)
    told = await scene.until(lambda obj: "WouldRollBack" in decisions(obj))
    assert cond(told, "Ready")["reason"] == "GuardCritical"
    assert {**rollout(told), "reason": ""} == {**rollout(frozen), "reason": ""}
    assert (size(await scene.deployment()), size(await scene.deployment("hubspot-canary"))) == (1, 1)
    await scene.delete(f"{scene.deployments}/hubspot-canary")
    await scene.gone(f"{scene.deployments}/hubspot-canary")
    await scene.change(scaling={"maxReplicas": 3})
    await scene.until(lambda obj: observed(obj) and workers(obj).get("desired") == 3)
    assert await scene.deployment("hubspot-canary") is None
    assert writes(audit, scene.namespace) == {("patch", "crmintegrations/status")}

    await scene.change(mode="Enforce")
    await scene.until(rolled_back)
    await scene.deployment_until(replicas(3))


async def test_a_deployment_of_that_name_that_is_somebody_elses_is_said(scene: Scene) -> None:
    labels = {"app": "theirs"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "worker", "image": "localhost/w:1"}]}}
    spec = {"replicas": 1, "selector": {"matchLabels": labels}, "template": template}
    before = await scene.post(scene.deployments, {"metadata": {"name": "hubspot"}, "spec": spec})
    await scene.create(mode="Observe")
    said = await scene.until(says("Ready", "False", "NameTaken"))
    assert "Deployment hubspot exists and is not this integration's" in said["status"]["message"]
    after = await scene.deployment()
    assert after is not None
    assert (after["metadata"]["uid"], after["spec"]) == (before["metadata"]["uid"], before["spec"])
