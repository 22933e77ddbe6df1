"""What docs/rollout.md offers to those whose workers are to stop at once, tried on a real Dramatiq worker."""

import re
import signal
import textwrap
from collections.abc import Iterator
from types import FrameType
from typing import Any

import dramatiq
import pytest
from dramatiq.brokers.stub import StubBroker

from tests.demo.processes import REPOSITORY, eventually


@pytest.fixture
def told() -> Iterator[list[int]]:
    """The signals that came to the handler which was there before, as Dramatiq's own is."""
    signals: list[int] = []

    def note(number: int, _: FrameType | None) -> None:
        signals.append(number)

    was = signal.signal(signal.SIGTERM, note)
    yield signals
    signal.signal(signal.SIGTERM, was)


def test_the_threads_of_a_worker_with_the_middleware_end_at_its_sigterm(told: list[int]) -> None:
    page = (REPOSITORY / "docs/rollout.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)  ```", page, re.DOTALL)
    offered: dict[str, Any] = {"__name__": "docs"}
    exec(textwrap.dedent(code), offered)
    broker = StubBroker(middleware=[offered["StopAtOnce"]()])
    worker = dramatiq.Worker(broker, worker_threads=2, worker_timeout=50)
    worker.start()
    try:
        eventually(lambda: [thread.running for thread in worker.workers], until=all, within=10)
        signal.raise_signal(signal.SIGTERM)
        assert told == [signal.SIGTERM], "Dramatiq ends the worker after that, as ever"
        eventually(
            lambda: [thread.is_alive() for thread in worker.workers], until=lambda alive: not any(alive), within=10
        )
    finally:
        worker.stop()
