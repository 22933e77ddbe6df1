"""Dramatiq's queues on Redis: all queues of a broker in one exchange, and more only for what was not seen before.

Which keys say what: `layout`. Dramatiq's own `do_qsize` would register us as a worker; nothing here writes.
Called by `redis_reader` once a tick, and in between for queues that are new.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from datetime import datetime
from itertools import islice
from typing import Any, NamedTuple

from crm_operator.sources.queues.ages import Ages
from crm_operator.sources.queues.connection import BrokerConnection, Command
from crm_operator.sources.queues.delays import Delays
from crm_operator.sources.queues.failure import GARBLED, Failure
from crm_operator.sources.queues.layout import QueueId
from crm_operator.sources.queues.orphans import Orphans
from crm_operator.sources.queues.reader import QueueCounts

#: Queues asked in one exchange. Redis takes a large request in parts of 16 KiB and serves others in between.
_CHUNK = 2000


class _Lengths(NamedTuple):
    waiting: int
    running: int
    delayed: int
    dead: int


class DramatiqReader:
    """Reads the queues of one broker, with what is worth keeping from tick to tick."""

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self._clock = clock
        self._ages = Ages()
        self._delays = Delays(clock)
        self._orphans = Orphans()
        self._packed: dict[tuple[QueueId, bool], bytes] = {}

    async def read(
        self, connection: BrokerConnection, queues: Collection[QueueId]
    ) -> dict[QueueId, QueueCounts | Failure]:
        """All `queues`, each with its counts or its own failure. Raises BrokerUnread if the broker does not serve."""
        found: dict[QueueId, QueueCounts | Failure] = {}
        for chunk in _chunks(queues, _CHUNK):
            found |= await self._read(connection, chunk)
        return found

    def keep(self, queues: set[QueueId]) -> None:
        """Forget all others."""
        for memory in (self._ages, self._delays, self._orphans):
            memory.keep(queues)
        for key in [key for key in self._packed if key[0] not in queues]:
            del self._packed[key]

    async def _read(
        self, connection: BrokerConnection, queues: Sequence[QueueId]
    ) -> dict[QueueId, QueueCounts | Failure]:
        found, ends = await self._lengths(connection, queues)
        seen = {queue: lengths for queue, lengths in found.items() if isinstance(lengths, _Lengths)}
        oldest = await self._oldest(connection, seen, ends)
        lengths = {queue: of.delayed for queue, of in seen.items() if of.delayed}
        due = await self._delays.due(connection, lengths) if lengths else {}
        orphaned = await self._orphans.count(
            connection, {queue: of.running for queue, of in seen.items()}, self._clock()
        )
        return {
            queue: _counts(of, oldest.get(queue), due.get(queue, 0), orphaned.get(queue, 0))
            for queue, of in found.items()
        }

    async def _lengths(
        self, connection: BrokerConnection, queues: Sequence[QueueId]
    ) -> tuple[dict[QueueId, _Lengths | Failure], dict[QueueId, Sequence[Any]]]:
        """How many jobs there are, and of queues in which something waited before, the ends of their lists."""
        waited = [self._ages.waits(queue) for queue in queues]
        request = b"".join(map(self._request, [connection] * len(queues), queues, waited))
        answers = iter(await connection.ask_packed(request, 4 * len(queues) + 2 * sum(waited)))
        found: dict[QueueId, _Lengths | Failure] = {}
        ends: dict[QueueId, Sequence[Any]] = {}
        for queue, with_ends in zip(queues, waited, strict=True):
            found[queue] = _lengths_of(next(answers), next(answers), next(answers), next(answers))
            if with_ends:
                ends[queue] = (next(answers), next(answers))
        return found, ends

    def _request(self, connection: BrokerConnection, queue: QueueId, with_ends: bool) -> bytes:
        packed = self._packed.get((queue, with_ends))
        if packed is None:
            # The list before the hash: a job that comes in between makes `running` too large, never negative.
            commands: list[Command] = [("LLEN", queue.key), ("HLEN", queue.messages), ("HLEN", queue.delayed)]
            commands.append(("ZCARD", queue.dead))
            packed = connection.pack(commands + (_ends(queue) if with_ends else []))
            self._packed[queue, with_ends] = packed
        return packed

    async def _oldest(
        self, connection: BrokerConnection, seen: dict[QueueId, _Lengths], ends: dict[QueueId, Sequence[Any]]
    ) -> dict[QueueId, datetime | None]:
        now = self._clock()
        for queue, of in seen.items():
            if not of.waiting:
                if of.running:
                    self._ages.nothing_waits(queue)
                else:
                    self._ages.was_empty(queue, now)
        waiting = [queue for queue, of in seen.items() if of.waiting]
        began = [queue for queue in waiting if queue not in ends]
        if began:
            answers = await connection.ask([command for queue in began for command in _ends(queue)])
            ends |= {queue: answers[2 * place : 2 * place + 2] for place, queue in enumerate(began)}
        return await self._ages.read(connection, {queue: ends[queue] for queue in waiting}, now)


def _ends(queue: QueueId) -> list[Command]:
    return [("LINDEX", queue.key, 0), ("LINDEX", queue.key, -1)]


def _lengths_of(ready: Any, total: Any, delayed: Any, dead: Any) -> _Lengths | Failure:
    for answer in (ready, total, delayed, dead):
        if isinstance(answer, Failure):
            return answer
        if not isinstance(answer, int) or answer < 0:
            return GARBLED
    return _Lengths(ready, max(0, total - ready), delayed, dead)


def _counts(
    of: _Lengths | Failure, oldest: datetime | None, due: int | Failure, orphaned: int | Failure
) -> QueueCounts | Failure:
    if isinstance(of, Failure):
        return of
    if isinstance(due, Failure):
        return due
    if isinstance(orphaned, Failure):
        return orphaned
    return QueueCounts(
        waiting=of.waiting,
        running=of.running,
        delayed=of.delayed,
        dead=of.dead,
        due=due,
        orphaned=orphaned,
        oldest=oldest,
    )


def _chunks(items: Collection[QueueId], size: int) -> Iterator[list[QueueId]]:
    rest = iter(items)
    while chunk := list(islice(rest, size)):
        yield chunk
