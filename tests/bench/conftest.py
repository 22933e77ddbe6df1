"""The clusters of the cluster and e2e tests, so that the benchmarks' smoke starts none of its own."""

from tests.cluster.conftest import api_cluster
from tests.e2e.conftest import node_cluster

__all__ = ["api_cluster", "node_cluster"]
