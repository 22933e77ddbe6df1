"""Dramatiq as users have it: a broker with actors, workers in this process, and worker processes that can be killed."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any

import dramatiq
from dramatiq.brokers.redis import RedisBroker

from tests.redisserver import RedisServer

REPOSITORY = Path(__file__).resolve().parents[2]


class Shop:
    """Dramatiq as the users have it: an actor that waits for `go`, and one that always fails."""

    def __init__(self, server: RedisServer) -> None:
        self.broker = RedisBroker(url=server.url, namespace="test")
        self.go = threading.Event()
        go = self.go

        def sync() -> None:
            go.wait(20)

        def fail() -> None:
            raise RuntimeError("always")

        def take(seconds: float) -> None:
            raise AssertionError("for a worker process only, see actors.py")

        make = dramatiq.actor
        self.sync: Any = make(sync, broker=self.broker, queue_name="sync", actor_name="sync")
        self.take: Any = make(take, broker=self.broker, queue_name="sync", actor_name="take")
        self.fail: Any = make(fail, broker=self.broker, queue_name="sync", actor_name="fail", max_retries=0)

    def worker(self, threads: int) -> dramatiq.Worker:
        return dramatiq.Worker(self.broker, queues={"sync"}, worker_threads=threads, worker_timeout=50)


@contextmanager
def a_worker_process(
    server: RedisServer, *, environ: Mapping[str, str] = MappingProxyType({}), **settings: int
) -> Iterator[Callable[[], None]]:
    """`python -m dramatiq` on queue sync, one process with two threads; gives what kills it all, as the kernel would.

    `settings` are RedisBroker's: heartbeat_timeout in ms, maintenance_chance in millionths. With a `dramatiq_prom_port`
    in `environ` it serves Dramatiq's metrics there.
    """
    env = {"REDIS_URL": server.url, **environ, **{name: str(value) for name, value in settings.items()}}
    child = subprocess.Popen(
        [sys.executable, "-m", "dramatiq", "tests.sources.actors", "-p", "1", "-t", "2", "-Q", "sync"],
        env={**os.environ, **env},
        cwd=REPOSITORY,
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )

    def kill() -> None:
        if child.poll() is None:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()

    try:
        yield kill
    finally:
        kill()
