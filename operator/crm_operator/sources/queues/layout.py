"""How Dramatiq keeps its queues in Redis: names of keys, and the fields of a message that say something about time.

Facts, measured against Dramatiq 2.2 (`ns` is the broker's namespace, `Q` a queue):
`ns:Q` lists ready ids; `ns:Q.msgs` holds ready and unacknowledged messages, `ns:Q.DQ.msgs` delayed ones, `ns:Q.XQ` dead
ones by time. `LLEN ns:Q.DQ` says nothing: workers pull delayed ids into memory. `ns:__acks__.ID.Q` are the ids that
process ID has fetched and not acknowledged; `ns:__heartbeats__` has every process, producers too, by the time of its
last command in ms. A missing key is an empty one.
"""

import json
from typing import Any, NamedTuple, TypeGuard


class QueueId(NamedTuple):
    """One Dramatiq queue on a broker."""

    namespace: str
    name: str

    @property
    def key(self) -> str:
        """The list of ready ids."""
        return f"{self.namespace}:{self.name}"

    @property
    def messages(self) -> str:
        """The hash of ready and unacknowledged messages."""
        return f"{self.key}.msgs"

    @property
    def delayed(self) -> str:
        """The hash of delayed messages."""
        return f"{self.key}.DQ.msgs"

    @property
    def dead(self) -> str:
        """The sorted set of dead-lettered ids."""
        return f"{self.key}.XQ"

    def acks(self, process: bytes) -> bytes:
        """The set of ids that a process has fetched from here."""
        return b"%s:__acks__.%s.%s" % (self.namespace.encode(), process, self.name.encode())


def heartbeats(namespace: str) -> str:
    """The sorted set of all processes by the time of their last command, in ms since the epoch."""
    return f"{namespace}:__heartbeats__"


def enqueued_at(body: Any) -> float | None:
    """When a message was enqueued, or enqueued again by a retry, in seconds since the epoch.

    None if it cannot be told: Dramatiq's encoder is pluggable, and only JSON, its default, is read here.
    """
    message = _decoded(body)
    options = message.get("options")
    again = options.get("requeue_timestamp") if isinstance(options, dict) else None
    times = [time for time in (message.get("message_timestamp"), again) if _is_number(time)]
    return max(times) / 1000 if times else None


def eta_of(body: Any) -> float:
    """When a delayed message is due, in seconds since the epoch; one that cannot be read is due now."""
    options = _decoded(body).get("options")
    eta = options.get("eta") if isinstance(options, dict) else None
    return eta / 1000 if _is_number(eta) else 0.0


def _is_number(value: Any) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e14


def _decoded(body: Any) -> dict[str, Any]:
    try:
        message = json.loads(body) if isinstance(body, bytes) else None
    except (ValueError, RecursionError):
        return {}
    return message if isinstance(message, dict) else {}
