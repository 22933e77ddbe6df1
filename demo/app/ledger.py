"""Which jobs were accepted and which were finished, by message id, in Redis beside the queue.

Counts alone cannot show that nothing was lost: one lost job and one job done twice add up. Ids can. The ledger's keys
have a prefix of their own, so that it never looks like a part of the broker's data.
"""

from collections.abc import Sequence

import redis

from demo.app.settings import BrokerSettings


class Ledger:
    """Writes and names the two keys. Reading them together with the queue is `tally`'s business."""

    def __init__(self, client: redis.Redis, *, namespace: str, queue: str) -> None:
        self._client = client
        prefix = f"crm-demo:{namespace}:{queue}"
        #: Set of message ids that the broker accepted.
        self.enqueued_key = f"{prefix}:enqueued"
        #: Hash of message id -> how often the job came to its end; above 1 is a duplicate.
        self.done_key = f"{prefix}:done"

    @classmethod
    def connect(cls, settings: BrokerSettings) -> "Ledger":
        client = redis.Redis.from_url(settings.redis_url)
        return cls(client, namespace=settings.namespace, queue=settings.queue)

    def enqueued(self, message_ids: Sequence[str]) -> None:
        """Record jobs after the broker took them: what is recorded must be found again by the tally."""
        if message_ids:
            self._client.sadd(self.enqueued_key, *message_ids)

    def done(self, message_id: str) -> int:
        """Record one finished job; returns how often it has been finished, so 2 or more means a duplicate."""
        return self._client.hincrby(self.done_key, message_id, 1)

    def clear(self) -> None:
        """Forget all of this queue's jobs."""
        self._client.delete(self.enqueued_key, self.done_key)

    def close(self) -> None:
        self._client.close()
