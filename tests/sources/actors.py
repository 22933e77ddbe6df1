"""The module of a worker process in tests: one actor, whose jobs take as long as their message says."""

import os
import time

import dramatiq
from dramatiq.brokers.redis import RedisBroker
from dramatiq.middleware.prometheus import Prometheus

SETTINGS = ("heartbeat_timeout", "maintenance_chance")

dramatiq.set_broker(
    RedisBroker(
        url=os.environ["REDIS_URL"],
        namespace="test",
        **{name: int(os.environ[name]) for name in SETTINGS if name in os.environ},
    )
)
if "dramatiq_prom_port" in os.environ:
    dramatiq.get_broker().add_middleware(Prometheus())


dramatiq.actor(time.sleep, queue_name="sync", actor_name="take")
