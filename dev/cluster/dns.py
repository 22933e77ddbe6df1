"""DNS of the cluster: CoreDNS as a program of the node, on the node's address, instead of pods."""

from ipaddress import IPv4Address

from dev.cluster.components import Component
from dev.cluster.node import Node
from dev.cluster.pki import Authority

USER = "crm-dev:coredns"
RULES = [
    {"apiGroups": [""], "resources": ["endpoints", "services", "pods", "namespaces"], "verbs": ["list", "watch"]},
    {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["list", "watch"]},
]


def core_dns(node: Node, authority: Authority) -> Component:
    """DNS of the cluster as a program of the node, on the node's address."""
    file = node.work / "Corefile"
    kubeconfig = node.plane.kubeconfig(authority, USER, file="coredns")
    file.write_text(
        f""".:53 {{
    bind {node.addresses.node}
    errors
    ready {ready_address(node.addresses.node)}
    kubernetes cluster.local in-addr.arpa {{
        kubeconfig {kubeconfig}
        pods insecure
        ttl 2
    }}
    cache 2
}}
"""
    )
    return Component("coredns", [node.plane.binaries["coredns"], "-conf", file])


def ready_address(address: IPv4Address) -> str:
    """Where CoreDNS tells whether it knows the cluster's Services: host and port."""
    return f"{address}:8181"
