"""Fake pods that are unlike KWOK's own: some need a while to become Ready, as real ones do, some have no address."""

from dev.cluster import Cluster
from tests.cluster.stages import add_once, starting_pod

_LABEL = "crm-bench/ready-after"


def ready_after(cluster: Cluster, seconds: float) -> dict[str, str]:
    """The labels of pods that become Ready this long (>= 0) after they were put on a node; teaches the cluster so.

    Raises ClusterError for a cluster without fake nodes.
    """
    if seconds == 0:
        return {}
    milliseconds = round(seconds * 1000)
    name, value = f"crm-bench-ready-after-{milliseconds}", f"{milliseconds}ms"
    add_once(cluster, name, starting_pod(name, label=_LABEL, value=value, ready=True, delay_ms=milliseconds))
    return {_LABEL: value}


def without_address(cluster: Cluster) -> dict[str, str]:
    """The labels of pods that are Ready at once and have no address: who makes them gives one, where they are served.

    Teaches the cluster so; raises ClusterError for one without fake nodes.
    """
    name, value = "crm-bench-without-address", "without-address"
    add_once(cluster, name, starting_pod(name, label=_LABEL, value=value, ready=True))
    return {_LABEL: value}
