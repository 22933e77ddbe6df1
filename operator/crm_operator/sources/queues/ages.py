"""Since when the oldest waiting job of each queue waits.

Retried jobs, and those of a worker that stopped, go to the tail of the list, so both ends are looked at; an older job
between two younger ones is not seen. Used by `dramatiq` for queues in which something waits.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from crm_operator.sources.queues.connection import BrokerConnection
from crm_operator.sources.queues.layout import QueueId, enqueued_at

#: A larger message is not fetched for its age, in bytes; its age is unknown.
_MESSAGE_MAX = 64 * 1024
#: Messages fetched in one exchange, in bytes.
_EXCHANGE_MAX = 2 * 1024 * 1024

_Place = tuple[QueueId, bytes]  # a message: its queue and its id


class Ages:
    """Of one broker; remembers the ends of each list, so that a message is fetched once."""

    def __init__(self) -> None:
        self._since: dict[QueueId, dict[bytes, datetime | None]] = {}  # by id; None: cannot be told
        self._empty_at: dict[QueueId, datetime] = {}

    def waits(self, queue: QueueId) -> bool:
        """Whether something waited there at the last look."""
        return queue in self._since

    def nothing_waits(self, queue: QueueId) -> None:
        self._since.pop(queue, None)

    def was_empty(self, queue: QueueId, now: datetime) -> None:
        """Nothing waited and nothing ran: what is found later came later."""
        self._empty_at[queue] = now
        self.nothing_waits(queue)

    async def read(
        self, connection: BrokerConnection, ends: Mapping[QueueId, Sequence[Any]], now: datetime
    ) -> dict[QueueId, datetime | None]:
        """For each queue, given the ids at both ends of its list, never after `now`; None when a message does not tell.

        Asks for messages not seen before, in two exchanges or more if they are large.
        """
        wanted = {queue: {end for end in both if isinstance(end, bytes)} for queue, both in ends.items()}
        await self._fetch(connection, wanted, now)
        # Both ends gone since they were counted: what waits, if anything, has just come.
        return {queue: _oldest(self._since[queue].values(), default=now) for queue in ends}

    def keep(self, queues: set[QueueId]) -> None:
        """Forget all others."""
        for cache in (self._since, self._empty_at):
            for queue in [queue for queue in cache if queue not in queues]:
                del cache[queue]

    async def _fetch(self, connection: BrokerConnection, wanted: dict[QueueId, set[bytes]], now: datetime) -> None:
        known = {queue: self._since.get(queue, {}) for queue in wanted}
        missing = [(queue, id_) for queue, ids in wanted.items() for id_ in ids if id_ not in known[queue]]
        fetched: dict[_Place, datetime | None] = {}
        if missing:
            sizes = await connection.ask([("HSTRLEN", queue.messages, id_) for queue, id_ in missing])
            found = [(at, size) for at, size in zip(missing, sizes, strict=True) if size != 0]  # 0: done meanwhile
            fetched = {at: None for at, _ in found}
            small = [(at, size) for at, size in found if isinstance(size, int) and size <= _MESSAGE_MAX]
            for part in _parts(small):
                bodies = await connection.ask([("HGET", queue.messages, id_) for queue, id_ in part])
                for at, body in zip(part, bodies, strict=True):
                    fetched[at] = self._bounded(at[0], enqueued_at(body), now)
        for queue, ids in wanted.items():
            new = {id_: fetched[queue, id_] for id_ in ids if (queue, id_) in fetched}
            self._since[queue] = {id_: since for id_, since in known[queue].items() if id_ in ids} | new

    def _bounded(self, queue: QueueId, enqueued: float | None, now: datetime) -> datetime | None:
        """Bounded by what we saw ourselves.

        A delayed job carries the time when it was sent, not when it was due; a producer's clock may be wrong.
        """
        if enqueued is None:
            return None
        earliest = self._empty_at.get(queue)
        seconds = max(enqueued, 0.0 if earliest is None else earliest.timestamp())
        return datetime.fromtimestamp(min(seconds, now.timestamp()), UTC)


def _parts(messages: Iterable[tuple[_Place, int]]) -> Iterator[list[_Place]]:
    """Split so that the messages of a part are not too large together."""
    part: list[_Place] = []
    total = 0
    for place, size in messages:
        if part and total + size > _EXCHANGE_MAX:
            yield part
            part, total = [], 0
        part.append(place)
        total += size
    if part:
        yield part


def _oldest(times: Collection[datetime | None], *, default: datetime) -> datetime | None:
    known = [time for time in times if time is not None]
    return None if len(known) < len(times) else min(known, default=default)
