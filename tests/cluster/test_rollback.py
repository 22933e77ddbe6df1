"""Ways back of a promoted version when somebody or something stands in the way, on a real API server."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any
from uuid import uuid4

import pytest

from dev.cluster import Cluster
from tests.cluster.audit import AuditLog
from tests.cluster.identity import Identity
from tests.cluster.scene import (
    Holds,
    Json,
    Scene,
    cond,
    decisions,
    image,
    in_phase,
    replicas,
    rollout,
    says,
    size,
    version,
)
from tests.cluster.test_rollout import BAKING, DEAD_LETTERS, HOLDING, rolled_back

pytestmark = pytest.mark.cluster


#: What a policy speaks of: group, version, resource.
DEPLOYMENT = ("apps", "v1", "deployments")
STATUS = ("crm.agoralia.app", "v1alpha1", "crmintegrations/status")


def runs(number: int) -> Holds:
    return lambda obj: replicas(2)(obj) and image(obj).endswith(f":{number}")


def is_blocked(obj: Json) -> bool:
    return cond(obj, "RolledBack").get("reason") == "RollbackBlocked"


async def baking(scene: Scene, name: str = "hubspot", **spec: Any) -> Json:
    """Version 2 runs in both workers of `name`, and bakes."""
    await scene.settled(name, rollout=BAKING, guards=DEAD_LETTERS, **spec)
    await scene.change(name, workers=version(2))
    await scene.until(in_phase("Baking"), name)
    return await scene.deployment_until(runs(2), name)


async def replica_sets(scene: Scene, name: str) -> list[Json]:
    path = f"/apis/apps/v1/namespaces/{scene.namespace}/replicasets"
    return await scene.list(path, labelSelector=f"crm.agoralia.app/integration={name}")


async def test_no_good_pod_is_asked_for_before_the_bad_ones_are_told(scene: Scene) -> None:
    """The Deployment controller does one thing at a look; with any surge it would make new pods first."""
    await baking(scene)
    (bad,) = [item["metadata"]["name"] for item in await replica_sets(scene, "hubspot") if item["spec"]["replicas"]]
    sizes: dict[str, int] = {}
    path = f"/apis/apps/v1/namespaces/{scene.namespace}/replicasets"
    # A watch tells of the ReplicaSets as they are, and then each change in its order.
    async with scene.kube.stream("GET", path, params={"watch": "1", "timeoutSeconds": "30"}, timeout=35) as changes:
        scene.dead_letter(1)
        async for line in changes.aiter_lines():
            item = json.loads(line)["object"]
            sizes[item["metadata"]["name"]] = item["spec"]["replicas"]
            if sizes.get(bad) == 0:
                break
    assert list(sizes.values()) == [0, 0]
    await scene.until(rolled_back)
    await scene.deployment_until(runs(1))


async def test_the_previous_replicaset_is_not_needed(scene: Scene) -> None:
    """Deleted, or pruned by `revisionHistoryLimit: 0`: the template comes from its ControllerRevision."""
    await asyncio.gather(baking(scene, "deleted"), baking(scene, "pruned"))
    await scene.patch(f"{scene.deployments}/pruned", {"spec": {"revisionHistoryLimit": 0}})
    for old in await replica_sets(scene, "deleted"):
        if old["spec"]["replicas"] == 0:
            await scene.delete(f"/apis/apps/v1/namespaces/{scene.namespace}/replicasets/{old['metadata']['name']}")

    async def only_one(name: str) -> bool:
        return len(await replica_sets(scene, name)) == 1

    async def goes_back(name: str) -> None:
        await scene.eventually(lambda: only_one(name))
        scene.dead_letter(1, name)
        await scene.until(rolled_back, name)
        now = await scene.deployment_until(runs(1), name)
        assert now["spec"].get("revisionHistoryLimit") == (0 if name == "pruned" else 10), "a person's field stays"

    await asyncio.gather(goes_back("deleted"), goes_back("pruned"))


async def test_a_rollout_undo_by_a_person_is_put_right(api_cluster: Cluster, scene: Scene) -> None:
    """The spec says which version runs; going back is for the spec, or for `abort`."""
    await baking(scene)
    undone = asyncio.create_task(scene.deployment_until(lambda obj: image(obj).endswith(":1")))
    await asyncio.to_thread(
        api_cluster.run_kubectl, "rollout", "undo", "deployment/hubspot", "--namespace", scene.namespace
    )
    await undone
    await scene.deployment_until(runs(2))
    assert rollout(await scene.get())["phase"] == "Baking"
    # And in the canary, of the stable version.
    await scene.annotate(abort="1")
    await scene.until(rolled_back)
    await scene.change(rollout=HOLDING, workers=version(3))
    await scene.deployment_until(replicas(1), "hubspot-canary")
    await asyncio.to_thread(
        api_cluster.run_kubectl, "rollout", "undo", "deployment/hubspot", "--namespace", scene.namespace
    )
    await scene.deployment_until(lambda obj: size(obj) == 1 and image(obj).endswith(":1"))
    assert rollout(await scene.get())["phase"] == "Canary"


async def test_a_rollback_that_admission_denies_is_loud_and_tried_again(scene: Scene) -> None:
    await baking(scene)
    async with version_1_forbidden(scene):
        scene.dead_letter(1)
        blocked = await scene.until(is_blocked)
        assert "version 1 is not allowed any more" in cond(blocked, "RolledBack")["message"]
        assert cond(blocked, "Stalled")["reason"] == "RollbackBlocked"

        async def told() -> bool:
            return {"RolledBack", "RollbackBlocked"} <= {event["reason"] for event in await scene.events()}

        await scene.eventually(told)
        # The bad version takes no more jobs, though it cannot be replaced.
        stopped = await scene.deployment_until(lambda obj: size(obj) == 0)
        assert image(stopped).endswith(":2")
        await scene.eventually(lambda: nobody_works(scene))
        assert "no worker runs" in cond(await scene.until(is_blocked), "RolledBack")["message"]
    back = await scene.until(lambda obj: rolled_back(obj) and not is_blocked(obj), within=40)
    assert decisions(back).count("RollbackBlocked") == 1
    await scene.deployment_until(runs(1))


async def test_a_rollback_that_cannot_be_recorded_happens_all_the_same(
    api_cluster: Cluster, operator_identity: Identity, scene: Scene
) -> None:
    await baking(scene)
    async with no_record_of_a_rollback(scene):
        audit = AuditLog.from_now(api_cluster, operator_identity.user)
        scene.dead_letter(1)
        await scene.deployment_until(lambda obj: runs(1)(obj) and obj["status"].get("updatedReplicas") == 2)
        scene.no_dead_letters()
        await scene.eventually(lambda: nobody_runs(scene, 2))
        before = len(audit.requests())

        async def tried_again() -> bool:
            later = audit.requests()[before:]
            denials = [r for r in later if r.namespace == scene.namespace and r.resource == STATUS[2] and r.code >= 400]
            return len(denials) >= 2

        # Nothing shows the trouble any more, and still the good version stays.
        await scene.eventually(tried_again, within=60)
        assert rollout(await scene.get())["phase"] == "Baking"
        now = await scene.deployment()
        assert now is not None
        assert (size(now), image(now)[-2:]) == (2, ":1")
        await scene.deployment_until(runs(1))
    back = await scene.until(rolled_back, within=40)
    assert decisions(back).count("RolledBack") == 1
    await scene.deployment_until(runs(1))


async def test_a_fix_is_tried_although_the_way_back_is_denied(scene: Scene) -> None:
    """It goes into all workers, as there is no stable version to try it beside; nobody has to promote it."""
    await baking(scene)
    async with version_1_forbidden(scene):
        scene.dead_letter(1)
        await scene.until(is_blocked)
        await scene.deployment_until(lambda obj: size(obj) == 0)
        await scene.change(rollout=HOLDING, workers=version(3))
        await scene.until(in_phase("Baking"), within=40)
        await scene.deployment_until(runs(3))
        assert await scene.deployment("hubspot-canary") is None


async def test_a_canary_whose_size_cannot_be_changed_blocks_the_rollback(scene: Scene) -> None:
    await scene.settled(rollout=HOLDING)
    await scene.change(workers=version(2))
    await scene.deployment_until(replicas(1), "hubspot-canary")
    frozen = "object.spec.replicas == oldObject.spec.replicas"
    async with forbidden(scene, frozen, "sizes are frozen", {"spec": {"replicas": 7}}):
        await scene.annotate(abort="1")
        blocked = await scene.until(is_blocked)
        assert "sizes are frozen" in cond(blocked, "RolledBack")["message"]
        assert size(await scene.deployment("hubspot-canary")) == 1
    await scene.until(lambda obj: rolled_back(obj) and not is_blocked(obj), within=40)


async def test_a_template_that_cannot_be_stored_is_said_and_holds_up_no_rollback(scene: Scene) -> None:
    """Of another version, which comes while a bad one bakes: it cannot begin, and would have been its end."""
    await baking(scene)
    full = await scene.quota("full", **{"count/controllerrevisions.apps": "2"})
    await scene.change(workers=version(3))
    told = await scene.until(says("Stalled", "True", "InvalidTemplate"))
    assert "exceeded quota: full" in cond(told, "Ready")["message"]
    assert rollout(told)["phase"] == "Baking"
    scene.dead_letter(1)
    await scene.until(rolled_back)
    await scene.deployment_until(runs(1))
    await scene.delete(full)
    await scene.deployment_until(runs(3), within=60)


def version_1_forbidden(scene: Scene) -> AbstractAsyncContextManager[None]:
    expression = "!object.spec.template.spec.containers.exists(c, c.image.endsWith(':1'))"
    template = {"spec": {"template": {"spec": {"containers": [{"name": "worker", "image": "localhost/worker:1"}]}}}}
    return forbidden(scene, expression, "version 1 is not allowed any more", template)


def no_record_of_a_rollback(scene: Scene) -> AbstractAsyncContextManager[None]:
    expression = "!has(object.status) || !has(object.status.rollout) || object.status.rollout.phase != 'RollingBack'"
    return forbidden(scene, expression, "no rollbacks", {"status": {"rollout": {"phase": "RollingBack"}}}, STATUS)


@asynccontextmanager
async def forbidden(
    scene: Scene, expression: str, message: str, example: Json, what: tuple[str, str, str] = DEPLOYMENT
) -> AsyncIterator[None]:
    """Updates of `what` for which `expression` is false, as `example` is, until the end of the block."""
    group, api_version, resource = what
    policy = f"deny-{uuid4().hex[:8]}"
    registration = "/apis/admissionregistration.k8s.io/v1"
    await scene.post(
        f"{registration}/validatingadmissionpolicies",
        {
            "metadata": {"name": policy},
            "spec": {
                "failurePolicy": "Fail",
                "matchConstraints": {
                    "resourceRules": [
                        {
                            "apiGroups": [group],
                            "apiVersions": [api_version],
                            "operations": ["UPDATE"],
                            "resources": [resource],
                        }
                    ]
                },
                "validations": [{"expression": expression, "message": message}],
            },
        },
    )
    selector = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": scene.namespace}}}
    binding = {"policyName": policy, "validationActions": ["Deny"], "matchResources": selector}
    await scene.post(
        f"{registration}/validatingadmissionpolicybindings", {"metadata": {"name": policy}, "spec": binding}
    )
    try:
        plural, _, subresource = resource.partition("/")
        path = f"/apis/{group}/{api_version}/namespaces/{scene.namespace}/{plural}/hubspot/{subresource}".rstrip("/")
        await scene.eventually(lambda: denied(scene, path, example))
        yield
    finally:
        await scene.delete(f"{registration}/validatingadmissionpolicybindings/{policy}")
        await scene.delete(f"{registration}/validatingadmissionpolicies/{policy}")


async def nobody_runs(scene: Scene, number: int) -> bool:
    images = [pod["spec"]["containers"][0]["image"] for pod in await scene.workers()]
    return not any(name.endswith(f":{number}") for name in images)


async def nobody_works(scene: Scene) -> bool:
    return not await scene.staying()


async def denied(scene: Scene, path: str, patch: Json) -> bool:
    """Whether the policy is in force: it takes the API server a moment."""
    answer = await scene.kube.patch(
        path,
        params={"dryRun": "All"},
        json=patch,
        headers={"content-type": "application/merge-patch+json"},
    )
    return answer.is_client_error


async def test_a_stable_version_that_cannot_start_any_more_is_loud(scene: Scene) -> None:
    """A quota that leaves no room for its pods: said at the deadline with the API server's words, and healed."""
    short = {**BAKING, "progressDeadline": "10s"}
    await scene.settled(rollout=short, guards=DEAD_LETTERS)
    await scene.change(workers=version(2))
    await scene.until(in_phase("Baking"))
    await scene.deployment_until(runs(2))
    none = await scene.quota("none", pods="0")
    scene.dead_letter(1)
    blocked = await scene.until(is_blocked, within=40)
    assert "0 of 2 workers of the stable version are Ready" in cond(blocked, "RolledBack")["message"]
    assert "exceeded quota: none" in cond(blocked, "RolledBack")["message"]
    await scene.delete(none)
    await scene.until(lambda obj: rolled_back(obj) and not is_blocked(obj), within=60)
    await scene.deployment_until(runs(1))


async def test_an_image_that_one_integration_rolled_back_waits_in_the_others(scene: Scene) -> None:
    await asyncio.gather(
        scene.settled(rollout=HOLDING),
        *(scene.settled(name, rollout=HOLDING, provider=name) for name in ("odoo", "zoho")),
    )
    await asyncio.gather(scene.change(workers=version(2)), scene.change("odoo", workers=version(2)))
    await asyncio.gather(scene.until(in_phase("Canary")), scene.until(in_phase("Canary"), "odoo"))
    await scene.annotate(abort="INC-42")
    await scene.until(rolled_back)

    await scene.change("zoho", workers=version(2))
    held = await scene.until(lambda obj: "heldRevision" in rollout(obj), "zoho")
    assert cond(held, "Stalled")["reason"] == "ImageFailedElsewhere"
    assert "localhost/worker:2 was rolled back in integration hubspot" in cond(held, "Stalled")["message"]
    assert await scene.deployment("zoho-canary") is None
    assert rollout(await scene.get("odoo"))["phase"] == "Canary", "one that has begun goes on"
    await scene.annotate("zoho", retry="1")
    await scene.until(in_phase("Canary"), "zoho")
    await scene.deployment_until(replicas(1), "zoho-canary")
