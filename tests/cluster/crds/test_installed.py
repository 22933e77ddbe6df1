"""A real API server takes our CRDs, and shows what someone on call needs."""

import httpx
import pytest
import yaml

from tests.cluster.crds.specs import Json, create
from tests.cluster.kube import CRD_COLLECTION, CRDS, collection, condition, install_crds, server_side_apply
from tests.cluster.objects import a_pause, an_integration

pytestmark = pytest.mark.cluster


async def test_the_api_server_takes_the_crds_without_a_warning(kube: httpx.AsyncClient) -> None:
    for answer in await install_crds(kube):
        assert "warning" not in answer.headers
        assert condition(answer.json(), "NonStructuralSchema") is None


async def test_the_kinds_are_established_under_all_their_names(kube: httpx.AsyncClient) -> None:
    for path in CRDS.glob("*s.yaml"):
        wanted = yaml.safe_load(path.read_text())
        stored = (await kube.get(f"{CRD_COLLECTION}/{wanted['metadata']['name']}")).json()
        assert condition(stored, "Established") == "True"
        assert condition(stored, "NamesAccepted") == "True"
        assert condition(stored, "NonStructuralSchema") is None
        assert stored["status"]["acceptedNames"] == wanted["spec"]["names"]


async def test_kubectl_get_shows_what_someone_on_call_needs(kube: httpx.AsyncClient, namespace: str) -> None:
    integration = an_integration()
    await create(kube, namespace, integration)
    await create(kube, namespace, a_pause(providers=["hubspot", "zoho"]))
    path = collection("crmintegrations", namespace)
    when = "2026-11-24T12:00:00Z"
    ready = {"type": "Ready", "status": "False", "reason": "RolledBack", "message": "m", "lastTransitionTime": when}
    paused = ready | {"type": "Paused", "reason": "NotPaused"}
    status = {
        "phase": "RolledBack",
        "workers": {"desired": 4, "ready": 3, "stable": 4, "canary": 0},
        "queue": {"waiting": 17, "running": 0, "delayed": 0, "dead": 2, "observedTime": when},
        "conditions": [ready, paused],
    }
    body = {"apiVersion": integration["apiVersion"], "kind": integration["kind"], "status": status}
    assert (await server_side_apply(kube, f"{path}/hubspot/status", body)).is_success
    row = await _row(kube, path)
    del row["AGE"]
    assert row == {
        "NAME": "hubspot",
        "PHASE": "RolledBack",
        "READY": "False",
        "WAITING": 17,
        "WORKERS": 3,
        "CANARY": 0,
        "PAUSED": "False",
        "REASON": "RolledBack",
    }
    row = await _row(kube, collection("syncpauses", namespace))
    assert (row["PROVIDERS"], row["REASON"]) == ('["hubspot","zoho"]', "INC-42")


async def _row(kube: httpx.AsyncClient, path: str) -> Json:
    """The first line of the table that kubectl prints without -o wide, by heading."""
    table = (await kube.get(path, headers={"accept": "application/json;as=Table;v=v1;g=meta.k8s.io"})).json()
    columns = table["columnDefinitions"]
    cells = zip(columns, table["rows"][0]["cells"], strict=True)
    return {column["name"].upper(): cell for column, cell in cells if column["priority"] == 0}
