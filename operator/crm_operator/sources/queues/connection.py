"""One connection to one broker, which asks many questions at once and nothing else.

redis-py's `Connection` is used without its pool: a pool reconnects on its own, and a broker that came back empty
within one tick must be noticed (`generation`), not be taken for the one that was there. Nothing here writes.
"""

import asyncio
import socket
from collections.abc import Mapping, Sequence
from typing import Any

from redis import exceptions as errors
from redis.asyncio import Connection, SSLConnection

from crm_operator.sources.address import AddressPolicy, as_address
from crm_operator.sources.queues.address import BrokerAddress
from crm_operator.sources.queues.failure import NOT_FOUND, READ_ERRORS, TIMEOUT, TLS_TIMEOUT, Failure, failure_of

Command = tuple[str | int | bytes, ...]


class BrokerUnread(Exception):
    """The broker could not be read; `failure` says why. The connection is closed."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.clause)
        self.failure = failure


class _PinnedTls(SSLConnection):
    """TLS to an address that was looked up and checked before, with the certificate checked against the name."""

    name = ""

    def _connection_arguments(self) -> Mapping[str, Any]:
        return {**super()._connection_arguments(), "server_hostname": self.name}


class BrokerConnection:
    """Connects when asked, and again after an error. Not for concurrent use: one task per broker owns it."""

    def __init__(self, address: BrokerAddress, *, policy: AddressPolicy, timeout_seconds: float) -> None:
        self._address = address
        self._policy = policy
        self._timeout = timeout_seconds
        self._link = self._new_link()
        #: Grows with each connection made: equal numbers mean that the server cannot have restarted in between.
        self.generation = 0

    async def ask(self, commands: Sequence[Command]) -> list[Any]:
        """Send all `commands` at once; an answer that is an error of that command stays in its place.

        Raises BrokerUnread when the connection itself does not serve.
        """
        try:
            async with asyncio.timeout(self._timeout):
                await self._connect()
                await self._link.send_packed_command(self._link.pack_commands(commands), check_health=False)
                return [await self._answer() for _ in commands]
        except READ_ERRORS as error:
            await self.close()
            failure = failure_of(error)
            if failure is TIMEOUT and self._address.tls:
                failure = TLS_TIMEOUT
            raise BrokerUnread(failure) from None  # the cause may hold what was sent: AUTH
        except asyncio.CancelledError:
            await self.close()
            raise

    async def _answer(self) -> Any:
        try:
            return await self._link.read_response(disable_decoding=True)
        except errors.ResponseError as error:
            return failure_of(error)

    async def _connect(self) -> None:
        if self._link.is_connected:
            return
        self._link.host = await self._look_up()
        await self._link.connect()  # type: ignore[no-untyped-call]
        self.generation += 1

    async def _look_up(self) -> str:
        """An address of the broker that may be dialled. Dialling the address, not the name, keeps the check valid."""
        host = self._address.host
        if as_address(host) is not None:
            return host
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(host, self._address.port, type=socket.SOCK_STREAM)
        if not found:
            raise BrokerUnread(NOT_FOUND)
        address = str(found[0][4][0])
        refused = self._policy.refuse_resolved(host, address)
        if refused is not None:
            raise BrokerUnread(Failure("HostNotAllowed", refused))
        return address

    async def close(self) -> None:
        """Idempotent; does not wait for a peer that is stuck."""
        await self._link.disconnect(nowait=True)

    def _new_link(self) -> Connection:
        address = self._address
        options: dict[str, Any] = {
            "host": address.host,
            "port": address.port,
            "db": address.database,
            "username": address.username,
            "password": address.password,
            "protocol": 2,  # no HELLO: works with every Redis, and with users who may only read
            "driver_info": None,  # no CLIENT SETINFO, for the same reason
            "socket_timeout": None,  # `ask` bounds the whole exchange
            "socket_connect_timeout": None,
        }
        if not address.tls:
            return Connection(**options)
        link = _PinnedTls(**options)
        link.name = address.host
        return link
