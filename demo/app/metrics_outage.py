"""Freezes this pod's metrics endpoint, or thaws it: the outage of the story, made where it would really happen.

    kubectl exec POD -- python3 -m demo.app.metrics_outage freeze

A stopped process accepts connections (the kernel does) and never answers, the worst kind of outage for a scraper. Jobs
go on: Dramatiq serves metrics from a process of its own. A frozen one must be thawed before the pod ends, or its
parent waits for it until the grace period is over.
"""

import argparse
import os
import signal
from collections.abc import Iterator
from pathlib import Path

SIGNALS = {"freeze": signal.SIGSTOP, "thaw": signal.SIGCONT}
LISTENING = "0A"  # the state's name in /proc/net/tcp


def listening_processes(port: int) -> list[int]:
    """Pids of the processes that hold a listening TCP socket on `port`, in this network and process namespace."""
    sockets = set(_listening_sockets(port))
    return [pid for pid in _pids() if sockets.intersection(_open_files(pid))]


def _listening_sockets(port: int) -> Iterator[str]:
    for table in (Path("/proc/net/tcp"), Path("/proc/net/tcp6")):
        if not table.exists():
            continue
        for line in table.read_text().splitlines()[1:]:
            fields = line.split()
            local_address, state, inode = fields[1], fields[3], fields[9]
            if state == LISTENING and int(local_address.rsplit(":", 1)[1], 16) == port:
                yield f"socket:[{inode}]"


def _pids() -> Iterator[int]:
    return (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit())


def _open_files(pid: int) -> Iterator[str]:
    try:
        for entry in Path(f"/proc/{pid}/fd").iterdir():
            yield os.readlink(entry)
    except (FileNotFoundError, PermissionError):
        return  # it has just ended, or belongs to another user: not ours to stop


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=sorted(SIGNALS))
    parser.add_argument("--port", type=int, default=int(os.environ.get("dramatiq_prom_port", "9191")))  # noqa: SIM112
    arguments = parser.parse_args()
    pids = listening_processes(arguments.port)
    if not pids:
        raise SystemExit(f"no process of this user listens on port {arguments.port}")
    for pid in pids:
        os.kill(pid, SIGNALS[arguments.action])
    print(f"{arguments.action}: {pids}")


if __name__ == "__main__":
    main()
