"""A real Kubernetes for development and tests, on any machine.

    from dev.cluster import up, down
    cluster = up(name="e2e", tier="node")
    cluster.run_kubectl("get", "nodes")
    down(name="e2e")

On the command line: `python -m dev.cluster --help`.
"""

from dev.cluster.cluster import Cluster, down, find, up
from dev.cluster.config import ProviderName, Tier
from dev.cluster.errors import ClusterError, ComponentFailed, MissingRequirement

__all__ = [
    "Cluster",
    "ClusterError",
    "ComponentFailed",
    "MissingRequirement",
    "ProviderName",
    "Tier",
    "down",
    "find",
    "up",
]
