"""What a real `dramatiq` process runs in test_rabbitmq.py: jobs that wait for a file, and jobs that fail."""

import os
import time
from pathlib import Path

import dramatiq
from dramatiq.brokers.rabbitmq import RabbitmqBroker

dramatiq.set_broker(RabbitmqBroker(url=os.environ["TEST_BROKER_URL"]))
GO = Path(os.environ["TEST_GO_FILE"])


def sync() -> None:
    while not GO.exists():
        time.sleep(0.02)


def fail() -> None:
    raise RuntimeError("always")


dramatiq.actor(sync, queue_name="sync")
dramatiq.actor(fail, queue_name="sync", max_retries=0)
