"""Jobs in Redis as Dramatiq stores them, many at once."""

import json
import time
import uuid

import redis


def send(broker: redis.Redis, queue: str, count: int) -> None:
    """Put `count` (> 0) jobs into the queue, in one transaction of two commands; they are sent now."""
    key, jobs = f"dramatiq:{queue}", messages(queue, count)
    pipeline = broker.pipeline(transaction=True)
    pipeline.hset(f"{key}.msgs", mapping=jobs)  # type: ignore[arg-type]  # redis-py's mapping is invariant
    pipeline.rpush(key, *jobs)
    pipeline.execute()


def messages(queue: str, count: int) -> dict[str, str]:
    """`count` messages by their ids, sent now."""
    now = int(time.time() * 1000)
    ids = [str(uuid.uuid4()) for _ in range(count)]
    return {
        job: json.dumps(
            {
                "queue_name": queue,
                "actor_name": "sync_contact",
                "args": ["1"],
                "kwargs": {},
                "options": {"redis_message_id": job},
                "message_id": job,
                "message_timestamp": now,
            }
        )
        for job in ids
    }
