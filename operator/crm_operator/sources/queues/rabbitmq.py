"""Dramatiq's queues on RabbitMQ, as its management API counts them.

Facts, measured with RabbitMQ 3.10 and Dramatiq 2.2: `Q` holds ready and unacknowledged messages, `Q.DQ` delayed ones
(unacknowledged while a worker keeps them in memory until they are due, ready while there is no worker), `Q.XQ` dead
ones. Asked with `disable_stats` and `enable_queue_totals`, the API lets the queues count at that moment; its usual
numbers are statistics, 3 to 9 seconds old with RabbitMQ's default settings, and absent where statistics are switched
off. Brokers that do not know the two parameters (before 3.8) answer with those statistics.
Called by `broker` once a tick.
"""

from collections.abc import Collection, Iterator, Mapping
from typing import Any, NamedTuple, TypeGuard
from urllib.parse import quote, urlencode

from crm_operator.sources.address import AddressPolicy
from crm_operator.sources.queues.failure import Failure
from crm_operator.sources.queues.layout import QueueId
from crm_operator.sources.queues.management import GARBLED, ManagementClient
from crm_operator.sources.queues.management_address import ManagementAddress
from crm_operator.sources.queues.reader import BrokerUnread, QueueCounts

#: The API's own limit of a page, in queues. A request never asks for more, so there is no second page.
_PAGE = 500
#: Names in one request: each stands for three queues, and the request line has to fit RabbitMQ's limit of 8000 bytes.
_NAMES_MAX, _PATTERN_MAX = _PAGE // 3, 4000

NOT_COUNTED = Failure(
    "QueueNotCounted", "RabbitMQ gives no counts for a queue; check that the node and virtual host it lives on run"
)


class Depth(NamedTuple):
    """Messages in one queue of RabbitMQ."""

    ready: int
    unacknowledged: int

    @property
    def total(self) -> int:
        return self.ready + self.unacknowledged


EMPTY = Depth(0, 0)


class RabbitReader:
    """A `Reader`. RabbitMQ needs seconds to start, so that a restart makes a read fail: one generation is enough."""

    generation = 0

    def __init__(self, address: ManagementAddress, *, policy: AddressPolicy, timeout_seconds: float) -> None:
        self._path = f"/api/queues/{quote(address.vhost, safe='')}"
        self._client = ManagementClient(address, policy=policy, timeout_seconds=timeout_seconds)

    async def read(self, queues: Collection[QueueId]) -> dict[QueueId, QueueCounts | Failure]:
        """One request, or a few for hundreds of queues. Raises BrokerUnread."""
        depths: dict[str, Depth | Failure] = {}
        for pattern in name_patterns({queue.name for queue in queues}):
            depths |= depths_of(await self._client.get(f"{self._path}?{_query(pattern)}"))
        return {queue: counts_of(queue.name, depths) for queue in queues}

    def keep(self, queues: Collection[QueueId]) -> None:
        """Nothing is remembered."""

    async def close(self) -> None:
        await self._client.close()


def name_patterns(names: Collection[str]) -> Iterator[str]:
    """Regular expressions that together match exactly `names`, their delay queues and their dead-letter queues."""
    batch: list[str] = []
    size = 0
    for name in sorted(names):
        escaped = name.replace(".", r"\.")  # the only special character that a Dramatiq name can have
        cost = len(quote(f"|{escaped}"))
        if batch and (len(batch) == _NAMES_MAX or size + cost > _PATTERN_MAX):
            yield _pattern(batch)
            batch, size = [], 0
        batch.append(escaped)
        size += cost
    if batch:
        yield _pattern(batch)


def _pattern(batch: list[str]) -> str:
    return rf"^(?:{'|'.join(batch)})(?:\.[DX]Q)?$"


def _query(pattern: str) -> str:
    return urlencode(
        {
            "disable_stats": "true",
            "enable_queue_totals": "true",
            "columns": "name,messages_ready,messages_unacknowledged",
            "page": 1,
            "page_size": _PAGE,
            "use_regex": "true",
            "name": pattern,
        }
    )


def depths_of(content: Any) -> dict[str, Depth | Failure]:
    """Queues by name from the API's answer; raises BrokerUnread if it is none, or not all of it."""
    match content:
        case {"items": [*items], "filtered_count": int(count)} if count == len(items):
            return dict(_depth_of(item) for item in items)
        case _:
            raise BrokerUnread(GARBLED)


def _depth_of(item: Any) -> tuple[str, Depth | Failure]:
    match item:
        case {"name": str(name), "messages_ready": ready, "messages_unacknowledged": unacknowledged}:
            counted = _is_count(ready) and _is_count(unacknowledged)
            return name, Depth(ready, unacknowledged) if counted else NOT_COUNTED
        case {"name": str(name)}:
            return name, NOT_COUNTED
        case _:
            raise BrokerUnread(GARBLED)


def _is_count(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def counts_of(name: str, depths: Mapping[str, Depth | Failure]) -> QueueCounts | Failure:
    """The Dramatiq queue `name`. A queue that does not exist is empty: workers and producers make theirs themselves.

    When delayed jobs are due cannot be read without taking them, so while there are any, one counts as due. Without it
    a queue of nothing but delayed jobs would strand at zero workers; with it one worker runs, moves each job to the
    queue when its time has come, and the rest follows from there.
    """
    found: list[Depth] = []
    for queue in (name, f"{name}.DQ", f"{name}.XQ"):
        depth = depths.get(queue, EMPTY)
        if isinstance(depth, Failure):
            return depth
        found.append(depth)
    ready, delayed, dead = found
    return QueueCounts(
        waiting=ready.ready,
        running=ready.unacknowledged,
        delayed=delayed.total,
        due=min(1, delayed.total),
        dead=dead.total,
    )
