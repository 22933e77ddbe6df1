"""A real API server refuses wrong specs in words that help."""

import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from crm_operator.api.crdgen import KINDS, crd
from tests.cluster.crds.durations import DURATIONS
from tests.cluster.crds.specs import Json, causes, create, steps
from tests.cluster.crds.wrong_guards import WRONG_GUARDS
from tests.cluster.crds.wrong_integrations import WRONG_INTEGRATIONS
from tests.cluster.crds.wrong_pauses import WRONG_PAUSES
from tests.cluster.kube import collection, server_side_apply
from tests.cluster.objects import an_integration

pytestmark = pytest.mark.cluster

WRONG = [*WRONG_INTEGRATIONS, *WRONG_GUARDS, *WRONG_PAUSES]


@pytest.mark.parametrize(("obj", "field", "says"), WRONG)
async def test_a_wrong_spec_is_refused_for_its_one_fault(
    kube: httpx.AsyncClient, obj: Json, field: str, says: str
) -> None:
    ((refused, message),) = causes(await create(kube, "default", obj, dryRun="All"))
    assert refused == field
    assert says in message


async def test_a_misspelt_field_is_refused_when_asked_as_kubectl_does(kube: httpx.AsyncClient) -> None:
    answer = await create(kube, "default", an_integration(scalling={"maxReplicas": 3}), dryRun="All")
    assert answer.status_code == httpx.codes.BAD_REQUEST
    assert 'unknown field "spec.scalling"' in answer.json()["message"]


async def test_all_faults_of_a_spec_are_named_at_once(kube: httpx.AsyncClient) -> None:
    spec = an_integration(
        "h" * 41, provider="HubSpot", rollout=steps(50, 20), scaling={"minReplicas": 2, "maxReplicas": 1}
    )
    fields = ["metadata.name", "spec.provider", "spec.rollout.steps", "spec.scaling.maxReplicas"]
    assert sorted(field for field, _ in causes(await create(kube, "default", spec, dryRun="All"))) == fields


async def test_the_provider_cannot_be_changed(kube: httpx.AsyncClient, namespace: str) -> None:
    assert (await create(kube, namespace, an_integration())).is_success
    path = f"{collection('crmintegrations', namespace)}/hubspot"
    answer = await server_side_apply(kube, path, an_integration(provider="zoho"))
    says = "provider cannot change from hubspot to zoho; create another CrmIntegration for zoho"
    assert causes(answer) == [("spec.provider", f"Invalid value: {says}")]
    assert (await server_side_apply(kube, path, an_integration(scaling={"maxReplicas": 9}))).is_success


def test_every_rule_of_the_crds_has_a_wrong_spec() -> None:
    tried = [row.values[2].split('": ')[-1] for row in WRONG]  # without the value
    tried += [f"must be a duration from {low} to {high}, " for _, _, low, high in DURATIONS]
    tried += ["provider cannot change from "]  # test_the_provider_cannot_be_changed
    for rule in _rules([crd(kind) for kind in KINDS]):
        words = (
            [rule["message"]] if "message" in rule else re.findall(r"'((?:[^'\\]|\\.)*)'", rule["messageExpression"])
        )
        words = [word for word in words if " " in word and len(word) > 12]
        assert any(word in said or said in word for word in words for said in tried), rule


def _rules(value: Any) -> Iterator[Json]:
    if isinstance(value, dict):
        yield from value.get("x-kubernetes-validations", [])
        for member in value.values():
            yield from _rules(member)
    elif isinstance(value, list):
        for member in value:
            yield from _rules(member)
