"""Which process is ours. A pid alone is not enough: pids are reused, so each is kept with its start time.

Nothing in this package finds a process by its name.
"""

import os
import select
import signal
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """A process for all time: no other process can have the same three values."""

    pid: int
    start_ticks: int  # clock ticks between boot and the start of the process, field 22 of /proc/PID/stat
    boot_id: str

    def to_json(self) -> dict[str, Any]:
        """As plain data for a state file."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        """The reverse of to_json. Raises KeyError, TypeError or ValueError on data of another form."""
        return cls(pid=int(data["pid"]), start_ticks=int(data["start_ticks"]), boot_id=str(data["boot_id"]))


def identify(pid: int) -> Identity | None:
    """The identity of a running process; None when there is none, or only its zombie."""
    stat = _stat(pid)
    if stat is None or stat.state in "ZXx":  # a zombie runs nothing; where nobody reaps, it stays for ever
        return None
    return Identity(pid=pid, start_ticks=stat.start_ticks, boot_id=BOOT_ID.read_text().strip())


def children(parent: Identity) -> list[Identity]:
    """The running child processes of a process; none if it has ended."""
    if not is_alive(parent):
        return []
    stats = ((int(folder.name), _stat(int(folder.name))) for folder in Path("/proc").glob("[0-9]*"))
    pids = [pid for pid, stat in stats if stat is not None and stat.parent == parent.pid]
    return [child for pid in pids if (child := identify(pid)) is not None]


@dataclass(frozen=True, slots=True)
class Stat:
    """What we read of /proc/PID/stat."""

    state: str  # one letter
    parent: int  # pid
    start_ticks: int  # clock ticks since boot


def _stat(pid: int) -> Stat | None:
    try:
        return parse_stat(Path(f"/proc/{pid}/stat").read_text())
    except (FileNotFoundError, ProcessLookupError):
        return None


def parse_stat(stat: str) -> Stat:
    """The fields that we need from the text of /proc/PID/stat.

    The command name, field 2, may itself hold spaces and brackets, so fields are counted from the last bracket.
    """
    fields = stat[stat.rindex(")") + 1 :].split()
    return Stat(state=fields[0], parent=int(fields[1]), start_ticks=int(fields[19]))


def is_alive(identity: Identity) -> bool:
    """Whether exactly this process still runs."""
    return identify(identity.pid) == identity


def kill(identity: Identity, *, within_seconds: float = 10.0) -> None:
    """End exactly this process by SIGKILL and wait for its end; no error if it has ended already.

    The end of the first process of a PID namespace is reported by the kernel only after everything in it has ended.
    Raises TimeoutError if the kernel does not report the end in time.
    """
    try:
        # The handle is taken first and the identity checked second: a reused pid cannot slip in between.
        handle = os.pidfd_open(identity.pid)
    except ProcessLookupError:
        return
    try:
        if not is_alive(identity):
            return
        signal.pidfd_send_signal(handle, signal.SIGKILL)
        if not select.select([handle], [], [], within_seconds)[0]:
            raise TimeoutError(f"process {identity.pid} did not end within {within_seconds:g} s of SIGKILL")
    finally:
        os.close(handle)
