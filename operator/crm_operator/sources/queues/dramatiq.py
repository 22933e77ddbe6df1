"""Dramatiq's queues on Redis: which keys say what, and how to read many queues with few round trips.

Facts, measured against Dramatiq 2.2: `ns:Q` lists ready ids, `ns:Q.msgs` holds ready and unacknowledged messages,
`ns:Q.DQ.msgs` delayed ones, `ns:Q.XQ` dead ones by time. A missing key is an empty one. `LLEN ns:Q.DQ` says nothing:
workers pull delayed ids into memory. Dramatiq's own `do_qsize` would register us as a worker; nothing here writes.
Called by `broker` once a tick.
"""

import asyncio
import json
import math
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any, NamedTuple, TypeGuard, TypeVar

from crm_operator.sources.queues.connection import BrokerConnection, BrokerUnread, Command
from crm_operator.sources.queues.failure import GARBLED, Failure

T = TypeVar("T")

#: A delayed job due within this time needs a worker now: a pod takes about as long to start.
START_DELAY = timedelta(seconds=10)
#: Queues asked in one exchange; between exchanges the event loop serves others.
_CHUNK = 100
#: A larger message is not fetched for its age, in bytes.
_MESSAGE_MAX = 64 * 1024
#: Delayed messages looked at per queue; what lies beyond is taken to be like them.
_SCAN_CAP = 10_000
_SCAN_PAGE = 500
#: Delayed messages looked at per tick over all queues of a broker; the rest waits for the next tick.
_SCAN_BUDGET = 20_000
#: A short delay queue is read again after this time even if its length stayed, a long one not before.
_RESCAN_SMALL, _RESCAN_LARGE, _SMALL = timedelta(seconds=5), timedelta(seconds=15), 1000


class QueueId(NamedTuple):
    """One Dramatiq queue on a broker."""

    namespace: str
    name: str

    @property
    def key(self) -> str:
        return f"{self.namespace}:{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueCounts:
    """One queue at one time; counts >= 0 as in `QueueReading`."""

    waiting: int
    running: int
    delayed: int
    dead: int
    due: int = 0
    oldest: datetime | None = None  # when the oldest waiting job was enqueued; None: none, or not readable


#: Delayed jobs whose times were not read yet: how many are due is not known.
DELAYED_UNREAD = Failure("Starting", "the times of delayed jobs are not read yet; they are within seconds")


@dataclass(slots=True)
class _Delays:
    """When the delayed jobs of one queue are due, as of `read_at`."""

    length: int  # HLEN at that time
    etas: list[float]  # seconds since the epoch, of the messages looked at
    read_at: datetime

    def is_current(self, length: int, now: datetime) -> bool:
        age = now - self.read_at
        if max(length, self.length) > _SMALL:
            return age < _RESCAN_LARGE
        return length == self.length and age < _RESCAN_SMALL

    def due(self, length: int, now: datetime) -> int:
        """How many of `length` delayed jobs are due; if only some were looked at, in proportion, rounded up."""
        limit = (now + START_DELAY).timestamp()
        due = sum(1 for eta in self.etas if eta <= limit)
        if due and length > len(self.etas):
            due = math.ceil(due * length / len(self.etas))
        return min(due, length)


@dataclass(slots=True)
class DramatiqReader:
    """Reads the queues of one broker, with what is worth keeping from tick to tick."""

    clock: Callable[[], datetime]
    _enqueued: dict[QueueId, dict[bytes, datetime | None]] = field(default_factory=dict)  # of head and tail
    _delays: dict[QueueId, _Delays] = field(default_factory=dict)

    async def read(
        self, connection: BrokerConnection, queues: Collection[QueueId]
    ) -> dict[QueueId, QueueCounts | Failure]:
        """All `queues`, each with its counts or its own failure. Raises BrokerUnread if the broker does not serve."""
        self._drop_others(queues)
        found = await self._counts(connection, queues)
        waiting = [queue for queue, seen in found.items() if isinstance(seen, QueueCounts) and seen.waiting]
        delayed = [queue for queue, seen in found.items() if isinstance(seen, QueueCounts) and seen.delayed]
        oldest = await self._oldest(connection, waiting) if waiting else {}
        lengths = {queue: seen.delayed for queue in delayed if isinstance(seen := found[queue], QueueCounts)}
        due = await self._due(connection, lengths) if lengths else {}
        return {queue: _with(seen, oldest.get(queue), due.get(queue, 0)) for queue, seen in found.items()}

    async def _counts(
        self, connection: BrokerConnection, queues: Collection[QueueId]
    ) -> dict[QueueId, QueueCounts | Failure]:
        found: dict[QueueId, QueueCounts | Failure] = {}
        for chunk in _chunks(queues, _CHUNK):
            # The list before the hash: a job that comes in between makes `running` too large, never negative.
            commands: list[Command] = []
            for queue in chunk:
                key = queue.key
                commands += [("LLEN", key), ("HLEN", f"{key}.msgs"), ("HLEN", f"{key}.DQ.msgs"), ("ZCARD", f"{key}.XQ")]
            answers = await connection.ask(commands)
            for place, queue in enumerate(chunk):
                found[queue] = _counts_of(answers[4 * place : 4 * place + 4])
            await asyncio.sleep(0)
        return found

    async def _oldest(self, connection: BrokerConnection, queues: Sequence[QueueId]) -> dict[QueueId, datetime]:
        """When each queue's oldest waiting job was enqueued. Requeued jobs go to the tail: both ends are looked at."""
        oldest: dict[QueueId, datetime] = {}
        for chunk in _chunks(queues, _CHUNK):
            commands: list[Command] = []
            for queue in chunk:
                commands += [("LINDEX", queue.key, 0), ("LINDEX", queue.key, -1)]
            ends = await connection.ask(commands)
            wanted = {
                queue: {end for end in ends[2 * place : 2 * place + 2] if isinstance(end, bytes)}
                for place, queue in enumerate(chunk)
            }
            await self._remember_enqueued(connection, wanted)
            for queue in chunk:
                times = [time for time in self._enqueued[queue].values() if time is not None]
                if times:
                    oldest[queue] = min(times)
        return oldest

    async def _remember_enqueued(self, connection: BrokerConnection, wanted: dict[QueueId, set[bytes]]) -> None:
        """Fetch the messages of `wanted` ids that are not known from the tick before, unless they are huge."""
        known = {queue: self._enqueued.get(queue, {}) for queue in wanted}
        missing = [(queue, id_) for queue, ids in wanted.items() for id_ in ids if id_ not in known[queue]]
        fetched: dict[tuple[QueueId, bytes], datetime | None] = {}
        if missing:
            sizes = await connection.ask([("HSTRLEN", f"{queue.key}.msgs", id_) for queue, id_ in missing])
            small = [
                at
                for at, size in zip(missing, sizes, strict=True)
                if isinstance(size, int) and 0 < size <= _MESSAGE_MAX
            ]
            if small:
                bodies = await connection.ask([("HGET", f"{queue.key}.msgs", id_) for queue, id_ in small])
                fetched = {at: _enqueued_at(body) for at, body in zip(small, bodies, strict=True)}
        for queue, ids in wanted.items():
            self._enqueued[queue] = {
                id_: known[queue][id_] if id_ in known[queue] else fetched.get((queue, id_)) for id_ in ids
            }

    async def _due(self, connection: BrokerConnection, lengths: dict[QueueId, int]) -> dict[QueueId, int | None]:
        """How many delayed jobs are due; None: not read yet, because too many others had to be."""
        budget = _SCAN_BUDGET
        stale = [queue for queue, length in lengths.items() if not self._current(queue, length)]
        stale.sort(key=lambda queue: (queue in self._delays, lengths[queue]))  # never read ones first, then short ones
        for queue in stale:
            cost = min(lengths[queue], _SCAN_CAP)
            if cost > budget:
                continue
            budget -= cost
            etas = await self._scan(connection, queue)
            self._delays[queue] = _Delays(length=lengths[queue], etas=etas, read_at=self.clock())
        now = self.clock()
        return {
            queue: self._delays[queue].due(length, now) if queue in self._delays else None
            for queue, length in lengths.items()
        }

    def _current(self, queue: QueueId, length: int) -> bool:
        return queue in self._delays and self._delays[queue].is_current(length, self.clock())

    async def _scan(self, connection: BrokerConnection, queue: QueueId) -> list[float]:
        etas: dict[bytes, float] = {}  # by id: HSCAN may give one twice
        seen, cursor = 0, b"0"
        while True:
            [answer] = await connection.ask([("HSCAN", f"{queue.key}.DQ.msgs", cursor, "COUNT", _SCAN_PAGE)])
            match answer:
                case [bytes(cursor), [*pairs]]:
                    pass
                case Failure():
                    raise BrokerUnread(answer)
                case _:
                    raise BrokerUnread(GARBLED)
            for id_, body in zip(pairs[::2], pairs[1::2], strict=False):
                etas[id_] = _eta_of(body)
            seen += len(pairs) // 2
            if cursor == b"0" or seen >= _SCAN_CAP:
                return list(etas.values())

    def _drop_others(self, queues: Collection[QueueId]) -> None:
        wanted = set(queues)
        for cache in (self._enqueued, self._delays):
            for queue in [queue for queue in cache if queue not in wanted]:
                del cache[queue]


def _counts_of(answers: Sequence[Any]) -> QueueCounts | Failure:
    for answer in answers:
        if isinstance(answer, Failure):
            return answer
        if not isinstance(answer, int) or answer < 0:
            return GARBLED
    ready, total, delayed, dead = answers
    return QueueCounts(waiting=ready, running=max(0, total - ready), delayed=delayed, dead=dead)


def _with(seen: QueueCounts | Failure, oldest: datetime | None, due: int | None) -> QueueCounts | Failure:
    if isinstance(seen, Failure):
        return seen
    if due is None:
        return DELAYED_UNREAD
    return QueueCounts(
        waiting=seen.waiting, running=seen.running, delayed=seen.delayed, dead=seen.dead, due=due, oldest=oldest
    )


def _enqueued_at(body: Any) -> datetime | None:
    """When a message was enqueued, or enqueued again; None if it cannot be told (the encoder is pluggable)."""
    message = _decoded(body)
    options = message.get("options")
    again = options.get("requeue_timestamp") if isinstance(options, dict) else None
    times = [time for time in (message.get("message_timestamp"), again) if _is_number(time)]
    try:
        return datetime.fromtimestamp(max(times) / 1000, UTC) if times else None
    except (ValueError, OverflowError, OSError):
        return None


def _eta_of(body: Any) -> float:
    """When a delayed message is due, in seconds since the epoch; one that cannot be read is due now."""
    options = _decoded(body).get("options")
    eta = options.get("eta") if isinstance(options, dict) else None
    return eta / 1000 if _is_number(eta) else 0.0


def _is_number(value: Any) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e15


def _decoded(body: Any) -> dict[str, Any]:
    try:
        message = json.loads(body) if isinstance(body, bytes) else None
    except (ValueError, RecursionError):
        return {}
    return message if isinstance(message, dict) else {}


def _chunks(items: Collection[T], size: int) -> Iterator[list[T]]:
    rest = iter(items)
    while chunk := list(islice(rest, size)):
        yield chunk
