"""The manifests for other controllers fit the driver, as far as that can be told without those controllers."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from bench.records import REPOSITORY
from bench.rollback.cells import MAIN, Cell, Phase, Start, Surge
from bench.rollback.controllers import GOOD
from bench.rollback.external import filled, placeholders
from bench.rollback.story import VERSION, version_of
from bench.rollback.workload import IMAGE, Addresses

PEERS = REPOSITORY / "bench/peers"
MANIFESTS = [PEERS / "argo-rollouts/rollout.yaml", PEERS / "flagger/canary.yaml"]
OWN = Path(__file__).parent / "deployment.yaml"  # of the driver's own test
WHERE = Addresses("redis://10.0.0.1:6379/0", "http://10.0.0.1:8080")
SLOW = Cell(weight=50, surge=Surge.NONE, start=Start.SLOW, phase=Phase.CANARY)


def objects(manifest: Path, cell: Cell) -> dict[str, dict[str, Any]]:
    """By kind."""
    text = filled([manifest], placeholders(cell, WHERE, IMAGE, "bench-1"))
    return {item["kind"]: item for item in yaml.safe_load_all(text)}


@pytest.mark.parametrize("cell", [MAIN, SLOW], ids=str)
@pytest.mark.parametrize("manifest", [*MANIFESTS, OWN], ids=lambda path: path.parent.name)
def test_a_peer_is_given_the_same_workers_of_the_cell(manifest: Path, cell: Cell) -> None:
    found = objects(manifest, cell)
    spec = found["Rollout" if "Rollout" in found else "Deployment"]["spec"]
    template = spec["template"]
    assert spec["replicas"] == cell.workers
    assert spec["selector"]["matchLabels"].items() <= template["metadata"]["labels"].items()
    assert version_of(template) == GOOD
    (container,) = template["spec"]["containers"]
    assert container["image"] == IMAGE
    assert container["readinessProbe"]["initialDelaySeconds"] == (10 if cell.start is Start.SLOW else 0)
    env = {variable["name"]: variable for variable in container["env"]}
    assert (env["REDIS_URL"]["value"], env["HUBSPOT_URL"]["value"]) == (WHERE.redis, WHERE.hubspot)
    assert env["CRM_REVISION"]["valueFrom"]["fieldRef"]["fieldPath"] == f"metadata.labels['{VERSION}']"


def test_argo_rollouts_is_given_the_cells_share_and_strategy() -> None:
    canary = objects(MANIFESTS[0], SLOW)["Rollout"]["spec"]["strategy"]["canary"]
    assert (canary["maxSurge"], canary["maxUnavailable"], canary["steps"][0]) == (0, 1, {"setWeight": 50})
    assert objects(MANIFESTS[0], MAIN)["Rollout"]["spec"]["strategy"]["canary"]["maxSurge"] == "25%"


@pytest.mark.parametrize("manifest", MANIFESTS, ids=lambda path: path.parent.name)
def test_the_command_in_the_readme_is_one_for_this_manifest(manifest: Path) -> None:
    text = (manifest.parent / "README.md").read_text()
    assert f"--manifest {manifest.relative_to(REPOSITORY)}" in text
    assert "**Not run by us**" in text


def test_a_placeholder_that_nothing_fills_is_named(tmp_path: Path) -> None:
    manifest = tmp_path / "a.yaml"
    manifest.write_text("a: ${WORKRES}")
    with pytest.raises(ValueError, match=r"a\.yaml: nothing fills 'WORKRES'; there are NAMESPACE, IMAGE"):
        filled([manifest], placeholders(MAIN, WHERE, IMAGE, "bench-1"))
    manifest.write_text("a: $")
    with pytest.raises(ValueError, match=r"write \$\$ for a dollar sign"):
        filled([manifest], placeholders(MAIN, WHERE, IMAGE, "bench-1"))
