"""The API client against a real API server: what it makes of answers, and of no answer."""

import traceback
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from crm_operator.controller.kube import Conflict, Kube, NotFound, Refused, Unavailable
from crm_operator.controller.resources import CRMINTEGRATIONS, DEPLOYMENTS, LEASES, SECRETS, Resource
from dev.cluster import Cluster
from tests.cluster.objects import an_integration

pytestmark = pytest.mark.cluster

Requests = list[tuple[str, str, str]]


@pytest.fixture
def requests() -> Requests:
    """Method, host and code of every request."""
    return []


@pytest.fixture
async def api(api_cluster: Cluster, requests: Requests) -> AsyncIterator[Kube]:
    async with await Kube.connect(
        api_cluster.kubeconfig, observe=lambda method, host, code, _: requests.append((method, host, code))
    ) as kube:
        yield kube


def a_deployment(replicas: int | None = 0, image: str = "localhost/worker:1") -> dict[str, Any]:
    template = {"metadata": {"labels": {"app": "w"}}, "spec": {"containers": [{"name": "worker", "image": image}]}}
    spec: dict[str, Any] = {"selector": {"matchLabels": {"app": "w"}}, "template": template}
    return {"spec": spec if replicas is None else {**spec, "replicas": replicas}}


async def test_what_is_not_there_reads_as_none_and_is_counted(api: Kube, namespace: str, requests: Requests) -> None:
    assert await api.get(DEPLOYMENTS, namespace, "nope") is None
    assert not await api.delete(DEPLOYMENTS, namespace, "nope")
    assert [(method, code) for method, _, code in requests] == [("GET", "404"), ("DELETE", "404")]


async def test_apply_creates_then_changes_and_without_a_difference_writes_nothing(api: Kube, namespace: str) -> None:
    made = await api.apply(DEPLOYMENTS, namespace, "w", a_deployment(), manager="template")
    same = await api.apply(DEPLOYMENTS, namespace, "w", a_deployment(), manager="template")
    changed = await api.apply(DEPLOYMENTS, namespace, "w", a_deployment(image="localhost/worker:2"), manager="template")
    assert changed["metadata"]["uid"] == made["metadata"]["uid"]
    assert changed["metadata"]["generation"] == made["metadata"]["generation"] + 1
    assert same["metadata"]["generation"] == made["metadata"]["generation"]


async def test_the_scale_manager_and_the_template_manager_leave_each_other_alone(api: Kube, namespace: str) -> None:
    await api.apply(DEPLOYMENTS, namespace, "w", a_deployment(replicas=1), manager="template")
    await api.apply(DEPLOYMENTS, namespace, "w", {"spec": {"replicas": 0}}, manager="scale")
    after = await api.apply(DEPLOYMENTS, namespace, "w", a_deployment(replicas=None), manager="template")
    assert after["spec"]["replicas"] == 0


async def test_another_owners_field_is_a_conflict_unless_forced(api: Kube, namespace: str) -> None:
    await api.apply(DEPLOYMENTS, namespace, "w", a_deployment(replicas=0), manager="template")
    with pytest.raises(Conflict, match=r"\.spec\.replicas"):
        await api.apply(DEPLOYMENTS, namespace, "w", {"spec": {"replicas": 1}}, manager="scale", force=False)


async def test_an_old_version_as_precondition_is_a_conflict(api: Kube, namespace: str) -> None:
    old = await api.apply(DEPLOYMENTS, namespace, "w", a_deployment(), manager="template")
    await api.apply(DEPLOYMENTS, namespace, "w", a_deployment(image="localhost/worker:2"), manager="template")
    body = {"metadata": {"resourceVersion": old["metadata"]["resourceVersion"]}, "spec": {"replicas": 1}}
    with pytest.raises(Conflict):
        await api.apply(DEPLOYMENTS, namespace, "w", body, manager="scale")


async def test_a_uid_as_precondition_does_not_create_what_is_gone(api: Kube, namespace: str) -> None:
    made = await api.apply(DEPLOYMENTS, namespace, "w", a_deployment(), manager="template")
    uid = made["metadata"]["uid"]
    with pytest.raises(Conflict):
        await api.delete(DEPLOYMENTS, namespace, "w", uid="00000000-0000-0000-0000-000000000000")
    assert await api.delete(DEPLOYMENTS, namespace, "w", uid=uid)
    with pytest.raises((Conflict, NotFound)):
        await api.apply(DEPLOYMENTS, namespace, "w", {"metadata": {"uid": uid}, **a_deployment()}, manager="template")


async def test_a_dry_run_refuses_with_the_servers_own_words_and_stores_nothing(api: Kube, namespace: str) -> None:
    bad = a_deployment()
    bad["spec"]["template"]["spec"]["containers"][0]["resources"] = {"limits": {"cpu": "-1"}}
    with pytest.raises(Refused, match=r"Invalid value: \"-1\": must be greater than or equal to 0") as refused:
        await api.apply(DEPLOYMENTS, namespace, "w", bad, manager="template", dry_run=True)
    assert (refused.value.status, refused.value.reason) == (422, "Invalid")
    await api.apply(DEPLOYMENTS, namespace, "w", a_deployment(), manager="template", dry_run=True)
    assert await api.get(DEPLOYMENTS, namespace, "w") is None


async def test_status_is_written_apart_from_spec_and_cannot_create(api: Kube, namespace: str) -> None:
    spec = {"spec": an_integration()["spec"]}
    made = await api.apply(CRMINTEGRATIONS, namespace, "hubspot", spec, manager="user")
    status = {"status": {"observedGeneration": 1, "message": "fine"}, "spec": {"provider": "odoo"}}
    after = await api.patch_status(CRMINTEGRATIONS, namespace, "hubspot", status, manager="crm-operator-status")
    assert after["status"]["message"] == "fine"
    assert after["spec"] == made["spec"]
    assert after["metadata"]["generation"] == made["metadata"]["generation"]
    with pytest.raises(NotFound):
        await api.patch_status(CRMINTEGRATIONS, namespace, "gone", {"status": {}}, manager="crm-operator-status")


async def test_a_list_is_paged_trimmed_and_selected(api: Kube, namespace: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("crm_operator.controller.kube.PAGE", 2)
    for n in range(5):
        body = {"metadata": {"name": f"s{n}", "labels": {"odd": str(n % 2)}}, "stringData": {"k": "v"}}
        await api.create(SECRETS, namespace, body)
    items, version = await api.list(
        SECRETS, namespace, trim=lambda o: {"name": o["metadata"]["name"], "kind": o["kind"]}
    )
    assert items == [{"name": f"s{n}", "kind": "Secret"} for n in range(5)]
    assert int(version) > 0
    odd, _ = await api.list(SECRETS, namespace, label_selector="odd=1")
    assert [item["metadata"]["name"] for item in odd] == ["s1", "s3"]


async def test_a_kind_that_is_not_installed_is_not_found(api: Kube, namespace: str) -> None:
    with pytest.raises(NotFound):
        await api.list(Resource("example.org", "v1", "nones", "None"), namespace)


async def test_create_twice_and_update_of_an_old_version_are_conflicts(api: Kube, namespace: str) -> None:
    body = {"metadata": {"name": "l"}, "spec": {"holderIdentity": "a"}}
    first = await api.create(LEASES, namespace, body)
    with pytest.raises(Conflict) as again:
        await api.create(LEASES, namespace, body)
    assert again.value.reason == "AlreadyExists"
    first["spec"]["holderIdentity"] = "b"
    second = await api.update(LEASES, namespace, "l", first)
    assert second["spec"]["holderIdentity"] == "b"
    with pytest.raises(Conflict):
        await api.update(LEASES, namespace, "l", first)


async def test_a_name_cannot_climb_to_another_path(api: Kube, namespace: str) -> None:
    assert DEPLOYMENTS.path("crm", "../secrets/x") == "/apis/apps/v1/namespaces/crm/deployments/..%2Fsecrets%2Fx"
    with pytest.raises((NotFound, Refused)):
        await api.create(SECRETS, f"{namespace}/secrets/../../default", {"metadata": {"name": "x"}})


async def test_no_answer_in_time_is_unavailable_and_counted(api: Kube, namespace: str, requests: Requests) -> None:
    with pytest.raises(Unavailable, match="no answer within"):
        await api.get(DEPLOYMENTS, namespace, "w", timeout=timedelta(microseconds=1))
    assert [code for _, _, code in requests] == ["<error>"]


async def test_a_server_that_is_away_is_unavailable(tmp_path: Path) -> None:
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(
        "{current-context: c, contexts: [{name: c, context: {cluster: c, user: u}}], "
        "clusters: [{name: c, cluster: {server: 'http://127.0.0.1:1'}}], "
        "users: [{name: u, user: {token: hush-hush}}]}"
    )
    async with await Kube.connect(kubeconfig) as kube:
        with pytest.raises(Unavailable) as away:
            await kube.get(DEPLOYMENTS, "crm", "w")
    assert str(away.value) == "GET /apis/apps/v1/namespaces/crm/deployments/w: ClientConnectorError"


async def test_a_kubeconfig_that_is_not_there_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="nowhere"):
        await Kube.connect(tmp_path / "nowhere")


@pytest.mark.parametrize(
    "text",
    [
        "users: [{name: u, user: {token: hush-hush}}]",
        "{current-context: c, contexts: [{context: {}, token: hush-hush}]}",
        "{current-context: c, contexts: [{name: c, context: {cluster: c, user: u}}], clusters: [{name: c}], "
        "users: [{name: u, user: {token: hush-hush}}]}",
        "users: [{name: u, token: hush-hush",
        "hush-hush",
        "",
    ],
)
async def test_a_kubeconfig_that_makes_no_sense_is_refused_without_quoting_it(tmp_path: Path, text: str) -> None:
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(text)
    with pytest.raises(Refused, match="kubeconfig") as refused:
        await Kube.connect(kubeconfig)
    whole = "".join(traceback.format_exception(refused.value))
    assert "hush-hush" not in whole


async def test_outside_a_pod_without_a_kubeconfig_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    with pytest.raises(Refused, match="service account"):
        await Kube.connect(None)
