"""Dramatiq on Redis as a `Reader`: the connection, and what is asked over it."""

from collections.abc import Callable, Collection
from datetime import datetime

from crm_operator.sources.address import AddressPolicy
from crm_operator.sources.queues.address import BrokerAddress
from crm_operator.sources.queues.connection import BrokerConnection
from crm_operator.sources.queues.dramatiq import DramatiqReader
from crm_operator.sources.queues.failure import Failure
from crm_operator.sources.queues.layout import QueueId
from crm_operator.sources.queues.reader import QueueCounts


class RedisReader:
    """A new connection is a new generation: a Redis restarts within a tick, and may come back empty."""

    def __init__(
        self,
        address: BrokerAddress,
        *,
        policy: AddressPolicy,
        clock: Callable[[], datetime],
        timeout_seconds: float,
    ) -> None:
        self._connection = BrokerConnection(address, policy=policy, timeout_seconds=timeout_seconds)
        self._reader = DramatiqReader(clock)

    @property
    def generation(self) -> int:
        return self._connection.generation

    async def read(self, queues: Collection[QueueId]) -> dict[QueueId, QueueCounts | Failure]:
        return await self._reader.read(self._connection, queues)

    def keep(self, queues: Collection[QueueId]) -> None:
        self._reader.keep(set(queues))

    async def close(self) -> None:
        await self._connection.close()
