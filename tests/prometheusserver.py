"""A real Prometheus for tests: Debian's package, unpacked into the cache; a free loopback port, a folder of its own.

The kernel ends it with the test process.
"""

import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx
import yaml

from dev.cluster.progress import PlainProgress
from dev.unpacked import unpacked
from tests.redisserver import free_port

_WITH_US = ("setpriv", "--pdeathsig", "KILL")  # whatever ends the tests, nothing is left behind


class PrometheusServer:
    """`with PrometheusServer(folder, targets) as server: ... server.url`.

    `targets` are scraped every `interval` seconds: labels by `host:port`. Data stay over stop and start.
    """

    def __init__(self, home: Path, targets: Mapping[str, Mapping[str, str]], *, interval: float = 1) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._home = home
        self._program = unpacked("prometheus", ("prometheus",), PlainProgress()) / "usr/bin/prometheus"
        self._server: subprocess.Popen[bytes] | None = None
        every = f"{int(interval * 1000)}ms"
        statics = [{"targets": [target], "labels": dict(labels)} for target, labels in targets.items()]
        settings = {
            "global": {"scrape_interval": every, "scrape_timeout": every},
            "scrape_configs": [{"job_name": "workers", "static_configs": statics}],
        }
        (home / "prometheus.yml").write_text(yaml.safe_dump(settings))

    def start(self) -> None:
        """Returns when it is ready."""
        with (self._home / "log").open("wb") as log:
            self._server = subprocess.Popen(
                [
                    *(*_WITH_US, str(self._program)),
                    f"--config.file={self._home}/prometheus.yml",
                    f"--storage.tsdb.path={self._home}/data",
                    f"--web.listen-address=127.0.0.1:{self.port}",
                    *(f"--web.console.libraries={self._home}", f"--web.console.templates={self._home}"),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + 60
        while not self._is_ready():
            assert self._server.poll() is None, f"Prometheus ended at once:\n{self._log_tail()}"
            assert time.monotonic() < deadline, f"Prometheus does not get ready:\n{self._log_tail()}"
            time.sleep(0.05)

    def stop(self) -> None:
        """Orderly, so that it keeps what it has. Idempotent."""
        if self._server is not None:
            self._server.terminate()
            self._server.wait()
        self._server = None

    def _is_ready(self) -> bool:
        try:
            return httpx.get(f"{self.url}/-/ready", trust_env=False).is_success
        except httpx.TransportError:
            return False

    def _log_tail(self) -> str:
        return "\n".join((self._home / "log").read_text(errors="replace").splitlines()[-20:])

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.stop()
