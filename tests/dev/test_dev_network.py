"""Clusters side by side get addresses that meet neither each other nor the machine's own."""

import socket
from ipaddress import IPv4Network
from pathlib import Path

import pytest

from dev.cluster.errors import ClusterError
from dev.cluster.network import BLOCKS, PORTS, Addresses, choose_addresses, choose_port, interface_name, parse_routes


def test_the_first_free_block_is_taken() -> None:
    assert choose_addresses([]).block == BLOCKS[0]
    assert choose_addresses([BLOCKS[0]]).block == BLOCKS[1]


@pytest.mark.parametrize(
    "taken",
    [
        pytest.param("10.180.7.0/24", id="a smaller network inside the block"),
        pytest.param("10.180.0.0/15", id="a larger network around the block"),
        pytest.param("10.180.255.1/32", id="a single address"),
    ],
)
def test_a_block_that_overlaps_a_route_is_passed_over(taken: str) -> None:
    assert not choose_addresses([IPv4Network(taken)]).block.overlaps(IPv4Network(taken))


def test_running_out_of_blocks_says_what_to_do() -> None:
    with pytest.raises(ClusterError, match="stop a cluster"):
        choose_addresses(BLOCKS)


def test_pods_services_and_cable_do_not_overlap_and_stay_inside_the_block() -> None:
    addresses = Addresses(IPv4Network("10.180.0.0/16"))
    cable = IPv4Network(f"{addresses.host}/30", strict=False)
    assert addresses.node in cable
    assert addresses.kubernetes_service in addresses.services
    networks = [addresses.pods, addresses.services, cable]
    assert all(network.subnet_of(addresses.block) for network in networks)
    assert not any(one.overlaps(other) for one in networks for other in networks if one is not other)


def test_the_default_route_takes_no_block() -> None:
    routes: list[dict[str, object]] = [{"dst": "default"}, {"dst": "10.1.0.0/16"}, {"dst": "10.2.0.1", "type": "local"}]
    assert parse_routes(routes) == [IPv4Network("10.1.0.0/16"), IPv4Network("10.2.0.1/32")]


def test_a_port_that_somebody_listens_on_is_not_chosen() -> None:
    with socket.socket() as listener:
        port = choose_port([])
        listener.bind(("127.0.0.1", port))
        listener.listen()
        everything_else = [other for other in PORTS if other != port]
        with pytest.raises(ClusterError, match="no free port"):
            choose_port(everything_else)


def test_interface_names_fit_the_kernel_and_differ_by_folder() -> None:
    one, other = interface_name(Path("/a/crm")), interface_name(Path("/b/crm"))
    assert one != other
    assert len(one) <= 15
