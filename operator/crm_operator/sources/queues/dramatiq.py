"""Dramatiq's queues on Redis: how to read many queues with few round trips.

Which keys say what: `layout`. Dramatiq's own `do_qsize` would register us as a worker; nothing here writes.
Called by `redis_reader` once a tick.
"""

import asyncio
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from itertools import islice
from typing import Any, TypeVar

from crm_operator.sources.queues.ages import Ages
from crm_operator.sources.queues.connection import BrokerConnection, Command
from crm_operator.sources.queues.delays import Delays
from crm_operator.sources.queues.failure import GARBLED, Failure
from crm_operator.sources.queues.layout import QueueId
from crm_operator.sources.queues.orphans import Orphans
from crm_operator.sources.queues.reader import QueueCounts

T = TypeVar("T")

#: Queues asked in one exchange; between exchanges the event loop serves others.
_CHUNK = 100


class DramatiqReader:
    """Reads the queues of one broker, with what is worth keeping from tick to tick."""

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self._clock = clock
        self._ages = Ages()
        self._delays = Delays(clock)
        self._orphans = Orphans()

    async def read(
        self, connection: BrokerConnection, queues: Collection[QueueId]
    ) -> dict[QueueId, QueueCounts | Failure]:
        """All `queues`, each with its counts or its own failure. Raises BrokerUnread if the broker does not serve."""
        wanted = set(queues)
        self._ages.keep(wanted)
        self._delays.keep(wanted)
        found = await self._counts(connection, queues)
        await self._add_oldest(connection, found)
        await self._add_due(connection, found)
        await self._add_orphaned(connection, found)
        return found

    async def _counts(
        self, connection: BrokerConnection, queues: Collection[QueueId]
    ) -> dict[QueueId, QueueCounts | Failure]:
        found: dict[QueueId, QueueCounts | Failure] = {}
        for chunk in _chunks(queues, _CHUNK):
            # The list before the hash: a job that comes in between makes `running` too large, never negative.
            commands: list[Command] = []
            for queue in chunk:
                commands += [("LLEN", queue.key), ("HLEN", queue.messages), ("HLEN", queue.delayed)]
                commands.append(("ZCARD", queue.dead))
            answers = await connection.ask(commands)
            for place, queue in enumerate(chunk):
                found[queue] = _counts_of(answers[4 * place : 4 * place + 4])
            await asyncio.sleep(0)
        return found

    async def _add_oldest(self, connection: BrokerConnection, found: dict[QueueId, QueueCounts | Failure]) -> None:
        now = self._clock()
        for queue, seen in _read(found):
            if not seen.waiting and not seen.running:
                self._ages.was_empty(queue, now)
        waiting = [queue for queue, seen in _read(found) if seen.waiting]
        for chunk in _chunks(waiting, _CHUNK):
            oldest = await self._ages.read(connection, chunk, now)
            for queue, seen in _read(found):
                if queue in oldest:
                    found[queue] = replace(seen, oldest=oldest[queue])

    async def _add_due(self, connection: BrokerConnection, found: dict[QueueId, QueueCounts | Failure]) -> None:
        lengths = {queue: seen.delayed for queue, seen in _read(found) if seen.delayed}
        due = await self._delays.due(connection, lengths) if lengths else {}
        for queue, seen in _read(found):
            jobs = due.get(queue, 0)
            found[queue] = jobs if isinstance(jobs, Failure) else replace(seen, due=jobs)

    async def _add_orphaned(self, connection: BrokerConnection, found: dict[QueueId, QueueCounts | Failure]) -> None:
        running = {queue: seen.running for queue, seen in _read(found) if seen.running}
        orphaned = await self._orphans.count(connection, running, self._clock())
        for queue, seen in _read(found):
            jobs = orphaned.get(queue, 0)
            found[queue] = jobs if isinstance(jobs, Failure) else replace(seen, orphaned=jobs)


def _counts_of(answers: Sequence[Any]) -> QueueCounts | Failure:
    for answer in answers:
        if isinstance(answer, Failure):
            return answer
        if not isinstance(answer, int) or answer < 0:
            return GARBLED
    ready, total, delayed, dead = answers
    return QueueCounts(waiting=ready, running=max(0, total - ready), delayed=delayed, dead=dead)


def _read(found: dict[QueueId, QueueCounts | Failure]) -> list[tuple[QueueId, QueueCounts]]:
    """Those that could be read so far."""
    return [(queue, seen) for queue, seen in found.items() if isinstance(seen, QueueCounts)]


def _chunks(items: Collection[T], size: int) -> Iterator[list[T]]:
    rest = iter(items)
    while chunk := list(islice(rest, size)):
        yield chunk
