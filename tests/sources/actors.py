"""The module of a worker process in tests: one actor, whose jobs take as long as their message says."""

import os
import time

import dramatiq
from dramatiq.brokers.redis import RedisBroker

SETTINGS = ("heartbeat_timeout", "maintenance_chance")

dramatiq.set_broker(
    RedisBroker(
        url=os.environ["REDIS_URL"],
        namespace="test",
        **{name: int(os.environ[name]) for name in SETTINGS if name in os.environ},
    )
)


dramatiq.actor(time.sleep, queue_name="sync", actor_name="take")
