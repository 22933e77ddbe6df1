"""Since when the oldest waiting job of each queue waits.

Retried jobs, and those of a worker that stopped, go to the tail of the list, so both ends are looked at; an older job
between two younger ones is not seen. Used by `dramatiq` for queues in which something waits.
"""

from collections.abc import Collection, Sequence
from datetime import UTC, datetime

from crm_operator.sources.queues.connection import BrokerConnection, Command
from crm_operator.sources.queues.layout import QueueId, enqueued_at

#: A larger message is not fetched for its age, in bytes; its age is unknown.
_MESSAGE_MAX = 64 * 1024


class Ages:
    """Of one broker; remembers the ends of each list, so that a message is fetched once."""

    def __init__(self) -> None:
        self._since: dict[QueueId, dict[bytes, datetime | None]] = {}  # by id; None: cannot be told
        self._empty_at: dict[QueueId, datetime] = {}

    def was_empty(self, queue: QueueId, now: datetime) -> None:
        """Nothing waited and nothing ran: what is found later came later."""
        self._empty_at[queue] = now
        self._since.pop(queue, None)

    async def read(
        self, connection: BrokerConnection, queues: Sequence[QueueId], now: datetime
    ) -> dict[QueueId, datetime | None]:
        """For each queue, never after `now`; None when the message at one end does not tell.

        In one exchange for both ends, and two more for messages not seen before.
        """
        commands: list[Command] = []
        for queue in queues:
            commands += [("LINDEX", queue.key, 0), ("LINDEX", queue.key, -1)]
        ends = await connection.ask(commands)
        wanted = {
            queue: {end for end in ends[2 * place : 2 * place + 2] if isinstance(end, bytes)}
            for place, queue in enumerate(queues)
        }
        await self._fetch(connection, wanted, now)
        # Both ends gone since they were counted: what waits, if anything, has just come.
        return {queue: _oldest(self._since[queue].values(), default=now) for queue in queues}

    def keep(self, queues: set[QueueId]) -> None:
        """Forget all others."""
        for cache in (self._since, self._empty_at):
            for queue in [queue for queue in cache if queue not in queues]:
                del cache[queue]

    async def _fetch(self, connection: BrokerConnection, wanted: dict[QueueId, set[bytes]], now: datetime) -> None:
        known = {queue: self._since.get(queue, {}) for queue in wanted}
        missing = [(queue, id_) for queue, ids in wanted.items() for id_ in ids if id_ not in known[queue]]
        fetched: dict[tuple[QueueId, bytes], datetime | None] = {}
        if missing:
            sizes = await connection.ask([("HSTRLEN", queue.messages, id_) for queue, id_ in missing])
            found = [(at, size) for at, size in zip(missing, sizes, strict=True) if size != 0]  # 0: done meanwhile
            fetched = {at: None for at, _ in found}
            small = [at for at, size in found if isinstance(size, int) and size <= _MESSAGE_MAX]
            if small:
                bodies = await connection.ask([("HGET", queue.messages, id_) for queue, id_ in small])
                for at, body in zip(small, bodies, strict=True):
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


def _oldest(times: Collection[datetime | None], *, default: datetime) -> datetime | None:
    known = [time for time in times if time is not None]
    return None if len(known) < len(times) else min(known, default=default)
