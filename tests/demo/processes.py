"""Real Redis and real Dramatiq workers as child processes, and waiting for what they do."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

T = TypeVar("T")

REPOSITORY = Path(__file__).resolve().parents[2]


def free_port() -> int:
    """A loopback port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def eventually(look: Callable[[], T], *, until: Callable[[T], bool], within: float) -> T:
    """Look again and again until it is so; returns what was seen. Fails with the last sight after `within` seconds.

    What is looked at lives in other processes that announce nothing, so it is asked; the pause only spares them.
    """
    deadline = time.monotonic() + within
    while True:
        seen = look()
        if until(seen):
            return seen
        if time.monotonic() > deadline:
            raise AssertionError(f"not so after {within:g} s; last seen: {seen}")
        time.sleep(0.02)


class Process:
    """A child process with its output in a file, ended at the latest when the block ends."""

    def __init__(self, command: list[str], *, output: Path, env: Mapping[str, str] | None = None) -> None:
        self._output = output
        with output.open("wb") as file:
            self._child = subprocess.Popen(
                command, stdout=file, stderr=subprocess.STDOUT, env={**os.environ, **(env or {})}, cwd=REPOSITORY
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        if self._child.poll() is None:
            self._child.send_signal(signal.SIGTERM)
            try:
                self._child.wait(timeout=30)
            except subprocess.TimeoutExpired:
                self._child.kill()
                self._child.wait()

    @property
    def pid(self) -> int:
        return self._child.pid

    @property
    def exit_code(self) -> int | None:
        return self._child.poll()

    @property
    def output(self) -> str:
        return self._output.read_text(errors="replace")

    def terminate(self) -> None:
        self._child.send_signal(signal.SIGTERM)

    def wait(self, *, within: float) -> int:
        return self._child.wait(timeout=within)


def python(*arguments: str) -> list[str]:
    return [sys.executable, *arguments]
