"""A real API server stores all that a status can hold."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from hypothesis import Phase, given, settings

from crm_operator.api.base import ApiModel
from crm_operator.api.crdgen import KINDS, crd
from crm_operator.api.v1alpha1 import CrmIntegrationStatus, SyncPauseStatus
from tests.cluster.crds.specs import Json, create, plural
from tests.cluster.kube import collection, server_side_apply
from tests.cluster.objects import a_pause, an_integration
from tests.unit.api.strategies import instances

pytestmark = pytest.mark.cluster

CASES = [
    pytest.param(CrmIntegrationStatus, an_integration(), id="CrmIntegration"),
    pytest.param(SyncPauseStatus, a_pause(), id="SyncPause"),
]


@pytest.mark.parametrize(("model", "obj"), CASES)
async def test_a_status_with_every_field_is_stored_as_written(
    kube: httpx.AsyncClient, namespace: str, model: type[ApiModel], obj: Json
) -> None:
    created = (await create(kube, namespace, obj)).json()
    path = f"{collection(plural(obj), namespace)}/{obj['metadata']['name']}"

    @given(status=instances(model, complete=True))
    @settings(max_examples=1, phases=[Phase.generate], derandomize=True, database=None)
    def one(status: ApiModel) -> None:
        examples.append(status)

    examples: list[ApiModel] = []
    one()
    wire = _with_unique_keys(examples[0].to_wire())
    assert set(_paths(wire)) == set(_schema_paths(obj["kind"])), "the example fills every field of the schema"
    body = {"apiVersion": obj["apiVersion"], "kind": obj["kind"], "status": wire}
    answer = await server_side_apply(kube, f"{path}/status", body, fieldValidation="Strict")
    assert answer.is_success, answer.text
    assert "warning" not in answer.headers
    stored = (await kube.get(path)).json()
    assert stored["status"] == wire
    assert model.model_validate(stored["status"]) == model.model_validate(wire)
    assert stored["metadata"]["generation"] == created["metadata"]["generation"], "a status is no new wish"


@pytest.mark.parametrize(("model", "obj"), CASES)
async def test_the_main_endpoint_does_not_write_status(
    kube: httpx.AsyncClient, namespace: str, model: type[ApiModel], obj: Json
) -> None:
    answer = await create(kube, namespace, obj | {"status": {"observedGeneration": 7, "message": "forged"}})
    assert answer.json()["status"] == {"observedGeneration": -1}


def _with_unique_keys(value: Any) -> Any:
    """Lists cut to one item: keys of list maps must differ, and one shows every field."""
    if isinstance(value, dict):
        return {key: _with_unique_keys(member) for key, member in value.items()}
    return [_with_unique_keys(value[0])] if isinstance(value, list) else value


def _paths(value: Any, path: str = "") -> Iterator[str]:
    if isinstance(value, dict):
        for key, member in value.items():
            yield from _paths(member, f"{path}.{key}")
    elif isinstance(value, list):
        for member in value:
            yield from _paths(member, f"{path}[]")
    else:
        yield path


def _schema_paths(kind: str) -> Iterator[str]:
    def walk(schema: Json, path: str) -> Iterator[str]:
        if "properties" in schema:
            for name, member in schema["properties"].items():
                yield from walk(member, f"{path}.{name}")
        elif "items" in schema:
            yield from walk(schema["items"], f"{path}[]")
        else:
            yield path

    (document,) = (crd(each) for each in KINDS if each.kind == kind)
    return walk(document["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["status"], "")
