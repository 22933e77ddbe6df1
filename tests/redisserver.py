"""A real Redis for tests: on a free loopback port, nothing on disk, and it can be stopped, restarted and frozen."""

import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Self

import redis


class RedisServer:
    """`with RedisServer() as server: ... server.url`. The port stays the same over stop and start."""

    def __init__(self, *, password: str | None = None, options: Sequence[str] = ()) -> None:
        self.port = _free_port()
        self.password = password
        self._options = (*options, *(("--requirepass", password) if password else ()))
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """With the password, if there is one."""
        return f"redis://{f':{self.password}@' if self.password else ''}127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Returns when it answers; it is empty then."""
        program = shutil.which("redis-server")
        assert program, "redis-server is not installed; on Debian: apt-get install redis-server"
        command = [program, "--bind", "127.0.0.1", "--port", str(self.port), "--save", "", "--appendonly", "no"]
        self._child = subprocess.Popen([*command, *self._options], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 10
        while not self._answers():
            assert self._child.poll() is None, "redis-server ended at once"
            assert time.monotonic() < deadline, "redis-server does not answer"
            time.sleep(0.01)

    def stop(self) -> None:
        """Ends it, frozen or not; what it held is gone. Idempotent."""
        child, self._child = self._child, None
        if child is not None:
            child.kill()
            child.wait()

    def freeze(self) -> None:
        """It keeps its connections and answers nothing."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def client(self) -> "redis.Redis":
        return redis.Redis.from_url(self.url)

    def commands(self) -> dict[str, int]:
        """How often each command was called, by lower-case name."""
        with self.client() as client:
            stats = client.info("commandstats")
        assert isinstance(stats, dict)
        return {name.removeprefix("cmdstat_"): int(numbers["calls"]) for name, numbers in stats.items()}

    def _signal(self, number: signal.Signals) -> None:
        assert self._child is not None, "the server does not run"
        self._child.send_signal(number)

    def _answers(self) -> bool:
        with self.client() as client:
            try:
                return bool(client.ping())
            except redis.ConnectionError:
                return False

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.stop()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
