"""One Redis for all tests here, one queue and one fake HubSpot for each."""

import shutil
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import pytest
import redis

from demo.app.hubspot import FakeHubSpot
from demo.app.hubspot_client import HubSpotAdmin
from demo.app.load import LoadGenerator
from demo.app.settings import BrokerSettings
from demo.app.tally import Tally, read_tally
from tests.demo.processes import Process, eventually, free_port, python


@contextmanager
def redis_server(folder: Path) -> Iterator[tuple[Process, str]]:
    """A Redis on a free loopback port that keeps nothing on disk, and its URL."""
    program = shutil.which("redis-server")
    assert program, "redis-server is not installed; on Debian: apt-get install redis-server"
    port = free_port()
    command = [program, "--bind", "127.0.0.1", "--port", str(port), "--save", "", "--dir", str(folder)]
    with Process(command, output=folder / "redis.log") as server:
        url = f"redis://127.0.0.1:{port}/0"
        eventually(lambda: _answers(url) or server.exit_code is not None, until=bool, within=10)
        assert server.exit_code is None, server.output
        yield server, url


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with redis_server(tmp_path_factory.mktemp("redis")) as (_, url):
        yield url


def _answers(url: str) -> bool:
    with redis.Redis.from_url(url) as client:
        try:
            return bool(client.ping())
        except redis.ConnectionError:
            return False


@dataclass(frozen=True, kw_only=True)
class Shop:
    """A queue of its own, the CRM that its jobs write to, the load, and workers on demand."""

    settings: BrokerSettings
    hubspot: FakeHubSpot
    admin: HubSpotAdmin
    load: LoadGenerator
    folder: Path

    def worker(self, *, metrics_port: int | None = None, threads: int = 2, **env: str) -> Process:
        """A worker as in production: `python -m dramatiq`, and `env` makes the version."""
        name = uuid4().hex[:8]
        command = python(
            *("-m", "dramatiq", "demo.app.jobs", "-p", "1", "-t", str(threads), "-Q", self.settings.queue),
            *("--worker-shutdown-timeout", "20000"),
        )
        own = {
            "REDIS_URL": self.settings.redis_url,
            "DRAMATIQ_NAMESPACE": self.settings.namespace,
            "CRM_QUEUE": self.settings.queue,
            "HUBSPOT_URL": self.hubspot.url,
            "JOB_SECONDS": "0.02",
            "JOB_MIN_BACKOFF_MS": "50",
            "JOB_MAX_BACKOFF_MS": "100",
            "dramatiq_prom_host": "127.0.0.1",
            "dramatiq_prom_port": str(metrics_port or free_port()),
            "dramatiq_prom_db": str(self.folder / f"metrics-{name}"),
        }
        return Process(command, output=self.folder / f"worker-{name}.log", env={**own, **env})

    def tally(self) -> Tally:
        return read_tally(self.settings)

    def tally_when(self, *, settled: int, within: float = 20) -> Tally:
        """The account once so many jobs are done or dead-lettered and nothing waits."""
        return eventually(self.tally, until=lambda t: t.done + t.dead >= settled and t.waiting == 0, within=within)


@pytest.fixture
def shop(redis_url: str, tmp_path: Path) -> Iterator[Shop]:
    settings = BrokerSettings(redis_url=redis_url, namespace=f"test-{uuid4().hex[:8]}", queue="crm_test")
    with FakeHubSpot() as hubspot, LoadGenerator(settings) as load:
        admin = HubSpotAdmin(hubspot.url)
        yield Shop(settings=settings, hubspot=hubspot, admin=admin, load=load, folder=tmp_path)


def scrape(port: int) -> dict[str, float] | None:
    """A worker's metrics: the sum over labels by name; None while it does not answer."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=2) as response:
            text = response.read().decode()
    except OSError:
        return None
    sums: dict[str, float] = {}
    for line in text.splitlines():
        if line and not line.startswith("#"):
            name, value = line.split("{")[0].split(" ")[0], float(line.rsplit(" ", 1)[1])
            sums[name] = sums.get(name, 0) + value
    return sums
