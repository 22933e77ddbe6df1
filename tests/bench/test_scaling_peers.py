"""The manifests for other scalers fit the replayer, as far as that can be told without those scalers."""

from pathlib import Path

import pytest
import yaml

from bench.records import REPOSITORY
from bench.scaling.scalers import NAME, QUEUE
from bench.scaling.traces import CONCURRENCY, DRAIN_TARGET, JOB_SECONDS, MAX_REPLICAS

KEDA = REPOSITORY / "bench/peers/keda"


@pytest.mark.parametrize("path", sorted(KEDA.glob("*.yaml")), ids=lambda path: path.stem)
def test_keda_is_given_the_replayers_deployment_queue_and_objective(path: Path) -> None:
    spec = yaml.safe_load(path.read_text())["spec"]
    assert spec["scaleTargetRef"] == {"name": NAME}
    assert (spec["minReplicaCount"], spec["maxReplicaCount"]) == (0, MAX_REPLICAS)
    (trigger,) = spec["triggers"]
    assert trigger["metadata"]["listName"] == f"dramatiq:{QUEUE}.msgs"
    assert int(trigger["metadata"]["listLength"]) == pytest.approx(DRAIN_TARGET * CONCURRENCY / JOB_SECONDS)
    host, port = trigger["metadata"]["address"].split(":")
    assert host == "127.0.0.1"
    assert f"--redis-port {port} --manifest bench/peers/keda/{path.name}" in (KEDA / "README.md").read_text()
