"""Addresses of clusters, and the cable between a node tier's network namespace and the machine.

A node tier lives in a network namespace of its own, so that two of them cannot meet: kube-proxy's iptables chains,
CNI's interfaces and the ports of all components are private to each. One veth pair leads out; the machine gets an
address on it and routes to the cluster's pods and Services through it:

    machine, 10.X.255.1 ── 10.X.255.2, node (API server, kubelet, DNS) ── pods 10.X.0.0/22, Services 10.X.128.0/18

Interface and routes vanish with the namespace. Nothing listens on an address that another machine can reach.
"""

import ipaddress
import json
import random
import socket
import subprocess
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

from dev.cluster.config import work_id
from dev.cluster.errors import ClusterError

# Blocks to choose from, one per cluster: 10.180.0.0/16 .. 10.219.0.0/16. Rarely used by others; checked all the same.
BLOCKS = [IPv4Network(f"10.{second}.0.0/16") for second in range(180, 220)]
# Below the kernel's ephemeral ports (32768..), so that an outgoing connection cannot take one in between.
PORTS = range(20000, 30000)


@dataclass(frozen=True, slots=True)
class Addresses:
    """The addresses of one node-tier cluster, all inside one block."""

    block: IPv4Network

    @property
    def pods(self) -> IPv4Network:
        """Addresses of pods: 1022."""
        return next(self.block.subnets(new_prefix=22))

    @property
    def services(self) -> IPv4Network:
        """ClusterIPs."""
        return list(self.block.subnets(new_prefix=18))[2]

    @property
    def host(self) -> IPv4Address:
        """The machine's own address on the cable; pods reach programs of the machine here."""
        return self.block.network_address + 255 * 256 + 1

    @property
    def node(self) -> IPv4Address:
        """The node, the API server and DNS."""
        return self.host + 1

    @property
    def kubernetes_service(self) -> IPv4Address:
        """ClusterIP of the Service `kubernetes`."""
        return self.services.network_address + 1


def choose_addresses(taken: Collection[IPv4Network]) -> Addresses:
    """The first block that overlaps nothing in `taken`. Raises ClusterError when all are taken."""
    for block in BLOCKS:
        if not any(block.overlaps(other) for other in taken):
            return Addresses(block)
    raise ClusterError(f"all address blocks {BLOCKS[0]} .. {BLOCKS[-1]} are in use; stop a cluster that is not needed")


def routed_networks() -> list[IPv4Network]:
    """Networks that this machine has a route or an address for, the default route left out. Needs iproute2."""
    answer = subprocess.run(["ip", "-json", "-4", "route", "show", "table", "all"], capture_output=True, check=True)
    return parse_routes(json.loads(answer.stdout))


def parse_routes(routes: Iterable[dict[str, object]]) -> list[IPv4Network]:
    """Destinations of `ip -json route`, without `default`."""
    return [ipaddress.ip_network(str(r["dst"])) for r in routes if r.get("dst", "default") != "default"]  # type: ignore[misc]


def choose_port(taken: Collection[int]) -> int:
    """A port of the loopback address that nobody listens on and no other cluster has reserved."""
    candidates = [port for port in random.sample(PORTS, 200) if port not in taken]
    for port in candidates:
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise ClusterError(f"no free port among 200 of 127.0.0.1:{PORTS.start}-{PORTS.stop - 1}")


def interface_name(work: Path) -> str:
    """Name of the machine's end of the cable: at most 15 characters, different for each work folder."""
    return f"crm-{work_id(work)}"


def connect(addresses: Addresses, work: Path, supervisor_pid: int) -> None:
    """Lay the cable between the machine and the namespaces of process `supervisor_pid`. Raises ClusterError."""
    outside = interface_name(work)
    remove_interface(work)  # an earlier namespace may still be on its way out
    inside = ["nsenter", "--target", str(supervisor_pid), "--net"]
    run("ip", "link", "add", outside, "type", "veth", "peer", "name", "eth0", "netns", str(supervisor_pid))
    run("ip", "address", "add", f"{addresses.host}/30", "dev", outside)
    run("ip", "link", "set", outside, "up")
    run(*inside, "ip", "link", "set", "lo", "up")
    run(*inside, "ip", "address", "add", f"{addresses.node}/30", "dev", "eth0")
    run(*inside, "ip", "link", "set", "eth0", "up")
    run(*inside, "ip", "route", "add", "default", "via", str(addresses.host))
    run(*inside, "sysctl", "-qw", "net.ipv4.ip_forward=1")
    for network in (addresses.pods, addresses.services):
        run("ip", "route", "add", str(network), "via", str(addresses.node), "dev", outside)


def remove_interface(work: Path) -> None:
    """Remove the machine's end of the cable, and with it the routes; no error when there is none."""
    name = interface_name(work)
    if Path("/sys/class/net", name).exists():
        subprocess.run(["ip", "link", "delete", name], capture_output=True, check=False)


def run(*command: str) -> None:
    """Run a short command. Raises ClusterError with its words if it fails."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ClusterError(f"`{' '.join(command)}` failed: {done.stderr.strip() or done.returncode}")
