"""A real Redis for tests: on a free loopback port, nothing on disk, and it can be stopped, restarted and frozen.

Also a real Sentinel, and certificates for TLS.
"""

import ipaddress
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import redis
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


class RedisServer:
    """`with RedisServer() as server: ... server.url`. The port stays the same over stop and start."""

    def __init__(
        self,
        *,
        password: str | None = None,
        certificates: "Certificates | None" = None,
        options: Sequence[str] = (),
        port: int | None = None,
    ) -> None:
        self.port = free_port() if port is None else port
        self.password = password
        self._certificates = certificates
        listen = ("--port", str(self.port)) if certificates is None else certificates.options(self.port)
        self._options = (*listen, *options, *(("--requirepass", password) if password else ()))
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """With the password, if there is one."""
        scheme = "redis" if self._certificates is None else "rediss"
        return f"{scheme}://{f':{self.password}@' if self.password else ''}127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Returns when it answers; it is empty then."""
        program = shutil.which("redis-server")
        assert program, "redis-server is not installed; on Debian: apt-get install redis-server"
        # A replica would keep what it is sent in a file, which the next server here would load.
        nothing_on_disk = ("--save", "", "--appendonly", "no", "--repl-diskless-load", "swapdb")
        command = [program, "--bind", "127.0.0.1", *nothing_on_disk, "--repl-diskless-sync-delay", "0"]
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
        if self._certificates is not None:
            ca = str(self._certificates.ca)
            return redis.Redis.from_url(self.url, ssl_ca_certs=ca, ssl_check_hostname=False)
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


class SentinelServer:
    """`with SentinelServer(master) as sentinel: ... sentinel.url`, one that decides alone, after 0.5 s of silence."""

    def __init__(
        self,
        master: RedisServer,
        directory: Path,
        *,
        password: str | None = None,
        certificates: "Certificates | None" = None,
    ) -> None:
        self.port = free_port()
        self._file = directory / "sentinel.conf"
        self._certificates = certificates
        options = ("--port", str(self.port)) if certificates is None else certificates.options(self.port)
        lines = [f"{name.removeprefix('--')} {value}" for name, value in zip(options[::2], options[1::2], strict=True)]
        lines += ["tls-replication yes"] if certificates is not None else []
        lines += [
            "bind 127.0.0.1",
            f"dir {directory}",
            f"sentinel monitor mymaster 127.0.0.1 {master.port} 1",
            "sentinel down-after-milliseconds mymaster 500",
            "sentinel failover-timeout mymaster 5000",
        ]
        if master.password:
            lines.append(f"sentinel auth-pass mymaster {master.password}")
        if password:
            lines.append(f"requirepass {password}")
        self._password = password
        self._file.write_text("\n".join(lines) + "\n")

    def url(self, *, password: str | None = None, master: str = "mymaster") -> str:
        scheme = "redis" if self._certificates is None else "rediss"
        return f"{scheme}+sentinel://{f':{password}@' if password else ''}127.0.0.1:{self.port}/{master}/0"

    def client(self) -> "redis.Redis":
        tls: dict[str, Any] = {} if self._certificates is None else {"ssl": True, "ssl_ca_certs": self._certificates.ca}
        return redis.Redis(host="127.0.0.1", port=self.port, password=self._password, decode_responses=True, **tls)

    def wait_for_master(self, ready: Callable[[dict[str, str]], bool] = lambda seen: seen["flags"] == "master") -> None:
        """Until what Sentinel knows of the master is so; by default: it is up."""
        self._wait("MASTER", ready)

    def wait_for_replica(self) -> None:
        """Until there is a replica that could become the master."""
        self._wait("REPLICAS", lambda seen: [r.get("master-link-status") for r in seen] == ["ok"])

    def _wait(self, what: str, ready: Callable[[Any], bool]) -> None:
        deadline = time.monotonic() + 30
        while True:
            with self.client() as client:
                try:
                    answer: Any = client.execute_command("SENTINEL", what, "mymaster")
                except redis.ConnectionError:
                    answer = None
            if answer and ready(answer):
                return
            assert time.monotonic() < deadline, f"Sentinel still says {answer}"
            time.sleep(0.02)

    def __enter__(self) -> Self:
        program = shutil.which("redis-server")
        assert program, "redis-server is not installed; on Debian: apt-get install redis-server"
        self._child = subprocess.Popen(
            [program, str(self._file), "--sentinel"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._child.kill()
        self._child.wait()


class Certificates:
    """A certificate authority of its own, and a certificate for `host`, as files in `directory`."""

    def __init__(self, directory: Path, *, host: str = "127.0.0.1") -> None:
        self.ca, self._certificate, self._key = directory / "ca.crt", directory / "tls.crt", directory / "tls.key"
        ca_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
        ca = _certificate("test authority", key=ca_key, issuer="test authority", signed_by=ca_key, is_ca=True)
        own = _certificate(host, key=key, issuer="test authority", signed_by=ca_key, is_ca=False)
        self.ca.write_bytes(ca.public_bytes(serialization.Encoding.PEM))
        self._certificate.write_bytes(own.public_bytes(serialization.Encoding.PEM))
        self._key.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )

    def options(self, port: int) -> tuple[str, ...]:
        """Of a redis-server that speaks TLS only, on `port`."""
        return (
            *("--port", "0", "--tls-port", str(port), "--tls-auth-clients", "no"),
            *("--tls-cert-file", str(self._certificate), "--tls-key-file", str(self._key)),
            *("--tls-ca-cert-file", str(self.ca)),
        )


def _certificate(
    name: str, *, key: ec.EllipticCurvePrivateKey, issuer: str, signed_by: ec.EllipticCurvePrivateKey, is_ca: bool
) -> x509.Certificate:
    now = datetime.now(UTC)
    try:
        subject: x509.GeneralName = x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        subject = x509.DNSName(name.replace(" ", "-"))
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([subject]), critical=False)
        .sign(signed_by, hashes.SHA256())
    )


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
