"""How the launcher tells what it is doing. Always on stderr: stdout is for answers.

The first build takes minutes, so something must move all the time: `busy` is called about once a second. On a
terminal that is a spinner; elsewhere (CI logs) a line every 15 seconds.
"""

import sys
import time
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Protocol, Self, TextIO

from rich.console import Console
from rich.status import Status

PLAIN_BUSY_EVERY_SECONDS = 15.0


class Progress(Protocol):
    """What the launcher reports to."""

    def step(self, text: str) -> None:
        """Something is done or begins: one lasting line."""

    def busy(self, text: str) -> None:
        """Still at it: may be shown for a moment, or not at all."""


class PlainProgress:
    """Lines for logs and pipes."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream
        self._last = time.monotonic()

    def step(self, text: str) -> None:
        """Print the line at once."""
        self._last = time.monotonic()
        # Looked up late, so that a test runner that replaces sys.stderr captures it.
        print(f"cluster: {text}", file=self._stream or sys.stderr, flush=True)

    def busy(self, text: str) -> None:
        """Print the line if nothing was said for a while."""
        if time.monotonic() - self._last >= PLAIN_BUSY_EVERY_SECONDS:
            self.step(text)


class TerminalProgress(AbstractContextManager["TerminalProgress"]):
    """A spinner with lasting lines above it."""

    def __init__(self) -> None:
        self._console = Console(stderr=True, highlight=False)
        self._status: Status = self._console.status("")

    def __enter__(self) -> Self:
        self._status.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._status.stop()

    def step(self, text: str) -> None:
        """Print above the spinner."""
        self._console.print(text, markup=False)
        self._status.update("")

    def busy(self, text: str) -> None:
        """Show beside the spinner."""
        self._status.update(text)


class NoProgress:
    """Says nothing."""

    def step(self, text: str) -> None:
        """Ignore the line."""

    def busy(self, text: str) -> None:
        """Ignore the line."""
