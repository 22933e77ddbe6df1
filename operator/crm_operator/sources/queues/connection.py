"""One connection to one broker, which asks many questions at once and nothing else.

A Sentinel is asked for the master at each new connection. It cuts the clients of a master that it demotes, so that a
failover always makes a new connection.

redis-py's `Connection` is used without its pool: a pool reconnects on its own, and a broker that came back empty
within one tick must be noticed (`generation`), not be taken for the one that was there. Nothing here writes.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from redis import exceptions as errors
from redis.asyncio import Connection, SSLConnection

from crm_operator.domain.world import Unknown
from crm_operator.sources.address import AddressPolicy
from crm_operator.sources.look_up import HostRefused, look_up
from crm_operator.sources.queues.address import BrokerAddress, Master
from crm_operator.sources.queues.failure import (
    GARBLED,
    NO_SUCH_MASTER,
    READ_ERRORS,
    TIMEOUT,
    TLS_TIMEOUT,
    Failure,
    failure_of,
)
from crm_operator.sources.queues.reader import BrokerUnread

Command = tuple[str | int | bytes, ...]

#: Answers read in a row before others have their turn: some milliseconds.
_TURN = 250


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
        self._link = _new_link(address)
        #: Grows with each connection made: equal numbers mean that the server cannot have restarted in between.
        self.generation = 0

    async def ask(self, commands: Sequence[Command]) -> list[Any]:
        """Send all `commands` at once; an answer that is an error of that command stays in its place.

        Raises BrokerUnread when the connection itself does not serve; it is closed then.
        """
        return await self.ask_packed(self.pack(commands), len(commands))

    def pack(self, commands: Sequence[Command]) -> bytes:
        """What `ask_packed` sends for them: worth keeping when the same is asked every second."""
        return b"".join(self._link.pack_commands(commands))

    async def ask_packed(self, request: bytes, count: int) -> list[Any]:
        """As `ask`, for `count` commands that are packed already."""
        try:
            async with asyncio.timeout(self._timeout) as patience:
                await self._connect()
                await self._link.send_packed_command(request, check_health=False)
                return await self._answers(count, patience)
        except READ_ERRORS as error:
            await self.close()
            failure = failure_of(error)
            if failure is TIMEOUT and self._address.tls:
                failure = TLS_TIMEOUT
            raise BrokerUnread(failure) from None  # the cause may hold what was sent: AUTH
        except asyncio.CancelledError:
            await self.close()
            raise

    async def _answers(self, count: int, patience: asyncio.Timeout) -> list[Any]:
        """The broker must not be silent for longer than the timeout; how long we take for its answers is our affair."""
        loop = asyncio.get_running_loop()
        found: list[Any] = []
        for number in range(1, count + 1):
            found.append(await self._answer())
            if number % _TURN == 0:
                patience.reschedule(None)
                await asyncio.sleep(0)  # what has arrived is read without a wait, and others wait for their turn
                patience.reschedule(loop.time() + self._timeout)
        return found

    async def _answer(self) -> Any:
        try:
            return await self._link.read_response(disable_decoding=True)
        except errors.ResponseError as error:
            return failure_of(error)

    async def _connect(self) -> None:
        if self._link.is_connected:
            return
        host, port = self._address.host, self._address.port
        if self._address.master is not None:
            host, port = await self._find_master(self._address.master)
        await self._dial(self._link, host, port)
        self.generation += 1

    async def _dial(self, link: Connection, host: str, port: int) -> None:
        try:
            link.host, link.port = await look_up(host, port, self._policy), port
        except HostRefused as refused:
            raise BrokerUnread(Failure("HostNotAllowed", refused.why)) from None
        if isinstance(link, _PinnedTls):
            link.name = host
        await link.connect()  # type: ignore[no-untyped-call]

    async def _find_master(self, master: Master) -> tuple[str, int]:
        """Host and port that Sentinel tells, if they may be dialled.

        A Sentinel is asked without the URL's password first: most have none, and refuse one.
        """
        try:
            told = await self._ask_sentinel(master, _new_link(replace(self._address, username=None, password=None)))
        except errors.AuthenticationError:
            told = await self._ask_sentinel(master, _new_link(self._address))
        match told:
            case [bytes(host), bytes(port)]:
                found = self._policy.told_host(host.decode(), namespace=master.namespace)
                if isinstance(found, Unknown):
                    raise BrokerUnread(Failure(found.reason, f"Sentinel names the master: {found.why}"))
                return found, int(port)
            case None:
                raise BrokerUnread(NO_SUCH_MASTER)
            case _:
                raise BrokerUnread(GARBLED)

    async def _ask_sentinel(self, master: Master, link: Connection) -> Any:
        try:
            link.db = 0
            await self._dial(link, self._address.host, self._address.port)
            await link.send_command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", master.name, check_health=False)
            return await link.read_response(disable_decoding=True)
        finally:
            await link.disconnect(nowait=True)

    async def close(self) -> None:
        """Idempotent; does not wait for a peer that is stuck."""
        await self._link.disconnect(nowait=True)


def _new_link(address: BrokerAddress) -> Connection:
    """Not connected yet; host and port are set when it is."""
    options: dict[str, Any] = {
        "db": address.database,
        "username": address.username,
        "password": address.password,
        "protocol": 2,  # no HELLO: works with every Redis, and with users who may only read
        "driver_info": None,  # no CLIENT SETINFO, for the same reason
        "socket_timeout": None,  # `ask` bounds the whole exchange
        "socket_connect_timeout": None,
    }
    return _PinnedTls(**options, ssl_ca_data=address.ca) if address.tls else Connection(**options)
