"""The driver times a controller that it knows nothing of: here one of our own, which puts a Deployment back."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from bench.recorder import Json
from bench.rollback.controllers import GOOD
from bench.rollback.story import VERSION, version_of
from dev.cluster import Cluster
from tests.bench.test_bench_smoke import smoke
from tests.cluster.kube import connect_sync

MANIFEST = Path(__file__).parent / "deployment.yaml"
ALL_DEPLOYMENTS = "/apis/apps/v1/deployments"
#: Seconds between two looks.
INTERVAL = 0.2


@contextmanager
def putting_back(cluster: Cluster) -> Iterator[None]:
    """Whenever a pod of another version than the good one tells of an error, its Deployment is patched back."""
    over = threading.Event()

    def work() -> None:
        with connect_sync(cluster.kubeconfig) as kube:
            while not over.wait(INTERVAL):
                for deployment in kube.get(ALL_DEPLOYMENTS).raise_for_status().json()["items"]:
                    if version_of(deployment["spec"]["template"]) not in (None, GOOD) and fails(kube, deployment):
                        put_back(kube, deployment)

    thread = threading.Thread(target=work, name="putting back")
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def fails(kube: httpx.Client, deployment: Json) -> bool:
    metadata, version = deployment["metadata"], version_of(deployment["spec"]["template"])
    pods = kube.get(
        f"/api/v1/namespaces/{metadata['namespace']}/pods", params={"labelSelector": f"{VERSION}={version}"}
    )
    ips = [pod["status"].get("podIP") for pod in pods.raise_for_status().json()["items"]]
    return any(errors(ip) > 0 for ip in ips if ip)


def errors(ip: str) -> float:
    try:
        text = httpx.get(f"http://{ip}:9191/metrics", timeout=1, trust_env=False).text
    except httpx.TransportError:
        return 0
    lines = [line.split() for line in text.splitlines() if line.startswith("crm_sync_errors_total")]
    return sum(float(value) for _, value in lines)


def put_back(kube: httpx.Client, deployment: Json) -> None:
    metadata = deployment["metadata"]
    body = {"spec": {"template": {"metadata": {"labels": {VERSION: GOOD}}}}}
    path = f"/apis/apps/v1/namespaces/{metadata['namespace']}/deployments/{metadata['name']}"
    answer = kube.patch(path, json=body, headers={"content-type": "application/merge-patch+json"})
    answer.raise_for_status()


@pytest.mark.e2e
def test_rollback_times_any_controller_by_labels(node_cluster: Cluster, tmp_path: Path) -> None:
    with putting_back(node_cluster):
        command = ("rollback", "--controller", "external", "--label", "ours", "--manifest", str(MANIFEST))
        (run,) = smoke(node_cluster, tmp_path, *command, series="rollback-ours")
    assert run["cell"] == "20/default/quick/canary"
    assert run["failed_jobs"] >= 1
    assert 0 < run["zero"] <= run["told"] <= run["gone"]
    assert run["last_job"] < run["gone"]
    assert "decided" not in run, "only this operator's decisions can be seen"
