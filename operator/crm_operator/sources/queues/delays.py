"""When delayed jobs are due: known ahead, because at that time no key of the broker changes.

A hash has no order, so all of it is read, a part per tick, again and again. Used by `dramatiq` for queues that have
delayed jobs.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from crm_operator.domain.world import STARTING
from crm_operator.sources.queues.connection import BrokerConnection, Command
from crm_operator.sources.queues.failure import GARBLED, Failure
from crm_operator.sources.queues.layout import QueueId, eta_of

#: A delayed job due within this time needs a worker now: about what a pod takes to start (docs/scaling.md).
START_DELAY = timedelta(seconds=10)
#: Delayed messages read per tick over all queues of a broker, and their bytes; the rest waits for the next tick.
_BUDGET, _BUDGET_BYTES = 10_000, 8 * 1024 * 1024
#: One exchange asks for about so many messages, or bytes, judged by the messages before.
_PAGE, _PAGE_FIRST, _PAGE_BYTES = 500, 20, 512 * 1024
#: ... of one queue, and about so many of all together. Of a queue not seen before, a message is taken to be so large.
_EXCHANGE, _EXCHANGE_BYTES, _MESSAGE_BYTES = 2000, 2 * 1024 * 1024, 1024
#: A short delay queue is read again after this time even if its length stayed, a long one not before.
_AGAIN_SHORT, _AGAIN_LONG, _SHORT = timedelta(seconds=5), timedelta(seconds=15), 1000

#: A first sweep that is under way speaks for the whole queue once it has seen so many.
_ENOUGH = 100

#: Delayed jobs whose times were not read yet: how many are due is not known.
DELAYED_UNREAD = Failure(STARTING, "the times of delayed jobs are not read yet; they are within seconds")


@dataclass(slots=True)
class _Sweep:
    """One reading of a queue's delayed jobs from the first to the last."""

    length: int  # HLEN when it began
    etas: list[float] = field(default_factory=list)  # seconds since the epoch
    size: int = 0  # bytes read
    cursor: bytes = b"0"
    ended: datetime | None = None

    def is_current(self, length: int, now: datetime) -> bool:
        if self.ended is None:
            return False
        if max(length, self.length) > _SHORT:
            return now - self.ended < _AGAIN_LONG
        return length == self.length and now - self.ended < _AGAIN_SHORT

    def seen_due(self, now: datetime) -> int:
        """How many of those looked at are due within the start delay."""
        limit = (now + START_DELAY).timestamp()
        return sum(1 for eta in self.etas if eta <= limit)

    def due(self, length: int, now: datetime) -> int:
        """How many of `length` delayed jobs are due within the start delay.

        Those that left since then were due ones, as only due ones leave; those that were not looked at are taken to be
        like the others, rounded up.
        """
        due, seen = self.seen_due(now), len(self.etas)
        if seen < length:
            return math.ceil(due * length / seen) if due else 0
        return max(0, due - (seen - length))

    def command(self, queue: QueueId) -> Command:
        """What reads its next page."""
        return ("HSCAN", queue.delayed, self.cursor, "COUNT", self.page)

    def take(self, answer: Any) -> Failure | None:
        """The page as the broker gave it; why it is none."""
        # A hash that is resized meanwhile may give a message twice: one job too many until the next sweep.
        match answer:
            case [bytes(cursor), [*pairs]]:
                self.cursor = cursor
                self.etas += [eta_of(body) for body in pairs[1::2]]
                self.size += sum(len(part) for part in pairs if isinstance(part, bytes))
                return None
            case Failure():
                return answer
            case _:
                return GARBLED

    @property
    def page_bytes(self) -> int:
        """About the size of the next page."""
        each = self.size // len(self.etas) if self.etas else _MESSAGE_BYTES
        return self.page * each

    @property
    def page(self) -> int:
        """How many messages to ask for next."""
        if not self.etas:
            return _PAGE_FIRST
        return max(1, min(_PAGE, _PAGE_BYTES * len(self.etas) // max(self.size, 1)))


class Delays:
    """Of one broker."""

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self._clock = clock
        self._last: dict[QueueId, _Sweep] = {}  # that ended
        self._present: dict[QueueId, _Sweep] = {}  # that goes on

    async def due(self, connection: BrokerConnection, lengths: dict[QueueId, int]) -> dict[QueueId, int | Failure]:
        """How many jobs are due in each queue, given how many are delayed there (> 0)."""
        now = self._clock()
        stale = [
            queue
            for queue, length in lengths.items()
            if queue in self._present or queue not in self._last or not self._last[queue].is_current(length, now)
        ]
        # Never read ones first, then short ones: a long queue must not keep others waiting.
        stale.sort(key=lambda queue: (queue in self._last or queue in self._present, lengths[queue]))
        failed = await self._sweep(connection, stale, lengths)
        now = self._clock()
        return {queue: failed.get(queue) or self._due(queue, length, now) for queue, length in lengths.items()}

    def keep(self, queues: set[QueueId]) -> None:
        """Forget all others."""
        for cache in (self._last, self._present):
            for queue in [queue for queue in cache if queue not in queues]:
                del cache[queue]

    def _due(self, queue: QueueId, length: int, now: datetime) -> int | Failure:
        """By the last sweep that ended, and by the present one as far as it came."""
        last, present = self._last.get(queue), self._present.get(queue)
        if last is not None:
            return max(last.due(length, now), 0 if present is None else min(present.seen_due(now), length))
        if present is not None and len(present.etas) >= _ENOUGH:
            return present.due(length, now)
        return DELAYED_UNREAD

    async def _sweep(
        self, connection: BrokerConnection, queues: list[QueueId], lengths: dict[QueueId, int]
    ) -> dict[QueueId, Failure]:
        """Go on with each queue's sweep, or begin one, as far as the tick's budget allows."""
        failed: dict[QueueId, Failure] = {}
        budget, budget_bytes = _BUDGET, _BUDGET_BYTES
        rest = list(queues)
        while rest and budget > 0 and budget_bytes > 0:
            pages = self._next_pages(rest, lengths, budget)
            answers = await connection.ask([sweep.command(queue) for queue, sweep in pages])
            for (queue, sweep), answer in zip(pages, answers, strict=True):
                seen, size = len(sweep.etas), sweep.size
                failure = sweep.take(answer)
                budget -= max(1, len(sweep.etas) - seen)
                budget_bytes -= sweep.size - size
                if failure is not None:
                    failed[queue] = failure
                    del self._present[queue]
                elif sweep.cursor == b"0":
                    sweep.ended = self._clock()
                    self._last[queue] = self._present.pop(queue)
            ended = {queue for queue, _ in pages if queue not in self._present}
            rest = [queue for queue in rest if queue not in ended]
        return failed

    def _next_pages(
        self, queues: list[QueueId], lengths: dict[QueueId, int], budget: int
    ) -> list[tuple[QueueId, _Sweep]]:
        """The next page of as many queues as one exchange may ask for; at least of one."""
        pages: list[tuple[QueueId, _Sweep]] = []
        count = size = 0
        for queue in queues:
            sweep = self._present.get(queue) or _Sweep(lengths[queue])
            count += sweep.page
            size += sweep.page_bytes
            if pages and (count > min(budget, _EXCHANGE) or size > _EXCHANGE_BYTES):
                break
            self._present[queue] = sweep
            pages.append((queue, sweep))
        return pages
