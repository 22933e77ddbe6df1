"""Each benchmark runs from end to end, once and small; what it measures is not judged."""

import subprocess
import sys
from pathlib import Path

import pytest
import redis

from bench.jobs import send
from bench.recorder import Json, Recorder
from bench.records import REPOSITORY, read
from bench.scaling.hpa import Adapter, autoscaler
from bench.scaling.scalers import NAME, QUEUE, deployment
from bench.scaling.score import score
from bench.scaling.traces import SMOKE, trace
from bench.stage import namespace, redis_on
from dev.cluster import Cluster
from tests.cluster.kube import server_side_apply

WITHIN = 300.0  # seconds


def smoke(cluster: Cluster, out: Path, *command: str, series: str) -> list[Json]:
    """The runs in the file of `series` after `python -m bench COMMAND --smoke`."""
    options = ("--smoke", "--out", str(out), "--cluster", cluster.name)
    whole = [sys.executable, "-m", "bench", *command, *options]
    done = subprocess.run(whole, cwd=REPOSITORY, capture_output=True, text=True, timeout=WITHIN, check=False)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert "| --- |" in done.stdout, "the table is on stdout"
    return list(read(out / f"{series}.jsonl").runs)


@pytest.mark.cluster
def test_scale_measures_a_burst_from_none_and_from_one(api_cluster: Cluster, tmp_path: Path) -> None:
    runs = smoke(api_cluster, tmp_path, "run", "scale", series="scale")
    assert sorted((run["from"], run["to"]) for run in runs) == [(0, 4), (1, 4)]
    assert all(0 < run["seconds"] < 30 for run in runs)


@pytest.mark.cluster
def test_idle_measures_memory_cpu_and_requests(api_cluster: Cluster, tmp_path: Path) -> None:
    runs = smoke(api_cluster, tmp_path, "run", "idle", series="idle")
    assert [run["integrations"] for run in runs] == [0, 3]
    assert all(run["rss_mib"] > 20 and run["cpu_s_per_min"] >= 0 for run in runs)
    assert all(run["requests"].get("lease", 0) > 0 for run in runs), "the audit log was read"


@pytest.mark.cluster
def test_many_measures_busy_quiet_and_a_restart(api_cluster: Cluster, tmp_path: Path) -> None:
    (run,) = smoke(api_cluster, tmp_path, "many", series="many-3")
    assert run["integrations"] == 3
    assert len(run["busy"]["lags_s"]) == run["busy"]["bursts"] >= 1
    assert all(0 < lag < 60 for lag in run["busy"]["lags_s"])
    assert run["busy"]["requests"]["patch deployments"] >= 1, "the audit log was read"
    assert all(run["busy"]["means_ms"][what][1] > 0 for what in ("wait for a worker", "look", "request PATCH"))
    assert run["quiet"]["cpu_s_per_min"] >= 0
    assert run["restart"]["changed"] == len(run["restart"]["sizes_s"]) == 1
    assert run["restart"]["ready_s"] > 0
    assert run["restart"]["rss_mib"] > 20


@pytest.mark.cluster
def test_outages_play_on_healthy_releases(api_cluster: Cluster, tmp_path: Path) -> None:
    runs = smoke(api_cluster, tmp_path, "outages", series="outages")
    assert [run["part"] for run in runs] == ["metrics"] * 4 + ["provider"] * 2
    for run in runs:
        assert run["end"] == "Completed", run
        assert run["decisions"], "the status was followed"
    assert any(run["said"] for run in runs[:4]), "the operator met the faults"
    assert all(run["blamed"] for run in runs[4:]), "the operator met the outage"


@pytest.mark.cluster
def test_judged_counts_requests_while_releases_are_on_trial(api_cluster: Cluster, tmp_path: Path) -> None:
    (run,) = smoke(api_cluster, tmp_path, "judged", series="judged")
    assert run["integrations"] == 2
    assert run["scrapes_per_s"] > 2 * 5, "five workers of each, once a second or oftener"
    assert run["requests"].get("lease", 0) > 0, "the audit log was read"
    assert run["rss_mib"] > 20


@pytest.mark.cluster
def test_replay_scores_the_operator(api_cluster: Cluster, tmp_path: Path) -> None:
    (run,) = smoke(api_cluster, tmp_path, "replay", series="scaling-operator")
    load = trace(SMOKE, seed=1)
    assert (run["jobs"], run["done"], run["unbegun"]) == (load.jobs, load.jobs, 0), "all was sent and worked off"
    assert sum(count for _, count in run["waits"]) == load.jobs
    assert [sample[0] for sample in run["samples"]] == list(range(int(load.seconds) + 1))
    assert run["samples"][-1][1:] == [0, 0]
    assert run["sizes"][0] == [0.0, 0, 0, 0]
    found = score(run)
    assert found.most >= 1
    assert found.writes >= 1
    assert found.backlog_seconds > 0
    assert 0 < found.replica_seconds <= load.seconds * found.most
    assert any(what.startswith("patch deployments") for what in run["requests"]), "the audit log was read"
    assert run["rss_peak_mib"] > 20


@pytest.mark.cluster
def test_replay_scores_a_deployment_of_a_fixed_size(api_cluster: Cluster, tmp_path: Path) -> None:
    (run,) = smoke(api_cluster, tmp_path, "replay", "--scaler", "fixed=2", series="scaling-fixed-2")
    assert run["done"] == run["jobs"]
    assert run["sizes"] == [[0.0, 2, 2, 2]]
    assert score(run).replica_seconds == 2 * run["seconds"]
    assert "requests" not in run


@pytest.mark.cluster
def test_replay_scores_kubernetes_own_autoscaler(api_cluster: Cluster, tmp_path: Path) -> None:
    (run,) = smoke(api_cluster, tmp_path, "replay", "--scaler", "hpa=50", series="scaling-hpa-50")
    assert run["done"] == run["jobs"]
    assert run["sizes"][0] == [0.0, 1, 1, 1], "it cannot scale to none"


@pytest.mark.cluster
async def test_the_autoscaler_is_told_the_length_of_the_queue(api_cluster: Cluster) -> None:
    async with namespace(api_cluster) as (kube, ns):
        with redis_on("127.0.0.1") as url, Adapter() as adapter, adapter.registered(api_cluster):
            adapter.url = url
            with redis.Redis.from_url(url) as broker:
                send(broker, QUEUE, 120)
            objects = {
                f"/apis/apps/v1/namespaces/{ns}/deployments/{NAME}": deployment(1, {}),
                f"/apis/autoscaling/v2/namespaces/{ns}/horizontalpodautoscalers/{NAME}": autoscaler(50, tuned=False),
            }
            for path, body in objects.items():
                (await server_side_apply(kube, path, body)).raise_for_status()
            recorder = Recorder()
            async with recorder.watching(kube, {"Deployment": f"/apis/apps/v1/namespaces/{ns}/deployments"}):
                await recorder.until(lambda: _has_size(recorder, 3), within=WITHIN, what="120 jobs, 50 for each worker")


def _has_size(recorder: Recorder, size: int) -> bool | None:
    live = recorder.get("Deployment", NAME)
    return (live is not None and live["spec"]["replicas"] == size) or None


@pytest.mark.cluster
def test_replay_leaves_the_deployment_to_an_external_scaler(api_cluster: Cluster, tmp_path: Path) -> None:
    manifest = tmp_path / "beside.yaml"
    manifest.write_text("{apiVersion: v1, kind: ConfigMap, metadata: {name: beside}}")
    options = ("--scaler", "external", "--label", "nobody", "--manifest", str(manifest))
    (run,) = smoke(api_cluster, tmp_path, "replay", *options, series="scaling-nobody")
    assert run["scaler"] == "nobody"
    assert run["sizes"] == [[0.0, 0, 0, 0]], "nobody scales here, so nothing is done"
    assert (run["done"], run["unbegun"]) == (0, run["jobs"])


@pytest.mark.e2e
def test_rollback_measures_a_canary_and_a_promoted_version(node_cluster: Cluster, tmp_path: Path) -> None:
    runs = smoke(node_cluster, tmp_path, "rollback", series="rollback")
    assert [run["cell"] for run in runs] == [f"20/default/quick/{phase}" for phase in ("canary", "handover", "bake")]
    for run in runs:
        assert run["failed_jobs"] >= 1
        assert 0 < run["decided"] <= run["zero"] <= run["gone"]
        assert run["last_job"] < run["gone"]
        assert run["told"] < run["full"] < 60


@pytest.mark.e2e
def test_a_rollback_by_one_who_knows_at_once_is_measured_as_well(node_cluster: Cluster, tmp_path: Path) -> None:
    (run,) = smoke(node_cluster, tmp_path, "rollback", "--controller", "oracle", series="rollback-oracle")
    assert run["cell"] == "20/default/quick/bake"
    assert run["failed_jobs"] >= 1
    assert 0 < run["wanted_zero"] <= run["told"] <= run["zero"] < run["gone"]
