"""Client of the supervisor: starts it, starts and stops components through it, waits for them to be ready."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dev.cluster import processes
from dev.cluster.config import READY_WITHIN_SECONDS
from dev.cluster.errors import ClusterError, ComponentFailed
from dev.cluster.waiting import wait_until

SCRIPT = Path(__file__).with_name("supervisor.py")


@dataclass(frozen=True, slots=True)
class Component:
    """One program of the cluster."""

    name: str
    argv: Sequence[str | Path]


@dataclass(frozen=True, slots=True)
class Status:
    """What the supervisor says of a component."""

    pid: int | None  # as the supervisor sees it: in a node tier, the pid inside the namespace; None: it has ended
    exit: int | None  # exit code, negative for a signal; None while it runs
    log: Path


class Supervisor:
    """The components of one cluster. The supervisor itself is a process of its own and outlives this object."""

    def __init__(self, work: Path) -> None:
        self._work = work
        self._socket = work / "supervisor.sock"
        self._record = work / "supervisor.json"

    @property
    def identity(self) -> processes.Identity | None:
        """The recorded supervisor, running or not; None when none was ever started in this work folder."""
        try:
            return processes.Identity.from_json(json.loads(self._record.read_text()))
        except FileNotFoundError:
            return None

    @property
    def alive(self) -> bool:
        """Whether the recorded supervisor runs."""
        return (identity := self.identity) is not None and processes.is_alive(identity)

    def launch(self, *, isolated: bool) -> None:
        """Start the supervisor, detached; `isolated` gives it namespaces of its own. Raises ComponentFailed."""
        log = self._log("supervisor")
        with log.open("ab") as stderr:
            starter = subprocess.Popen(
                # -I -S: nothing of the caller's environment or site-packages can change what this process does.
                [sys.executable, "-I", "-S", str(SCRIPT), str(self._socket), "isolated" if isolated else "plain"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                start_new_session=True,
                text=True,
            )
        assert starter.stdin is not None
        assert starter.stdout is not None
        with starter.stdin, starter.stdout:
            pid = starter.stdout.readline()
            starter.wait()
            identity = processes.identify(int(pid)) if pid.strip() else None
            if identity is None:
                raise ComponentFailed("supervisor", "could not start", log)
            write_json(self._record, identity.to_json())
            starter.stdin.write("go\n")
            starter.stdin.flush()
            if starter.stdout.readline() != "ready\n":
                raise ComponentFailed("supervisor", "did not become ready", log)

    def start(self, component: Component, *, environment: Mapping[str, str] | None = None) -> None:
        """Start a component. Raises ClusterError if it runs already."""
        # Only what programs need to find others: no proxy, KUBECONFIG or token of the caller reaches a component.
        env = {"PATH": os.environ.get("PATH", "/usr/sbin:/usr/bin:/sbin:/bin"), "HOME": str(self._work)}
        spec = {
            "argv": [str(word) for word in component.argv],
            "env": {**env, **(environment or {})},
            "log": str(self._log(component.name)),
        }
        self._ask({"verb": "start", "name": component.name, "spec": spec})

    def start_again(self, name: str) -> None:
        """Start a stopped component as it was started before. Raises ClusterError if it runs or was never started."""
        self._ask({"verb": "start", "name": name})

    def signal(self, name: str, number: signal.Signals) -> None:
        """Send a signal to a component. Raises ClusterError if it does not run."""
        self._ask({"verb": "signal", "name": name, "signal": int(number)})

    def stop(self, name: str, *, within_seconds: float) -> None:
        """SIGTERM, and SIGKILL when the time is over; returns when the component has ended."""
        self.signal(name, signal.SIGTERM)
        try:
            wait_until(lambda: self.statuses()[name].pid is None, f"the end of {name}", within_seconds=within_seconds)
        except TimeoutError:
            self.kill(name)

    def kill(self, name: str) -> None:
        """SIGKILL; returns when the component has ended."""
        self.signal(name, signal.SIGKILL)
        wait_until(lambda: self.statuses()[name].pid is None, f"the end of {name}", within_seconds=10.0)

    def statuses(self) -> dict[str, Status]:
        """All components ever started, in that order. Raises ClusterError if the supervisor does not answer."""
        reply = self._ask({"verb": "list"})
        return {name: Status(pid=s["pid"], exit=s["exit"], log=Path(s["log"])) for name, s in reply.items()}

    def wait_ready(
        self, name: str, ready: Callable[[], bool], what: str, *, within_seconds: float = READY_WITHIN_SECONDS
    ) -> None:
        """Wait until `ready()`. Raises ComponentFailed at once if any component ends meanwhile, or after the time."""

        self._wait(name, ready, what, watched=None, within_seconds=within_seconds)

    def wait_component_ready(
        self, name: str, ready: Callable[[], bool], what: str, *, within_seconds: float = READY_WITHIN_SECONDS
    ) -> None:
        """As wait_ready, but others may be down: for starting one again after it was stopped."""
        self._wait(name, ready, what, watched=name, within_seconds=within_seconds)

    def _wait(
        self, name: str, ready: Callable[[], bool], what: str, *, watched: str | None, within_seconds: float
    ) -> None:
        def check() -> bool:
            for other, status in self.statuses().items():
                if status.pid is None and watched in (None, other):
                    raise ComponentFailed(other, f"ended with code {status.exit}", status.log)
            return ready()

        try:
            wait_until(check, what, within_seconds=within_seconds)
        except TimeoutError as error:
            raise ComponentFailed(name, str(error), self._log(name)) from error

    def _log(self, name: str) -> Path:
        return self._work / "logs" / f"{name}.log"

    def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
                connection.settimeout(10.0)
                connection.connect(str(self._socket))
                with connection.makefile("rw") as stream:
                    stream.write(json.dumps(request) + "\n")
                    stream.flush()
                    line = stream.readline()
        except OSError as error:
            raise ClusterError(f"the supervisor of {self._work.name} does not answer: {error}") from error
        if not line:
            raise ClusterError(
                f"the supervisor of {self._work.name} ended while it was asked; see {self._log('supervisor')}"
            )
        reply: dict[str, Any] = json.loads(line)
        if "error" in reply and isinstance(reply["error"], str):
            raise ClusterError(reply["error"])
        return reply


def write_json(path: Path, data: Any) -> None:
    """Write a file that is there completely or not at all."""
    draft = path.with_suffix(f".{os.getpid()}.tmp")
    draft.write_text(json.dumps(data, indent=2) + "\n")
    draft.replace(path)
