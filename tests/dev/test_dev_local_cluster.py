"""Whole clusters of the api tier: they survive kills at any point and stand side by side."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from dev.cluster import Cluster, ClusterError, down, find, processes, up
from dev.cluster.components import Supervisor
from dev.cluster.config import work_folder
from dev.cluster.progress import NoProgress
from dev.cluster.waiting import wait_until

REPOSITORY = Path(__file__).parents[2]
POD = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "none"}]}}
pytestmark = pytest.mark.cluster
NAMES = ("dev-test-one", "dev-test-two")


@pytest.fixture(autouse=True)
def _nothing_left() -> Iterator[None]:
    for name in NAMES:
        down(name, progress=NoProgress())
    yield
    for name in NAMES:
        down(name, progress=NoProgress())


def start(name: str) -> Cluster:
    return up(name, "api", progress=NoProgress(), fake_nodes=1)


def kill_all(work: Path) -> None:
    """SIGKILL the supervisor and its components in no order, as an out-of-memory killer would."""
    identity = Supervisor(work).identity
    assert identity is not None
    for victim in [*processes.children(identity), identity]:
        with suppress(ProcessLookupError):
            os.kill(victim.pid, signal.SIGKILL)


def run_a_pod(cluster: Cluster) -> None:
    cluster.run_kubectl("create", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "Pod", **POD}))
    cluster.run_kubectl("wait", "--for=condition=Ready", "pod/p", "--timeout=30s")


@pytest.mark.parametrize("reached", ["cluster.json", "supervisor.json", "pki/ca.crt", "etcd.sock", "logs/kwok.log"])
def test_a_start_that_was_killed_leaves_nothing_that_stops_the_next(reached: str) -> None:
    work = work_folder(NAMES[0])
    command = [sys.executable, "-m", "dev.cluster", "up", "--name", NAMES[0], "--tier", "api"]
    with subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as launcher:
        wait_until((work / reached).exists, reached, within_seconds=60)
        launcher.kill()
    run_a_pod(start(NAMES[0]))


def test_a_cluster_whose_processes_were_all_killed_is_started_anew() -> None:
    first = start(NAMES[0])
    kill_all(first.work)
    again = start(NAMES[0])
    assert again.healthy()
    run_a_pod(again)


def test_two_clusters_stand_side_by_side_and_fall_alone() -> None:
    one, other = start(NAMES[0]), start(NAMES[1])
    run_a_pod(one)
    run_a_pod(other)
    one.run_kubectl("create", "namespace", "only-here")
    assert "only-here" not in other.run_kubectl("get", "namespaces", "-o", "name")
    down(NAMES[0], progress=NoProgress())
    assert find(NAMES[0]) is None
    assert other.healthy()


def test_a_running_cluster_is_found_again_but_not_as_another_tier() -> None:
    first = start(NAMES[0])
    assert start(NAMES[0]) == first
    with pytest.raises(ClusterError, match="runs with tier api, not node"):
        up(NAMES[0], "node", "local", progress=NoProgress())


def test_a_component_can_be_down_for_a_while() -> None:
    cluster = start(NAMES[0])
    cluster.stop_component("kube-apiserver", kill=True)
    assert not cluster.healthy()
    with pytest.raises(ClusterError, match="get namespaces"):
        cluster.run_kubectl("get", "namespaces")
    cluster.start_component("kube-apiserver")
    assert cluster.healthy()


def test_the_audit_log_names_who_asked_what_and_leaves_health_checks_out() -> None:
    cluster = start(NAMES[0])
    cluster.run_kubectl("get", "configmaps", "--namespace", "kube-system")
    lines = [json.loads(line) for line in cluster.audit_log.read_text().splitlines()]
    asked = [line for line in lines if line["requestURI"].startswith("/api/v1/namespaces/kube-system/configmaps?limit")]
    assert [line["user"]["username"] for line in asked if line["userAgent"].startswith("kubectl")] == ["admin"]
    assert not [line for line in lines if "healthz" in line["requestURI"] or "readyz" in line["requestURI"]]


def test_diagnosis_has_logs_objects_and_no_secrets(tmp_path: Path) -> None:
    cluster = start(NAMES[0])
    run_a_pod(cluster)
    cluster.run_kubectl("create", "secret", "generic", "s", "--from-literal=password=hunter2")
    cluster.diagnose(tmp_path / "out")
    assert "name: p" in (tmp_path / "out/objects/pods.yaml").read_text()
    assert (tmp_path / "out/components/kube-apiserver.log").exists()
    assert not [file for file in (tmp_path / "out/objects").iterdir() if "hunter2" in file.read_text()]
