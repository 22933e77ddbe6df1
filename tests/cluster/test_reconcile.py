"""A CrmIntegration and its Deployment: made, owned, kept as asked, and let go."""

import asyncio

import pytest

from crm_operator.api.names import (
    FIELD_MANAGER_SCALE,
    FIELD_MANAGER_TEMPLATE,
    LABEL_INTEGRATION,
    LABEL_MANAGED_BY,
    LABEL_REVISION,
    LABEL_ROLE,
)
from crm_operator.domain.revision import revision_of
from dev.cluster import Cluster
from tests.cluster.audit import AuditLog, Request
from tests.cluster.identity import Identity
from tests.cluster.kube import collection
from tests.cluster.objects import Json
from tests.cluster.scene import (
    Scene,
    cond,
    image,
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

pytestmark = pytest.mark.cluster


def owners(deployment: Json) -> dict[str, set[str]]:
    """Field managers of the spec, and the members of it that each owns."""
    return {
        entry["manager"]: set(entry["fieldsV1"].get("f:spec", {}))
        for entry in deployment["metadata"]["managedFields"]
        if entry["operation"] == "Apply"
    }


async def test_an_integration_becomes_a_deployment_of_its_own(scene: Scene) -> None:
    integration = await scene.settled()
    deployment = await scene.deployment_until(replicas(2))
    metadata = deployment["metadata"]
    revision = rollout(integration)["stableRevision"]
    # Owned, so that it goes with the integration; labelled, so that people can find it.
    [owner] = metadata["ownerReferences"]
    assert owner["uid"] == integration["metadata"]["uid"]
    assert owner["controller"]
    assert metadata["labels"] == {
        LABEL_MANAGED_BY: "crm-operator",
        LABEL_INTEGRATION: "hubspot",
        LABEL_ROLE: "stable",
        LABEL_REVISION: revision,
    }
    pods = await scene.workers()
    assert {pod["metadata"]["labels"][LABEL_REVISION] for pod in pods} == {revision}
    # The worker can tell its metrics apart by version.
    [container] = deployment["spec"]["template"]["spec"]["containers"]
    environment = {item["name"]: item["valueFrom"]["fieldRef"]["fieldPath"] for item in container["env"]}
    assert environment == {
        "CRM_REVISION": f"metadata.labels['{LABEL_REVISION}']",
        "CRM_ROLE": f"metadata.labels['{LABEL_ROLE}']",
    }
    # A normal update never goes below the wanted size.
    assert deployment["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"] == 0


async def test_template_and_size_have_a_field_manager_each(scene: Scene) -> None:
    await scene.settled()
    await scene.change(workers=version(2))
    await scene.until(lambda obj: is_stable(obj) and observed(obj))
    deployment = await scene.deployment_until(replicas(2))
    assert owners(deployment)[FIELD_MANAGER_SCALE] == {"f:replicas"}
    assert "f:template" in owners(deployment)[FIELD_MANAGER_TEMPLATE]
    assert "f:replicas" not in owners(deployment)[FIELD_MANAGER_TEMPLATE]


async def test_drift_is_repaired(scene: Scene) -> None:
    await scene.settled()
    path = f"{scene.deployments}/hubspot"
    before = await scene.deployment_until(replicas(2))
    # Like `kubectl set image`, `kubectl label` and `kubectl scale`.
    foreign = {"spec": {"template": {"spec": {"containers": [{"name": "worker", "image": "localhost/evil:1"}]}}}}
    await scene.patch(path, foreign)
    await scene.deployment_until(lambda obj: image(obj) == "localhost/worker:1")
    await scene.patch(path, {"metadata": {"labels": {LABEL_ROLE: "canary", "team": "sync"}}})
    after = await scene.deployment_until(lambda obj: obj["metadata"]["labels"].get(LABEL_ROLE) == "stable")
    assert after["metadata"]["labels"]["team"] == "sync", "a label of somebody else is not ours to remove"
    await scene.patch(path, {"spec": {"replicas": 4}})
    await scene.deployment_until(replicas(2))
    settled = await scene.get()
    assert workers(settled)["desired"] == 2
    assert rollout(settled)["phase"] == "Stable"
    assert (await scene.deployment_until(replicas(2)))["metadata"]["uid"] == before["metadata"]["uid"]


async def test_a_deleted_deployment_is_made_again(scene: Scene) -> None:
    await scene.settled()
    before = await scene.deployment_until(replicas(2))
    await scene.delete(f"{scene.deployments}/hubspot")

    async def again() -> bool:
        now = await scene.deployment()
        return now is not None and now["metadata"]["uid"] != before["metadata"]["uid"] and size(now) == 2

    await scene.eventually(again)


async def test_a_foreign_deployment_of_the_same_name_is_not_taken_over(scene: Scene) -> None:
    labels = {"app": "theirs"}
    foreign = {
        "metadata": {"name": "hubspot"},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {"containers": [{"name": "web", "image": "localhost/web:1"}]},
            },
        },
    }
    theirs = await scene.post(scene.deployments, foreign)
    await scene.create()
    told = await scene.until(lambda obj: cond(obj, "Ready").get("reason") == "NameTaken")
    assert "hubspot" in cond(told, "Ready")["message"]
    assert "delete it, or rename" in cond(told, "Ready")["message"]
    now = await scene.deployment()
    assert now is not None
    assert now["spec"] == theirs["spec"]
    assert "ownerReferences" not in now["metadata"]
    # Out of the way, and the integration gets its own.
    await scene.delete(f"{scene.deployments}/hubspot")
    await scene.until(is_stable, within=40)


async def test_a_foreign_deployment_with_our_labels_is_not_taken_over_either(scene: Scene) -> None:
    labels = {LABEL_INTEGRATION: "hubspot", LABEL_ROLE: "stable", LABEL_MANAGED_BY: "crm-operator"}
    foreign = {
        "metadata": {"name": "hubspot", "labels": labels},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": {LABEL_INTEGRATION: "hubspot", LABEL_ROLE: "stable"}},
            "template": {
                "metadata": {"labels": labels},
                "spec": {"containers": [{"name": "web", "image": "localhost/web:1"}]},
            },
        },
    }
    await scene.post(scene.deployments, foreign)
    await scene.create()
    await scene.until(lambda obj: cond(obj, "Ready").get("reason") == "NameTaken")
    now = await scene.deployment()
    assert now is not None
    assert image(now) == "localhost/web:1"
    assert "ownerReferences" not in now["metadata"]


async def test_a_foreign_controller_revision_holds_only_the_version_that_needs_its_name(
    api_cluster: Cluster, operator_identity: Identity, scene: Scene
) -> None:
    first = await scene.settled()
    revisions = f"/apis/apps/v1/namespaces/{scene.namespace}/controllerrevisions"
    name = f"hubspot-{revision_of(version(2)['template'])}"
    await scene.post(revisions, {"metadata": {"name": name}, "data": {"template": {}}, "revision": 1})
    audit = AuditLog.from_now(api_cluster, operator_identity.user)

    def tries() -> list[Request]:
        return [r for r in audit.requests() if r.namespace == scene.namespace and r.resource == "controllerrevisions"]

    await scene.change(workers=version(2))
    told = await scene.until(says("Ready", "False", "NameTaken"))
    assert f"ControllerRevision {name} exists and is not this integration's; delete" in cond(told, "Ready")["message"]
    assert rollout(told)["stableRevision"] == rollout(first)["stableRevision"]
    # All else goes on, and the name is not asked for with each look.
    for workers_wanted in (3, 4, 3, 4):
        await scene.change(scaling={"minReplicas": workers_wanted})
        await scene.deployment_until(replicas(workers_wanted))
    assert len([request for request in tries() if request.verb == "create"]) <= 3, tries()
    assert says("Ready", "False", "NameTaken")(await scene.get())
    await scene.delete(f"{revisions}/{name}")
    await scene.until(is_stable, within=40)
    await scene.deployment_until(lambda obj: image(obj).endswith(":2"))


async def test_a_deployment_that_lost_its_owner_counts_as_foreign_and_keeps_running(scene: Scene) -> None:
    await scene.settled()
    await scene.patch(f"{scene.deployments}/hubspot", {"metadata": {"ownerReferences": None}})
    await scene.until(lambda obj: cond(obj, "Ready").get("reason") == "NameTaken")
    await scene.deployment_until(replicas(2))


async def test_deleting_the_integration_takes_everything_of_it_along(scene: Scene) -> None:
    await scene.settled()
    await scene.change(
        workers=version(2), rollout={"steps": [{"weight": 50, "hold": "1h"}], "bake": "1s", "progressDeadline": "60s"}
    )
    await scene.until(in_phase("Canary"))
    await scene.deployment_until(replicas(1), "hubspot-canary")
    await scene.delete(f"{collection('crmintegrations', scene.namespace)}/hubspot")
    await asyncio.gather(scene.gone(f"{scene.deployments}/hubspot"), scene.gone(f"{scene.deployments}/hubspot-canary"))

    async def nothing_left() -> bool:
        revisions = await scene.list(f"/apis/apps/v1/namespaces/{scene.namespace}/controllerrevisions")
        return not revisions and not await scene.workers()

    await scene.eventually(nothing_left)


@pytest.mark.parametrize("number", [7, 1], ids=["another template", "the same, whose ControllerRevision is in the way"])
async def test_an_integration_made_again_under_its_name_starts_from_nothing(scene: Scene, number: int) -> None:
    await scene.settled(workers=version(1))
    old = await scene.deployment_until(replicas(2))
    await scene.delete(f"{collection('crmintegrations', scene.namespace)}/hubspot")
    await scene.settled(workers=version(number))

    async def new_one() -> bool:
        now = await scene.deployment()
        if now is None or now["metadata"]["uid"] == old["metadata"]["uid"]:
            return False
        return image(now).endswith(f":{number}")

    await scene.eventually(new_one, within=40)


async def test_a_rollout_restart_goes_through_and_is_not_undone(scene: Scene) -> None:
    await scene.settled()
    before = {pod["metadata"]["name"] for pod in await scene.workers()}
    restart = {"kubectl.kubernetes.io/restartedAt": "2026-11-24T03:00:00Z"}
    await scene.patch(f"{scene.deployments}/hubspot", {"spec": {"template": {"metadata": {"annotations": restart}}}})

    async def all_new() -> bool:
        now = {pod["metadata"]["name"] for pod in await scene.workers()}
        return len(now) == 2 and not now & before

    await scene.eventually(all_new)
    now = await scene.deployment_until(replicas(2))
    assert now["spec"]["template"]["metadata"]["annotations"] == restart
    assert rollout(await scene.get())["phase"] == "Stable"
