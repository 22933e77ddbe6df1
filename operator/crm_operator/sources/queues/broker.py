"""One broker and everybody who watches queues on it: one task, one reader, one batch of questions per tick.

Whoever is new is read at once, and nobody else with it: a thousand integrations that arrive one by one must not make
each other be read again and again.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from crm_operator.domain.key import Key
from crm_operator.domain.world import STARTING, QueueReading, Unknown
from crm_operator.sources.queues.brokers import Address
from crm_operator.sources.queues.failure import CLOSED, Failure
from crm_operator.sources.queues.history import QueueHistory
from crm_operator.sources.queues.layout import QueueId
from crm_operator.sources.queues.reader import BrokerUnread, QueueCounts, Reader
from crm_operator.sources.queues.source import QueueSource

log = logging.getLogger(__name__)

#: A broker that failed this often in a row is asked at half the pace.
_OFTEN = 5
#: Requests to read at once are gathered this long, in seconds, or as long as the last reading took if that is longer:
#: a thousand new integrations cost few readings.
_GATHER = 0.05


@dataclass(slots=True)
class Watcher:
    """One integration on this broker."""

    key: Key
    source: QueueSource  # another one of the same queues may take its place
    history: QueueHistory
    #: The reader's generation at the newest reading; None: there is none.
    generation: int | None = None
    queues: tuple[QueueId, ...] = field(init=False)

    def __post_init__(self) -> None:
        self.queues = tuple(QueueId(self.source.namespace, name) for name in self.source.names)


class Broker:
    """Created by the hub with the first watcher; `run` ends, connection closed, when the last one has left."""

    def __init__(
        self,
        address: Address,
        reader: Reader,
        *,
        on_change: Callable[[Key], None],
        clock: Callable[[], datetime],
        interval_seconds: float,
    ) -> None:
        self.address = address
        self.watchers: dict[Key, Watcher] = {}
        self._on_change = on_change
        self._clock = clock
        self._interval = interval_seconds
        self._reader = reader
        self._failure: Failure | None = None
        self._failures = 0
        self._new: dict[Key, Watcher] = {}  # not read yet
        self._took = 0.0  # seconds, the last reading
        self._wake = asyncio.Event()
        self._waiting: list[asyncio.Future[None]] = []

    def add(self, watcher: Watcher) -> None:
        """Read it at once."""
        self.watchers[watcher.key] = self._new[watcher.key] = watcher
        self._wake.set()

    def remove(self, key: Key) -> None:
        self.watchers.pop(key, None)
        self._new.pop(key, None)
        self._wake.set()

    async def refresh(self) -> None:
        """Returns when a reading that began after this call is in."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(done)
        self._wake.set()
        await done

    async def run(self) -> None:
        """Until nobody watches any more."""
        loop = asyncio.get_running_loop()
        due = loop.time()
        try:
            while self.watchers:
                await self._pause(until=due)
                if self._waiting or loop.time() >= due:
                    due = loop.time() + self._interval
                    self._reader.keep({queue for watcher in self.watchers.values() for queue in watcher.queues})
                    await self._tick(self.watchers)
                    if self._failures > _OFTEN:
                        due += self._interval
                elif self._new:
                    await self._tick(self._new)
        finally:
            self._release(self._waiting)
            await self._reader.close()

    async def _pause(self, *, until: float) -> None:
        try:
            async with asyncio.timeout_at(until):
                await self._wake.wait()
                await asyncio.sleep(max(_GATHER, self._took))
        except TimeoutError:
            pass  # the usual end: the tick is due
        self._wake.clear()

    async def _tick(self, of: Mapping[Key, Watcher]) -> None:
        waiting, self._waiting = self._waiting, []
        watchers = list(of.values())
        self._new = {}
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            found = await self._read(watchers)
        except BrokerUnread as error:
            self._say(error.failure)
            for watcher in watchers:
                self._record(watcher, self._unknown(watcher, error.failure), after_gap=True)
        else:
            self._say(None)
            generation, now = self._reader.generation, self._clock()
            for watcher in watchers:
                after_gap, watcher.generation = watcher.generation != generation, generation
                self._record(watcher, self._reading(watcher, found, now), after_gap=after_gap)
        self._took = loop.time() - began
        self._release(waiting)

    async def _read(self, watchers: Iterable[Watcher]) -> dict[QueueId, QueueCounts | Failure]:
        """A connection that was cut since the last tick is made again at once; the cut still counts as a gap."""
        queues = list(dict.fromkeys(queue for watcher in watchers for queue in watcher.queues))
        try:
            return await self._reader.read(queues)
        except BrokerUnread as error:
            if error.failure is not CLOSED or self._failure is not None:
                raise
        return await self._reader.read(queues)

    def _record(self, watcher: Watcher, reading: QueueReading | Unknown, *, after_gap: bool) -> None:
        if self.watchers.get(watcher.key) is not watcher:
            return  # left, or asks for something else by now
        if watcher.history.record(reading, after_gap=after_gap):
            self._on_change(watcher.key)

    def _reading(
        self, watcher: Watcher, found: dict[QueueId, QueueCounts | Failure], now: datetime
    ) -> QueueReading | Unknown:
        """The sum over the integration's queues; one that cannot be read makes the sum unknown."""
        counts: list[QueueCounts] = []
        for queue in watcher.queues:
            match found.get(queue):
                case QueueCounts() as seen:
                    counts.append(seen)
                case Failure() as failure:
                    return self._unknown(watcher, failure)
                case None:  # the names changed while the answer was on its way
                    return Unknown("the queue is not read yet", STARTING)
        since = [seen.oldest for seen in counts if seen.waiting]
        known = [time for time in since if time is not None]
        return QueueReading(
            waiting=sum(seen.waiting for seen in counts),
            running=sum(seen.running for seen in counts),
            delayed=sum(seen.delayed for seen in counts),
            due=sum(seen.due for seen in counts),
            dead=sum(seen.dead for seen in counts),
            orphaned=sum(seen.orphaned for seen in counts),
            # One queue that does not tell makes the age of all unknown.
            oldest_age=now - min(known) if known and len(known) == len(since) else None,
            at=now,
        )

    def _unknown(self, watcher: Watcher, failure: Failure) -> Unknown:
        return failure.unknown(field=watcher.source.field, shown=self.address.shown)

    def _say(self, failure: Failure | None) -> None:
        """One line when a broker fails in another way than before, one when it is back."""
        self._failures = 0 if failure is None else self._failures + 1
        if failure is self._failure:
            return
        if failure is None:
            log.info("Broker answers again", extra={"broker": self.address.shown})
        else:
            log.warning("Broker cannot be read", extra={"broker": self.address.shown, "reason": failure.reason})
        self._failure = failure

    @staticmethod
    def _release(waiting: list[asyncio.Future[None]]) -> None:
        for done in waiting:
            if not done.done():
                done.set_result(None)
