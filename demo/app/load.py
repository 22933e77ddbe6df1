"""The load generator: real Dramatiq messages at a rate, in bursts, or both, each one recorded in the ledger.

python -m demo.app.load --rate 20 --for 60
python -m demo.app.load --burst 500
"""

import argparse
import itertools
import os
import signal
import threading
import time
from types import FrameType, TracebackType
from typing import Self

from dramatiq import Message
from dramatiq.brokers.redis import RedisBroker

from demo.app.ledger import Ledger
from demo.app.settings import ACTOR, BrokerSettings

CONTACTS = 5_000
#: Jobs sent between two entries in the ledger.
CHUNK = 100


class LoadGenerator:
    """Sends jobs from a thread of its own (`start`) and from the caller's (`burst`), also at the same time.

    An error of the thread ends it and is raised by the next call, `stop` included: a story or a benchmark that lost
    its load must not go on as if nothing happened.
    """

    def __init__(self, settings: BrokerSettings) -> None:
        self._settings = settings
        self._broker = RedisBroker(url=settings.redis_url, namespace=settings.namespace, middleware=[])
        self._broker.declare_queue(settings.queue)
        self._ledger = Ledger.connect(settings)
        self._contacts = itertools.count()
        self._lock = threading.Lock()
        self._enqueued = 0
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._error: Exception | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._end_thread()
        self._ledger.close()
        self._broker.client.close()

    @property
    def enqueued(self) -> int:
        """Jobs that the broker took from this generator so far."""
        return self._enqueued

    @property
    def failed(self) -> bool:
        """Whether the steady load ended by an error, which the next call will raise."""
        return self._error is not None

    def start(self, rate: float) -> None:
        """Send `rate` jobs per second (> 0) until `stop`. A second call changes the rate."""
        if rate <= 0:
            raise ValueError(f"rate {rate:g} is not above 0; call stop() to send nothing")
        self._end_thread()
        self._raise_error()
        self._stopping.clear()
        self._thread = threading.Thread(target=self._run, args=(rate,), name="load", daemon=True)
        self._thread.start()

    def burst(self, jobs: int) -> None:
        """Send so many jobs now, as fast as Redis takes them (some 4,000 per second on two cores)."""
        self._raise_error()
        self._send(jobs)

    def stop(self) -> int:
        """End the steady load; returns how many jobs were enqueued in all. The generator can be started again."""
        self._end_thread()
        self._raise_error()
        return self._enqueued

    def _run(self, rate: float) -> None:
        # By schedule, not by pauses: the rate holds however long a send takes.
        began, sent = time.monotonic(), 0
        try:
            while not self._stopping.is_set():
                due = int((time.monotonic() - began) * rate) + 1
                self._send(due - sent)
                sent = due
                self._stopping.wait(began + sent / rate - time.monotonic())
        except Exception as error:  # noqa: BLE001  # handed to the owner by _raise_error
            self._error = error

    def _send(self, jobs: int) -> None:
        for first in range(0, jobs, CHUNK):
            sent: list[str] = []
            try:
                for _ in range(min(CHUNK, jobs - first)):
                    sent.append(self._send_one())
            finally:
                self._ledger.enqueued(sent)
                with self._lock:
                    self._enqueued += len(sent)

    def _send_one(self) -> str:
        contact = str(next(self._contacts) % CONTACTS + 1)
        message: Message[None] = Message(
            queue_name=self._settings.queue, actor_name=ACTOR, args=(contact,), kwargs={}, options={}
        )
        self._broker.enqueue(message)
        return str(message.message_id)

    def _end_thread(self) -> None:
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def _raise_error(self) -> None:
        if self._error is not None:
            raise RuntimeError(f"the load stopped after {self._enqueued} jobs: {self._error}") from self._error


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rate", type=float, default=0, metavar="N", help="jobs per second")
    parser.add_argument(
        "--for", dest="seconds", type=float, metavar="SECONDS", help="how long (default: until stopped)"
    )
    parser.add_argument("--burst", type=int, default=0, metavar="N", help="jobs to send at once, at the start")
    arguments = parser.parse_args()
    if not arguments.rate and not arguments.burst:
        parser.error("nothing to send: give --rate, --burst or both")
    stopped = threading.Event()

    def stop(signum: int, frame: FrameType | None) -> None:
        stopped.set()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    with LoadGenerator(BrokerSettings.from_env(os.environ)) as load:
        if arguments.burst:
            began = time.time()
            load.burst(arguments.burst)
            # Seconds since the epoch: who measures a reaction to the burst was not there when it was sent.
            print(f"sent {arguments.burst} jobs from {began:.3f} to {time.time():.3f}", flush=True)
        if arguments.rate:
            load.start(arguments.rate)
            stopped.wait(arguments.seconds)
        print(f"enqueued {load.stop()} jobs", flush=True)


if __name__ == "__main__":
    main()
