"""Queue lengths, straight from the broker. `QueueHub` is what the controller uses; the rest serves it."""

from crm_operator.sources.queues.hub import QueueHub
from crm_operator.sources.queues.source import QueueSource

__all__ = ["QueueHub", "QueueSource"]
