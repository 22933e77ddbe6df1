"""Errors of the launcher. Each message is a sentence for the person at the terminal, with what to do next.

ClusterError
├── ComponentFailed     a component ended or never became ready; carries the end of its log
└── MissingRequirement  the machine lacks something that the launcher cannot bring by itself
"""

from pathlib import Path


class ClusterError(Exception):
    """A cluster could not be started, found or stopped."""


class MissingRequirement(ClusterError):
    """The machine lacks something; the message names it and the remedy."""


class ComponentFailed(ClusterError):
    """One component is to blame; the message ends with the last lines of its log."""

    def __init__(self, component: str, why: str, log: Path) -> None:
        self.component = component
        self.log = log
        super().__init__(f"{component}: {why}\n--- end of {log}\n{log_tail(log)}")


def log_tail(log: Path, lines: int = 25) -> str:
    """The last `lines` lines of a log, or a note in brackets when there is none."""
    try:
        text = log.read_text(errors="replace")
    except FileNotFoundError:
        return "(no log was written)"
    return "\n".join(text.splitlines()[-lines:]) or "(the log is empty)"
