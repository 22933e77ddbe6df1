"""What every kind of broker must give: the counts of many queues, read at once. `broker` asks, once a tick."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from crm_operator.sources.queues.failure import Failure
from crm_operator.sources.queues.layout import QueueId


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueCounts:
    """One queue at one time; counts >= 0 as in `QueueReading`."""

    waiting: int
    running: int
    delayed: int
    dead: int
    due: int = 0
    orphaned: int = 0
    oldest: datetime | None = None  # since when the oldest waiting job waits; None: none, or not readable


class BrokerUnread(Exception):
    """The broker could not be read; `failure` says why."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.clause)
        self.failure = failure


class Reader(Protocol):
    """Reads one broker. Not for concurrent use: one task per broker owns it."""

    @property
    def generation(self) -> int:
        """Changes when the server may have been exchanged or restarted since the last read without a failed one."""

    async def read(self, queues: Collection[QueueId]) -> dict[QueueId, QueueCounts | Failure]:
        """All `queues`, each with its counts or its own failure. Raises BrokerUnread if the broker does not serve."""

    def keep(self, queues: Collection[QueueId]) -> None:
        """Nobody asks for others any more: what is remembered of them may go."""

    async def close(self) -> None:
        """Does not wait for a peer that is stuck."""
