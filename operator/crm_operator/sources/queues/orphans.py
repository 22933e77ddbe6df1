"""Jobs that workers had fetched and hold no more, because they died: killed, evicted, or stopped before they were done.

A running worker takes them back, sooner or later (docs/scaling.md). Until then they count as running, which keeps a
worker alive. Used by `dramatiq`; what is said here changes no size.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta

from crm_operator.sources.queues.connection import BrokerConnection, Command
from crm_operator.sources.queues.failure import GARBLED, Failure
from crm_operator.sources.queues.layout import QueueId, heartbeats

#: Dramatiq's own default of `heartbeat_timeout`. What a broker was told instead is in no key.
HEARTBEAT_TIMEOUT = timedelta(seconds=60)
#: Looked for this often: nothing is decided on it.
_INTERVAL = timedelta(seconds=5)
#: Dead processes looked at per namespace, the latest first. Producers that ended are among them, and hold nothing.
_PROCESSES = 200
#: Sets looked at per tick; the other queues follow in the next ticks.
_BUDGET = 2000


class Orphans:
    """Of one broker."""

    def __init__(self) -> None:
        self._found: dict[QueueId, tuple[datetime, int]] = {}

    async def count(
        self, connection: BrokerConnection, running: Mapping[QueueId, int], now: datetime
    ) -> dict[QueueId, int | Failure]:
        """How many of each queue's `running` jobs (>= 0) are held by the dead; a moment old where others came first."""
        for queue in [queue for queue, jobs in running.items() if not jobs]:
            self._found.pop(queue, None)
        running = {queue: jobs for queue, jobs in running.items() if jobs}
        due = [queue for queue in running if queue not in self._found or now - self._found[queue][0] >= _INTERVAL]
        due.sort(key=lambda queue: (queue in self._found, self._found.get(queue, (now, 0))[0]))
        failed = await self._look(connection, due, now) if due else {}
        return {
            queue: failed.get(queue) or min(self._found.get(queue, (now, 0))[1], most)
            for queue, most in running.items()
        }

    def keep(self, queues: set[QueueId]) -> None:
        """Forget all others."""
        for queue in [queue for queue in self._found if queue not in queues]:
            del self._found[queue]

    async def _look(self, connection: BrokerConnection, queues: list[QueueId], now: datetime) -> dict[QueueId, Failure]:
        namespaces = list(dict.fromkeys(queue.namespace for queue in queues))
        until = int((now - HEARTBEAT_TIMEOUT).timestamp() * 1000)
        answers = await connection.ask(
            [("ZREVRANGEBYSCORE", heartbeats(name), until, "-inf", "LIMIT", 0, _PROCESSES) for name in namespaces]
        )
        dead = dict(zip(namespaces, answers, strict=True))
        failed: dict[QueueId, Failure] = {}
        commands: list[Command] = []
        owners: list[QueueId] = []
        sums: dict[QueueId, int] = {}
        for queue in queues:
            processes = dead[queue.namespace]
            if not isinstance(processes, list):
                failed[queue] = processes if isinstance(processes, Failure) else GARBLED
                continue
            if len(commands) + len(processes) > _BUDGET:
                continue
            sums[queue] = 0
            for process in processes:
                commands.append(("SCARD", queue.acks(process)))
                owners.append(queue)
        for queue, held in zip(owners, await connection.ask(commands) if commands else (), strict=True):
            if isinstance(held, int):
                sums[queue] += held
            else:
                failed[queue] = held if isinstance(held, Failure) else GARBLED
        self._found.update({queue: (now, total) for queue, total in sums.items()})
        return failed
