"""Each benchmark runs from end to end, once and small; what it measures is not judged."""

import subprocess
import sys
from pathlib import Path

import pytest

from bench.recorder import Json
from bench.records import REPOSITORY, read
from dev.cluster import Cluster

WITHIN = 300.0  # seconds


def smoke(name: str, cluster: Cluster, out: Path) -> list[Json]:
    """The runs of `python -m bench run NAME --smoke`."""
    command = [sys.executable, "-m", "bench", "run", name, "--smoke", "--out", str(out), "--cluster", cluster.name]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=WITHIN, check=False)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert "| --- |" in done.stdout, "the table is on stdout"
    return list(read(out / f"{name}.jsonl").runs)


@pytest.mark.cluster
def test_scale_measures_a_burst_from_none_and_from_one(api_cluster: Cluster, tmp_path: Path) -> None:
    runs = smoke("scale", api_cluster, tmp_path)
    assert sorted((run["from"], run["to"]) for run in runs) == [(0, 4), (1, 4)]
    assert all(0 < run["seconds"] < 30 for run in runs)


@pytest.mark.cluster
def test_idle_measures_memory_cpu_and_requests(api_cluster: Cluster, tmp_path: Path) -> None:
    runs = smoke("idle", api_cluster, tmp_path)
    assert [run["integrations"] for run in runs] == [0, 3]
    assert all(run["rss_mib"] > 20 and run["cpu_s_per_min"] >= 0 for run in runs)
    assert all(run["requests"].get("lease", 0) > 0 for run in runs), "the audit log was read"


@pytest.mark.e2e
def test_rollback_measures_from_the_first_failed_job(node_cluster: Cluster, tmp_path: Path) -> None:
    (run,) = smoke("rollback", node_cluster, tmp_path)
    assert run["bad_writes"] >= 1
    assert 0 < run["decided"] <= run["canary_zero"] < 60
    assert run["last_job"] < run["pod_gone"]
