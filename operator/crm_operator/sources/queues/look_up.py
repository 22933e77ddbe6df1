"""From a broker's name to an address that may be dialled."""

import asyncio
import socket

from crm_operator.sources.address import AddressPolicy, as_address
from crm_operator.sources.queues.failure import NOT_FOUND, Failure
from crm_operator.sources.queues.reader import BrokerUnread


async def look_up(host: str, port: int, policy: AddressPolicy) -> str:
    """An address of `host`. Dialling the address, not the name, keeps the policy's check valid.

    Raises BrokerUnread if the policy refuses the address, OSError if the name cannot be resolved.
    """
    if as_address(host) is not None:
        return host
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    if not found:
        raise BrokerUnread(NOT_FOUND)
    address = str(found[0][4][0])
    refused = policy.refuse_resolved(host, address)
    if refused is not None:
        raise BrokerUnread(Failure("HostNotAllowed", refused))
    return address
