"""What the audience sees: lines with the time since the start, and on a terminal a moving line for what is awaited.

Elsewhere (a pipe, a CI log) the same lines without colours, cursor movements or anything redrawn, and a word every 15
seconds while something takes long. It is also the Progress that the cluster launcher and the image builder report to.
"""

import sys
import time
from collections.abc import Sequence

from rich.console import Console
from rich.status import Status
from rich.text import Text

PLAIN_WIDTH = 140
PLAIN_BUSY_EVERY_SECONDS = 15.0
#: Lines of a command's output that are shown; the rest is counted.
SHOWN_LINES = 12


class Narrator:
    """Prints to stdout. Close it, or the terminal keeps a spinner."""

    def __init__(self, console: Console | None = None) -> None:
        terminal = sys.stdout.isatty()
        self._console = console or Console(
            force_terminal=terminal, width=None if terminal else PLAIN_WIDTH, highlight=False, soft_wrap=True
        )
        self._began = self._spoke = time.monotonic()
        self._status: Status | None = None

    @property
    def elapsed(self) -> float:
        """Seconds since the narration began."""
        return time.monotonic() - self._began

    def chapter(self, title: str) -> None:
        """A new part of the story."""
        self.idle()
        self._print("")
        self._print(title, style="bold cyan")

    def step(self, text: str) -> None:
        """Something happened or begins."""
        self._line("·", text, mark_style="dim")

    def passed(self, text: str) -> None:
        """A check held."""
        self._line("✔", text, mark_style="bold green")

    def failed(self, text: str) -> None:
        """A check did not hold, or the story cannot go on."""
        self.idle()
        self._line("✘", text, mark_style="bold red", style="red")

    def command(self, text: str) -> None:
        """A command as a user would type it."""
        self._line("$", text, mark_style="dim", style="bold")

    def output(self, text: str) -> None:
        """What a command printed."""
        lines = text.rstrip().splitlines()
        for line in lines[:SHOWN_LINES]:
            self._print(f"         {line}", style="dim")
        if len(lines) > SHOWN_LINES:
            self._print(f"         ... {len(lines) - SHOWN_LINES} more lines", style="dim")

    def plain(self, lines: Sequence[str]) -> None:
        """Lines as they are."""
        self.idle()
        for line in lines:
            self._print(line)

    def busy(self, text: str) -> None:
        """Still waiting: redrawn on a terminal, elsewhere a line when nothing was said for long."""
        if self._console.is_terminal and not self._console.is_dumb_terminal:
            # Cut, because a line that wraps is not redrawn in place.
            shown = Text(text[: max(20, self._console.width - 12)], style="dim")
            if self._status is None:
                self._status = self._console.status(shown)
                self._status.start()
            else:
                self._status.update(shown)
        elif time.monotonic() - self._spoke >= PLAIN_BUSY_EVERY_SECONDS:
            self.step(f"waiting: {text}")

    def idle(self) -> None:
        """Nothing is awaited any more."""
        if self._status is not None:
            self._status.stop()
            self._status = None

    def _line(self, mark: str, text: str, *, mark_style: str, style: str = "") -> None:
        minutes, seconds = divmod(int(self.elapsed), 60)
        self._print(Text.assemble((f"{minutes:3}:{seconds:02} ", "dim"), (mark, mark_style), " ", (text, style)))

    def _print(self, text: str | Text, *, style: str = "") -> None:
        self._spoke = time.monotonic()
        self._console.print(text, style=style, markup=False, soft_wrap=True)
