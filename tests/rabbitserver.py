"""A real RabbitMQ for tests: Debian's packages, unpacked into the cache; free loopback ports, a folder of its own.

It runs beside whatever RabbitMQ and epmd the machine has, and the kernel ends it with the test process.
"""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import httpx

from dev.cluster.progress import PlainProgress
from dev.unpacked import unpacked

PACKAGES = (
    "rabbitmq-server",
    *(
        f"erlang-{part}"
        for part in (
            *("asn1", "base", "crypto", "eldap", "inets", "mnesia", "os-mon", "parsetools", "public-key"),
            *("runtime-tools", "ssl", "syntax-tools", "tools", "xmerl"),
        )
    ),
)
_WITH_US = ("setpriv", "--pdeathsig", "KILL")  # whatever ends the tests, nothing is left behind


class RabbitServer:
    """`with RabbitServer(folder) as server: ... server.url(vhost)`. Ports and data stay the same over stop and start.

    Users and virtual hosts are made through the management API, as guest:guest.
    """

    def __init__(self, home: Path) -> None:
        self.port, self.management_port, self._distribution_port, self._epmd_port = _free_ports(4)
        self._home = home
        self._lib = unpacked("rabbitmq", PACKAGES, PlainProgress()) / "usr/lib"
        self._epmd: subprocess.Popen[bytes] | None = None
        self._server: subprocess.Popen[bytes] | None = None
        self._api = httpx.Client(
            base_url=f"http://127.0.0.1:{self.management_port}/api", auth=("guest", "guest"), trust_env=False
        )

    def start(self, settings: Sequence[str] = ()) -> None:
        """Returns when the management API answers. `settings`: more lines of rabbitmq.conf."""
        (self._home / "plugins").write_text("[rabbitmq_management].\n")
        own = (
            f"listeners.tcp.1 = 127.0.0.1:{self.port}",
            "management.tcp.ip = 127.0.0.1",
            f"management.tcp.port = {self.management_port}",
        )
        (self._home / "rabbitmq.conf").write_text("".join(f"{line}\n" for line in (*own, *settings)))
        environment = self._environment()
        programs = environment["BINDIR"]
        self._epmd = subprocess.Popen([*_WITH_US, f"{programs}/epmd"], env=environment)
        with (self._home / "log").open("wb") as log:
            self._server = subprocess.Popen(
                [
                    *(*_WITH_US, f"{programs}/erlexec", "-noinput", "-boot", "start_sasl", "-s", "rabbit", "boot"),
                    *("+W", "w", "+sbwt", "none"),  # schedulers that wait do not spin
                    *("-kernel", "inet_dist_use_interface", "{127,0,0,1}"),
                    *("-syslog", "logger", "[]", "-syslog", "syslog_error_logger", "false"),
                ],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + 60
        while not self._answers():
            assert self._server.poll() is None, f"RabbitMQ ended at once:\n{self._log_tail()}"
            assert time.monotonic() < deadline, f"RabbitMQ does not answer:\n{self._log_tail()}"
            time.sleep(0.05)

    def stop(self) -> None:
        """Ends it without notice, frozen or not. Idempotent."""
        for child in (self._server, self._epmd):
            if child is not None:
                child.kill()
                child.wait()
        self._server = self._epmd = None

    def freeze(self) -> None:
        """It keeps its connections and answers nothing."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def add_vhost(self, vhost: str) -> None:
        """A virtual host that guest may use."""
        self._put(f"/vhosts/{quote(vhost, safe='')}")
        self.permit("guest", vhost, ".*")

    def add_user(self, user: str, password: str, tags: str) -> None:
        self._put(f"/users/{user}", {"password": password, "tags": tags})

    def permit(self, user: str, vhost: str, names: str) -> None:
        """Let `user` into `vhost`, to do everything with what the regular expression `names` matches."""
        self._put(f"/permissions/{quote(vhost, safe='')}/{user}", {"configure": names, "write": names, "read": names})

    def url(self, vhost: str, *, user: str = "guest:guest") -> str:
        """Of the management API, as it stands in a Secret."""
        return f"http://{user}@127.0.0.1:{self.management_port}/{quote(vhost, safe='')}"

    def amqp_url(self, vhost: str) -> str:
        """For Dramatiq."""
        return f"amqp://guest:guest@127.0.0.1:{self.port}/{quote(vhost, safe='')}"

    def _put(self, path: str, content: dict[str, Any] | None = None) -> None:
        self._api.put(path, json=content or {}).raise_for_status()

    def _answers(self) -> bool:
        try:
            return self._api.get("/overview").is_success
        except httpx.TransportError:
            return False

    def _signal(self, number: signal.Signals) -> None:
        assert self._server is not None, "the server does not run"
        self._server.send_signal(number)

    def _log_tail(self) -> str:
        return "\n".join((self._home / "log").read_text(errors="replace").splitlines()[-20:])

    def _environment(self) -> dict[str, str]:
        """What Erlang's and RabbitMQ's start scripts would set; theirs know only the folders of an installation."""
        erlang = self._lib / "erlang"
        (runtime,) = erlang.glob("erts-*/bin")
        (rabbit,) = (self._lib / "rabbitmq/lib").glob("rabbitmq_server-*")
        home = self._home
        return {
            "PATH": f"{runtime}:{os.environ['PATH']}",
            "HOME": str(home),
            "ROOTDIR": str(erlang),
            "BINDIR": str(runtime),
            "EMU": "beam",
            "PROGNAME": "erl",
            "ERL_LIBS": f"{rabbit}/plugins",
            "ERL_EPMD_PORT": str(self._epmd_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_HOME": str(rabbit),
            "RABBITMQ_NODENAME": "rabbit@localhost",
            "RABBITMQ_DIST_PORT": str(self._distribution_port),
            "RABBITMQ_CONF_ENV_FILE": "/dev/null",
            "RABBITMQ_CONFIG_FILE": f"{home}/rabbitmq.conf",
            "RABBITMQ_ADVANCED_CONFIG_FILE": f"{home}/advanced.config",
            "RABBITMQ_GENERATED_CONFIG_DIR": f"{home}/generated",
            "RABBITMQ_ENABLED_PLUGINS_FILE": f"{home}/plugins",
            "RABBITMQ_PLUGINS_DIR": f"{rabbit}/plugins",
            "RABBITMQ_MNESIA_BASE": f"{home}/data",
            "RABBITMQ_FEATURE_FLAGS_FILE": f"{home}/feature_flags",
            "RABBITMQ_LOG_BASE": f"{home}/logs",
            "RABBITMQ_LOGS": "-",
        }

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.stop()
        self._api.close()


def _free_ports(count: int) -> list[int]:
    """Different ones, because all are held until the last is found."""
    probes = [socket.socket() for _ in range(count)]
    try:
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]
    finally:
        for probe in probes:
            probe.close()
