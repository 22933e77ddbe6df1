"""All queues of all integrations. The controller says what to watch; readings arrive once a second.

Every broker has a task of its own, so a frozen one delays no other. Everything runs in one event loop, so there are
no locks: `watch`, `forget`, `view` and `evidence` never wait.
"""

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta

from crm_operator.api.v1alpha1 import Guard
from crm_operator.domain.key import Key
from crm_operator.domain.world import STARTING, Evidence, QueueReading, QueueView, Unknown
from crm_operator.sources.address import AddressPolicy
from crm_operator.sources.queues.broker import Broker, Watcher
from crm_operator.sources.queues.brokers import Address, address_of, reader_for
from crm_operator.sources.queues.history import QueueHistory
from crm_operator.sources.queues.source import QueueSource

_NOT_WATCHED = Unknown("the queue is not read yet", STARTING)


class QueueHub:
    """`on_change(key)` is called in the event loop when a reading differs from the one before; it must not block."""

    def __init__(
        self,
        *,
        policy: AddressPolicy,
        on_change: Callable[[Key], None],
        clock: Callable[[], datetime],
        interval: timedelta = timedelta(seconds=1),
        timeout: timedelta = timedelta(seconds=1),
    ) -> None:
        self._policy = policy
        self._on_change = on_change
        self._clock = clock
        self._interval = interval
        self._timeout = timeout
        self._sources: dict[Key, QueueSource | Unknown] = {}
        self._broker_of: dict[Key, Broker] = {}
        self._unread: dict[Key, Unknown] = {}  # those that have no broker, and why
        self._brokers: dict[Address, Broker] = {}
        self._arrived: asyncio.Queue[Broker] = asyncio.Queue()

    def watch(self, key: Key, source: QueueSource | Unknown) -> None:
        """Read `source` for `key` from now on; an Unknown says why there is nothing to read. Cheap when unchanged."""
        before = self._sources.get(key)
        if before == source:
            return
        self._sources[key] = source
        if isinstance(source, Unknown):
            self._give_up(key, source)
            return
        address = address_of(source, namespace=key.namespace, policy=self._policy)
        if isinstance(address, Unknown):
            self._give_up(key, address)
            return
        self._unread.pop(key, None)
        watcher = self._watcher_of(key)
        if watcher is not None and self._broker_of[key].address == address and _same_queues(before, source):
            watcher.source = source
            watcher.history.set_window(source.window)
            return
        self._leave(key)
        self._join(key, source, address)

    def forget(self, key: Key) -> None:
        """The integration is gone."""
        self._sources.pop(key, None)
        self._unread.pop(key, None)
        self._leave(key)

    def view(self, key: Key) -> QueueView:
        """The newest reading. Never waits; a reading that is too old is an Unknown."""
        history = self._fresh_history(key)
        return QueueView(latest=history) if isinstance(history, Unknown) else history.view()

    def evidence(self, key: Key, guard: Guard) -> Evidence:
        """What a guard with metric.from = queue reads; never by revision, a queue does not know them."""
        history = self._fresh_history(key)
        return Evidence(overall=history) if isinstance(history, Unknown) else history.evidence(guard)

    async def refresh(self, key: Key) -> None:
        """Wait for a reading that began after this call, good or not. Needs `run` to run."""
        broker = self._broker_of.get(key)
        if broker is not None:
            await broker.refresh()

    async def run(self) -> None:
        """Read until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            while True:
                broker = await self._arrived.get()
                tasks.create_task(broker.run(), name=f"broker {broker.address.shown}")

    def _fresh_history(self, key: Key) -> QueueHistory | Unknown:
        watcher = self._watcher_of(key)
        if watcher is None:
            return self._unread.get(key, _NOT_WATCHED)
        latest = watcher.history.latest
        limit = max(3 * self._interval, timedelta(seconds=3)) + self._timeout
        if isinstance(latest, QueueReading) and self._clock() - latest.at > limit:
            return Unknown(f"{watcher.source.field}: no reading for over {limit.total_seconds():g}s", "Stale")
        return watcher.history

    def _watcher_of(self, key: Key) -> Watcher | None:
        broker = self._broker_of.get(key)
        return None if broker is None else broker.watchers.get(key)

    def _give_up(self, key: Key, why: Unknown) -> None:
        self._leave(key)
        self._unread[key] = why

    def _join(self, key: Key, source: QueueSource, address: Address) -> None:
        broker = self._brokers.get(address)
        if broker is None:
            reader = reader_for(
                address, policy=self._policy, clock=self._clock, timeout_seconds=self._timeout.total_seconds()
            )
            broker = Broker(
                address,
                reader,
                on_change=self._on_change,
                clock=self._clock,
                interval_seconds=self._interval.total_seconds(),
            )
            self._brokers[address] = broker
            self._arrived.put_nowait(broker)
        broker.add(Watcher(key, source, QueueHistory(window=source.window)))
        self._broker_of[key] = broker

    def _leave(self, key: Key) -> None:
        broker = self._broker_of.pop(key, None)
        if broker is None:
            return
        broker.remove(key)
        if not broker.watchers:
            # It ends on its own; whoever comes back later gets a new one.
            del self._brokers[broker.address]


def _same_queues(before: QueueSource | Unknown | None, now: QueueSource) -> bool:
    return isinstance(before, QueueSource) and (before.namespace, before.names) == (now.namespace, now.names)
