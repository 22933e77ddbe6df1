"""From a host's name to an address that may be dialled."""

import asyncio
import socket

from crm_operator.sources.address import AddressPolicy, as_address


class HostRefused(Exception):
    """The policy refuses the address to which a host leads; `why` says it, with the remedy."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


async def look_up(host: str, port: int, policy: AddressPolicy) -> str:
    """An address of `host`. Dialling the address, not the name, keeps the policy's check valid.

    Raises HostRefused, or OSError if the name cannot be resolved.
    """
    if as_address(host) is not None:
        return host
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    if not found:
        raise socket.gaierror(socket.EAI_NONAME, "the name has no address")
    address = str(found[0][4][0])
    refused = policy.refuse_resolved(host, address)
    if refused is not None:
        raise HostRefused(refused)
    return address
