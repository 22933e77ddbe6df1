"""The operator as a local process against a cluster: how tests and benchmarks run it, crash it and start it again."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx

READY_WITHIN = 30.0  # seconds
STOP_WITHIN = 15.0


class OperatorFailed(RuntimeError):
    """It did not start, or ended by itself; the text has the end of its log."""


class OperatorProcess:
    """One operator. Start it as a context, or by `start`; `kill` is a crash, `stop` is SIGTERM."""

    def __init__(
        self,
        kubeconfig: Path,
        *,
        log: Path,
        namespaces: Sequence[str] = (),
        allow_hosts: Sequence[str] = ("127.0.0.1", "10.0.0.0/8"),
        lease_namespace: str | None = None,
        resync_seconds: float = 300,
        level: str = "INFO",
    ) -> None:
        """`log` is appended to over restarts. `lease_namespace` None: no lease. No namespaces: all of them."""
        self.kubeconfig = kubeconfig
        self.log = log
        self.port = _free_port()
        self._arguments = [
            *("run", "--kubeconfig", str(kubeconfig), "--host", "127.0.0.1", "--port", str(self.port)),
            *("--resync-seconds", str(resync_seconds), "--log-level", level, "--log-format", "plain"),
            *(part for name in namespaces for part in ("--namespace", name)),
            *(part for host in allow_hosts for part in ("--allow-host", host)),
            *(("--no-lease",) if lease_namespace is None else ("--lease-namespace", lease_namespace)),
        ]
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        """Raises OperatorFailed when it was not started."""
        if self._process is None:
            raise OperatorFailed("the operator was not started")
        return self._process.pid

    def start(self, *, wait: bool = True) -> Self:
        """Start it, and wait until it is ready unless told otherwise. Raises OperatorFailed."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        environment = {name: value for name, value in os.environ.items() if name != "KUBECONFIG"}
        with self.log.open("ab") as sink:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "crm_operator.main", *self._arguments],
                stdout=sink,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                env=environment,
            )
        if wait:
            try:
                self.wait_ready()
            except OperatorFailed:
                self.kill()  # nobody else will: a context whose start fails is not left
                raise
        return self

    def wait_ready(self, within: float = READY_WITHIN) -> None:
        """Until /readyz says so. Raises OperatorFailed."""
        deadline = time.monotonic() + within
        said = "no answer"
        while time.monotonic() < deadline:
            if self._process is None or self._process.poll() is not None:
                code = None if self._process is None else self._process.returncode
                raise OperatorFailed(f"the operator ended with {code} while it started:\n{self.tail()}")
            try:
                answer = httpx.get(f"http://127.0.0.1:{self.port}/readyz", timeout=2, trust_env=False)
            except httpx.TransportError:
                pass  # not listening yet
            else:
                if answer.status_code == 200:
                    return
                said = answer.text.strip()
            time.sleep(0.05)
        raise OperatorFailed(f"the operator was not ready within {within:g} s ({said}):\n{self.tail()}")

    def metrics(self) -> str:
        """Its own metrics, in the Prometheus text format."""
        return httpx.get(f"http://127.0.0.1:{self.port}/metrics", timeout=10, trust_env=False).raise_for_status().text

    def probe(self, path: str) -> tuple[int, str]:
        """Status and text of `/livez` or `/readyz`."""
        answer = httpx.get(f"http://127.0.0.1:{self.port}{path}", timeout=5, trust_env=False)
        return answer.status_code, answer.text

    def kill(self) -> None:
        """A crash: SIGKILL."""
        self._end(signal.SIGKILL)

    def stop(self) -> int | None:
        """SIGTERM and wait; its exit code, None when it was not running. Raises OperatorFailed when it does not end."""
        return self._end(signal.SIGTERM)

    def send(self, number: signal.Signals) -> None:
        """E.g. SIGSTOP and SIGCONT."""
        os.kill(self.pid, number)

    def wait_ended(self, within: float) -> int:
        """Its exit code, once it ends by itself. Raises subprocess.TimeoutExpired."""
        assert self._process is not None
        return self._process.wait(within)

    def rss_bytes(self) -> int:
        """Resident memory now."""
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    def cpu_seconds(self) -> float:
        """User and system time so far."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def tail(self, lines: int = 40) -> str:
        """The end of its log."""
        if not self.log.exists():
            return ""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def _end(self, number: signal.Signals) -> int | None:
        if self._process is None:
            return None
        if self._process.poll() is None:
            self._process.send_signal(number)
        try:
            code = self._process.wait(STOP_WITHIN)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise OperatorFailed(f"the operator did not end within {STOP_WITHIN:g} s:\n{self.tail()}") from None
        finally:
            self._process = None
        return code


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port
