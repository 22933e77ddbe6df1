"""A whole cluster of the node tier: real containers, names, addresses, and nothing left behind. Needs root."""

import json
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from dev.cluster import Cluster, down, processes, up
from dev.cluster.components import Supervisor
from dev.cluster.config import work_folder, work_id
from dev.cluster.node import cgroup_hierarchies, cgroup_root
from dev.cluster.progress import NoProgress
from dev.images import redis_image

pytestmark = pytest.mark.e2e
NAME = "dev-test-node"
SECURITY = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
REDIS = {
    "name": "redis",
    "image": "localhost/crm-dev/redis:dev",
    "imagePullPolicy": "Never",
    "ports": [{"containerPort": 6379}],
    "readinessProbe": {"tcpSocket": {"port": 6379}, "periodSeconds": 1},
    "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
}
OBJECTS = {
    "apiVersion": "v1",
    "kind": "List",
    "items": [
        {
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {"name": "crm", "labels": {"pod-security.kubernetes.io/enforce": "restricted"}},
        },
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "redis", "namespace": "crm", "labels": {"app": "redis"}},
            "spec": {"securityContext": SECURITY, "containers": [REDIS]},
        },
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "redis", "namespace": "crm"},
            "spec": {"selector": {"app": "redis"}, "ports": [{"port": 6379}]},
        },
    ],
}


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """A cluster with a Redis pod and Service in namespace crm."""
    down(NAME, progress=NoProgress())
    started = up(NAME, "node", "local", progress=NoProgress())
    started.load_image(redis_image(progress=NoProgress()))
    run_redis(started)
    yield started
    down(NAME, progress=NoProgress())


def run_redis(cluster: Cluster) -> None:
    cluster.run_kubectl("apply", "-f", "-", stdin=json.dumps(OBJECTS))
    cluster.run_kubectl("-n", "crm", "wait", "--for=condition=Ready", "pod/redis", "--timeout=60s")


def ask_redis(cluster: Cluster, host: str) -> str:
    return cluster.run_kubectl("-n", "crm", "exec", "redis", "--", "redis-cli", "-h", host, "ping").strip()


def test_a_service_is_reached_by_name_and_by_address_from_a_pod(cluster: Cluster) -> None:
    address = cluster.run_kubectl("-n", "crm", "get", "service", "redis", "-o", "jsonpath={.spec.clusterIP}")
    assert ask_redis(cluster, "redis") == "PONG"
    assert ask_redis(cluster, "redis.crm.svc.cluster.local") == "PONG"
    assert ask_redis(cluster, address) == "PONG"


@pytest.mark.parametrize("path", ["pod/redis={.status.podIP}", "service/redis={.spec.clusterIP}"])
def test_pods_and_services_are_reached_from_the_machine(cluster: Cluster, path: str) -> None:
    what, _, where = path.partition("=")
    address = cluster.run_kubectl("-n", "crm", "get", what, "-o", f"jsonpath={where}")
    with socket.create_connection((address, 6379), timeout=5) as connection:
        connection.sendall(b"PING\r\n")
        assert connection.recv(16) == b"+PONG\r\n"


def test_a_program_of_the_machine_is_reached_from_a_pod(cluster: Cluster) -> None:
    with socket.create_server((cluster.host_ip, 0)) as server:
        server.settimeout(20)
        port = server.getsockname()[1]
        code = f"import socket; socket.create_connection(('{cluster.host_ip}', {port}), 5)"
        cluster.run_kubectl("-n", "crm", "exec", "redis", "--", "python3", "-c", code)
        server.accept()[0].close()


def test_logs_of_containers_are_in_the_diagnosis(cluster: Cluster, tmp_path: Path) -> None:
    cluster.diagnose(tmp_path)
    logs = [file.read_text() for file in (tmp_path / "pod-logs").rglob("*.log")]
    assert any("Ready to accept connections" in log for log in logs)


def test_killing_the_supervisor_ends_every_container_and_the_next_start_is_clean(cluster: Cluster) -> None:
    identity = Supervisor(cluster.work).identity
    assert identity is not None
    shims = descendants(identity)
    assert len(shims) > len(cluster.components())
    processes.kill(identity)
    assert not [shim for shim in shims if processes.is_alive(shim)]
    again = up(NAME, "node", "local", progress=NoProgress())
    again.load_image(redis_image(progress=NoProgress()))
    run_redis(again)
    assert ask_redis(again, "redis") == "PONG"


def test_stopping_leaves_nothing_behind(cluster: Cluster) -> None:
    work = work_folder(NAME)
    down(NAME, progress=NoProgress())
    assert not work.exists()
    assert work_id(work) not in subprocess.run(["ip", "link"], capture_output=True, text=True, check=True).stdout
    assert not [h for h in cgroup_hierarchies() if (h / cgroup_root(work)).exists()]
    assert str(work) not in Path("/proc/mounts").read_text()


def descendants(root: processes.Identity) -> list[processes.Identity]:
    """All processes below a process: components, shims, containers."""
    found = processes.children(root)
    return [*found, *(below for child in found for below in descendants(child))]
