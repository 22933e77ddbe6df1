"""Fake nodes: KWOK plays the kubelet of nodes labelled `type=kwok`, and every pod on them becomes Ready at once.

Fake pods do no work and ignore probes, grace periods and preStop hooks. A test makes pods that misbehave with Stage
documents of its own (Cluster.add_stages); one with `weight: 1` beats these (weight 0).
"""

from pathlib import Path
from typing import Any

from dev.cluster.api import Api
from dev.cluster.components import Component
from dev.cluster.control_plane import ControlPlane
from dev.cluster.errors import ClusterError
from dev.cluster.pki import Authority

LABEL = "type=kwok"


def kwok(plane: ControlPlane, authority: Authority) -> Component:
    """KWOK, for all nodes with our label."""
    stages = plane.binaries.stages
    if stages is None:
        raise ClusterError("KWOK was built without its stage documents; delete its folder in the cache")
    return Component(
        "kwok",
        [
            plane.binaries["kwok"],
            f"--kubeconfig={plane.kubeconfig(authority, 'kwok', ('system:masters',))}",
            f"--manage-nodes-with-label-selector={LABEL}",
            f"--config={gather_stages(stages, stages_file(plane.work))}",
            "--node-lease-duration-seconds=40",
            "--server-address=",
        ],
    )


def stages_file(work: Path) -> Path:
    """The Stage documents that the cluster's KWOK reads when it starts."""
    return work / "stages.yaml"


def gather_stages(stages: Path, into: Path) -> Path:
    """Put KWOK's documents into one file and return it. Raises ClusterError if there are none."""
    documents = [document.read_text() for document in sorted(stages.glob("*.yaml"))]
    if not documents:
        raise ClusterError(f"no stage documents in {stages}; delete that folder and start again")
    into.write_text("\n---\n".join(documents))
    return into


def create_fake_nodes(api: Api, count: int) -> list[str]:
    """Create `count` nodes and return their names. KWOK gives each 1,000 cores, 1 TiB and room for a million pods."""
    names = [f"fake-{number}" for number in range(1, count + 1)]
    for name in names:
        api.create("/api/v1/nodes", _node(name))
    return names


def _node(name: str) -> dict[str, Any]:
    key, value = LABEL.split("=")
    labels = {key: value, "kubernetes.io/hostname": name, "kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64"}
    annotations = {"kwok.x-k8s.io/node": "fake"}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": labels, "annotations": annotations},
    }
