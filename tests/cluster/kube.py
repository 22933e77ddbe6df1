"""A plain HTTP client of the API server under test, and the few calls that all cluster tests share."""

import asyncio
import base64
import json
import ssl
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import yaml

GROUP = "/apis/crm.agoralia.app/v1alpha1"
CRDS = Path(__file__).parents[2] / "crds"
CRD_COLLECTION = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
FIELD_MANAGER = "crm-tests"

Json = dict[str, Any]


def connect(kubeconfig: Path) -> httpx.AsyncClient:
    """A client with the kubeconfig's address and certificates. Its server is named there and nowhere else."""
    server, context = _access(kubeconfig)
    # trust_env off: no proxy, no netrc of whoever runs the tests.
    return httpx.AsyncClient(base_url=server, verify=context, timeout=30.0, trust_env=False)


def connect_sync(kubeconfig: Path) -> httpx.Client:
    """The same for threads."""
    server, context = _access(kubeconfig)
    return httpx.Client(base_url=server, verify=context, timeout=30.0, trust_env=False)


@cache
def _access(kubeconfig: Path) -> tuple[str, ssl.SSLContext]:
    config = yaml.safe_load(kubeconfig.read_text())

    def entry(section: str, name: str) -> Json:
        found: Json = next(item for item in config[section] if item["name"] == name)
        return found

    current = entry("contexts", config["current-context"])["context"]
    cluster, user = entry("clusters", current["cluster"])["cluster"], entry("users", current["user"])["user"]

    def content(holder: Json, key: str) -> bytes:
        inline = holder.get(f"{key}-data")
        return base64.b64decode(inline) if inline else (kubeconfig.parent / holder[key]).read_bytes()

    context = ssl.create_default_context(cadata=content(cluster, "certificate-authority").decode())
    with tempfile.NamedTemporaryFile() as pair:  # OpenSSL reads certificates from files only; 0600, gone at once
        pair.write(content(user, "client-certificate") + b"\n" + content(user, "client-key"))
        pair.flush()
        context.load_cert_chain(pair.name)
    return cluster["server"], context


def collection(plural: str, namespace: str) -> str:
    """Path of our objects in a namespace."""
    return f"{GROUP}/namespaces/{namespace}/{plural}"


async def server_side_apply(kube: httpx.AsyncClient, path: str, body: Json, **parameters: str) -> httpx.Response:
    """Apply `body` at `path`, taking over conflicting fields; the caller looks at the answer."""
    return await kube.patch(
        path,
        content=json.dumps(body),
        headers={"content-type": "application/apply-patch+yaml"},
        params={"fieldManager": FIELD_MANAGER, "force": "true", **parameters},
    )


async def install_crds(kube: httpx.AsyncClient) -> list[httpx.Response]:
    """Apply everything in crds/ and wait until the kinds can be used. Returns the answers to the applies."""
    answers = []
    for path in sorted(CRDS.glob("*s.yaml")):
        crd = yaml.safe_load(path.read_text())
        name = crd["metadata"]["name"]
        answer = await server_side_apply(kube, f"{CRD_COLLECTION}/{name}", crd)
        assert answer.is_success, answer.text
        answers.append(answer)
        await watch_until(kube, CRD_COLLECTION, name, is_established, within_seconds=30)
        await _until_served(kube, crd)
    return answers


async def _until_served(kube: httpx.AsyncClient, crd: Json) -> None:
    """Established comes a moment before the storage is ready; until then the API server answers 429 and when to ask."""
    spec = crd["spec"]
    path = f"/apis/{spec['group']}/{spec['versions'][0]['name']}/{spec['names']['plural']}"
    for _ in range(150):
        answer = await kube.get(path)
        if answer.status_code not in (404, 429):
            break
        await asyncio.sleep(0.2)
    assert answer.is_success, answer.text


def is_established(crd: Json) -> bool:
    """Whether the API server serves the kind."""
    return condition(crd, "Established") == "True"


def condition(obj: Json, type_: str) -> str | None:
    """Status of a condition; None when it is not there."""
    conditions = obj.get("status", {}).get("conditions") or []  # null in a CRD that has just been made
    return next((item["status"] for item in conditions if item["type"] == type_), None)


async def watch_until(
    kube: httpx.AsyncClient, path: str, name: str, holds: Callable[[Json], bool], *, within_seconds: float
) -> Json:
    """The object `name` of the collection `path` as soon as `holds`; looks at each change, never sleeps.

    Fails with the last state seen, and at once when the object is deleted.
    """
    last: Json | None = None
    parameters = {
        "watch": "1",
        "fieldSelector": f"metadata.name={name}",
        "timeoutSeconds": str(round(within_seconds) or 1),
    }
    # Without a resourceVersion a watch begins with the object as it is.
    async with kube.stream("GET", path, params=parameters, timeout=within_seconds + 5) as changes:
        assert changes.status_code == httpx.codes.OK, (await changes.aread()).decode()
        async for line in changes.aiter_lines():
            change = json.loads(line)
            last = change["object"]
            assert change["type"] in ("ADDED", "MODIFIED"), f"{name}: {change['type']} {last}"
            if holds(last):
                return last
    raise AssertionError(f"{path}/{name} did not get there within {within_seconds} s; last seen:\n{_shown(last)}")


def _shown(obj: Json | None) -> str:
    """Without the bookkeeping of field managers, which hides what matters."""
    if obj is None:
        return "nothing"
    metadata = {key: value for key, value in obj["metadata"].items() if key != "managedFields"}
    return yaml.safe_dump({**obj, "metadata": metadata}, sort_keys=False, width=160)
