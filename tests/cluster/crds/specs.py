"""What the tests of the CRDs share: parts of specs, and how one is given to the API server."""

from typing import Any

import httpx
import pytest

from tests.cluster.kube import collection

Json = dict[str, Any]

PODS = {"pods": {"port": 9191}}
PROMETHEUS = {"prometheus": {"url": "http://prometheus:9090"}}
BACKEND = {"backend": {"url": "http://api:8000/crm/metrics"}}
CA = {"secretKeyRef": {"name": "ca", "key": "ca.crt"}}
POD_GUARD: Json = {"metric": {"from": "pods", "name": "crm_sync_errors_total"}, "reduce": "Increase", "window": "5m"}
MANY_LETTERS = "a" * 600


def steps(*weights: int) -> Json:
    """A rollout with these steps."""
    return {"steps": [{"weight": weight, "hold": "1m"} for weight in weights]}


def wrong(what: str, obj: Json, field: str, says: str) -> Any:
    """A row: the object is refused because of `field`, and the message says `says`."""
    return pytest.param(obj, field, says, id=what)


def plural(obj: Json) -> str:
    """Of the object's kind, as in URLs."""
    return f"{obj['kind'].lower()}s"


async def create(kube: httpx.AsyncClient, namespace: str, obj: Json, **parameters: str) -> httpx.Response:
    """Create as kubectl does: unknown fields are errors."""
    return await kube.post(
        collection(plural(obj), namespace), json=obj, params={"fieldValidation": "Strict", **parameters}
    )


def causes(answer: httpx.Response) -> list[tuple[str, str]]:
    """Field and message of everything that the API server objects to.

    Its remark that it left rules unchecked because of the other faults, which has no field, is left out.
    """
    assert answer.status_code == httpx.codes.UNPROCESSABLE_ENTITY, answer.text
    found = [(cause["field"], cause["message"]) for cause in answer.json()["details"]["causes"]]
    return [(field, message) for field, message in found if "some validation rules were not checked" not in message]
