"""The queue hub against a real RabbitMQ, real Dramatiq messages and a real worker process."""

import os
import subprocess
import sys
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import dramatiq
import pytest
from dramatiq.brokers.rabbitmq import RabbitmqBroker

from crm_operator.api.v1alpha1 import BrokerKind
from crm_operator.domain.key import Key
from crm_operator.domain.world import QueueReading, QueueView, Unknown
from crm_operator.sources.address import AddressPolicy
from crm_operator.sources.queues import QueueSource
from crm_operator.sources.secret import Secret
from tests.rabbitserver import RabbitServer
from tests.sources.conftest import eventually, now, running
from tests.sources.desk import KEY, REPOSITORY, WINDOW, Desk


@pytest.fixture(scope="module")
def rabbit(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitServer]:
    """With RabbitMQ's default settings; each test has a virtual host of its own."""
    with RabbitServer(tmp_path_factory.mktemp("rabbitmq")) as server:
        yield server


def a_source(url: str, *names: str) -> QueueSource:
    return QueueSource(Secret(url), "dramatiq", names or ("sync",), WINDOW, broker=BrokerKind.RABBITMQ)


def a_desk(*, interval: float = 0.1, timeout: float = 2, allow: tuple[str, ...] = ("127.0.0.1",)) -> Desk:
    return Desk(policy=AddressPolicy(allow), interval=interval, timeout=timeout)


@dataclass
class Shop:
    """Dramatiq as the users have it, on a virtual host of its own."""

    server: RabbitServer
    vhost: str
    broker: RabbitmqBroker
    go: Path  # jobs of `sync` end when it exists

    def send(self, actor: str = "sync", *, delay_ms: int | None = None) -> None:
        """Returns when RabbitMQ has taken the message."""
        message = dramatiq.Message(queue_name="sync", actor_name=actor, args=(), kwargs={}, options={})
        self.broker.declare_queue("sync")
        self.broker.enqueue(message, delay=delay_ms)

    @property
    def source(self) -> QueueSource:
        return a_source(self.server.url(self.vhost))

    @contextmanager
    def worker(self) -> Iterator[None]:
        """A worker process with two threads, as in a pod; told to end at the end."""
        child = subprocess.Popen(
            [sys.executable, "-m", "dramatiq", "tests.sources.rabbit_actors", "-p", "1", "-t", "2", "-Q", "sync"],
            cwd=REPOSITORY,
            env=os.environ | {"TEST_BROKER_URL": self.server.amqp_url(self.vhost), "TEST_GO_FILE": str(self.go)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            yield
        finally:
            self.go.touch()
            child.terminate()
            child.wait(timeout=20)


@pytest.fixture
def shop(rabbit: RabbitServer, tmp_path: Path) -> Iterator[Shop]:
    vhost = f"crm/ü {uuid4().hex}"  # names of virtual hosts are free text
    rabbit.add_vhost(vhost)
    broker = RabbitmqBroker(url=rabbit.amqp_url(vhost), confirm_delivery=True)
    yield Shop(rabbit, vhost, broker, tmp_path / "go")
    broker.close()


def counts_of(view: QueueView) -> tuple[int, int, int, int]:
    """Waiting, running, delayed, dead."""
    latest = view.latest
    if isinstance(latest, QueueReading):
        return (latest.waiting, latest.running, latest.delayed, latest.dead)
    return (-1, -1, -1, -1)


async def test_a_queue_that_was_never_declared_is_empty(shop: Shop) -> None:
    desk = a_desk()
    desk.hub.watch(KEY, shop.source)
    async with running(desk.hub):
        reading = await desk.reading()
    assert (reading.waiting, reading.running, reading.delayed, reading.due, reading.dead) == (0, 0, 0, 0, 0)


async def test_jobs_are_counted_at_the_moment_of_asking(shop: Shop) -> None:
    """RabbitMQ's statistics would be seconds behind: by default they are collected every 5 s."""
    desk = a_desk(interval=30)
    desk.hub.watch(KEY, shop.source)
    async with running(desk.hub):
        for sent in range(1, 6):
            shop.send()
            assert (await desk.reading()).waiting == sent


async def test_delayed_jobs_keep_one_worker_wanted(shop: Shop) -> None:
    """Nothing but a worker moves a delayed job to the queue, and the API does not say when one is due."""
    shop.send(delay_ms=3_600_000)
    shop.send(delay_ms=7_200_000)
    desk = a_desk()
    desk.hub.watch(KEY, shop.source)
    async with running(desk.hub):
        reading = await desk.reading()
        assert (reading.waiting, reading.running, reading.delayed, reading.due) == (0, 0, 2, 1)
        assert reading.backlog == 1
        with shop.worker():
            # The worker takes them into its memory: unacknowledged, and still delayed.
            await eventually(
                lambda: shop.broker.get_queue_message_counts("sync")[1],  # of delayed ones, those that are ready
                is_so=lambda ready: ready == 0,
                step=lambda: desk.hub.refresh(KEY),
            )
            reading = await desk.reading()
            assert (reading.running, reading.delayed, reading.due) == (0, 2, 1)


async def test_jobs_that_a_worker_holds_are_running_and_failed_ones_are_dead(shop: Shop) -> None:
    desk = a_desk()
    desk.hub.watch(KEY, shop.source)
    for _ in range(4):
        shop.send()
    async with running(desk.hub):
        with shop.worker():
            # Two in threads, two fetched ahead.
            await desk.changes.until(lambda: desk.hub.view(KEY), is_so=lambda v: counts_of(v) == (0, 4, 0, 0))
            shop.send("fail")
            shop.send(delay_ms=300)
            shop.go.touch()
            await desk.changes.until(lambda: desk.hub.view(KEY), is_so=lambda v: counts_of(v) == (0, 0, 0, 1))


async def test_many_integrations_are_read_with_all_their_queues(shop: Shop) -> None:
    shop.send()
    desk = a_desk()
    keys = [Key("crm", f"i{n}") for n in range(400)]
    for key in keys:
        desk.hub.watch(key, a_source(shop.server.url(shop.vhost), f"other.{key.name}", "sync"))
    async with running(desk.hub):
        await desk.reading(keys[0])
        assert {counts_of(desk.hub.view(key)) for key in keys} == {(1, 0, 0, 0)}


async def test_the_least_rights_are_enough(shop: Shop) -> None:
    shop.send()
    shop.server.add_user("reader", "pw", "management")
    shop.server.permit("reader", shop.vhost, "^$")
    desk = a_desk()
    desk.hub.watch(KEY, a_source(shop.server.url(shop.vhost, user="reader:pw")))
    async with running(desk.hub):
        assert (await desk.reading()).waiting == 1


@pytest.mark.parametrize(
    ("url", "reason", "remedy"),
    [
        pytest.param("http://guest:wr0ng@HOST:PORT/VHOST", "AuthenticationFailed", "Secret", id="a wrong password"),
        pytest.param("http://us3r:wr0ng@HOST:PORT/VHOST", "AuthenticationFailed", "Secret", id="a wrong user"),
        pytest.param("http://HOST:PORT/VHOST", "AuthenticationFailed", "urlFrom", id="no user"),
        pytest.param("http://plain:pw@HOST:PORT/VHOST", "NotPermitted", "tag", id="a user without a tag"),
        pytest.param("http://blind:pw@HOST:PORT/VHOST", "NotPermitted", "permissions", id="a user without rights"),
        pytest.param("http://guest:guest@HOST:PORT/n0where", "VirtualHostNotFound", "URL", id="no such virtual host"),
        pytest.param("http://guest:guest@HOST:AMQP/VHOST", "ProtocolError", "15672", id="the port of AMQP"),
        pytest.param("https://guest:guest@HOST:PORT/VHOST", "TlsFailed", "TLS", id="TLS to a server without it"),
        pytest.param("http://guest:guest@HOST:1/VHOST", "ConnectionRefused", "port", id="nobody listens"),
        pytest.param("http://guest:guest@nowhere.invalid:PORT/VHOST", "HostNotFound", "spelling", id="no such host"),
    ],
)
async def test_what_is_wrong_is_said_without_credentials(
    shop: Shop, url: str, reason: str, remedy: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    server = shop.server
    server.add_user("plain", "pw", "")
    server.permit("plain", shop.vhost, ".*")
    server.add_user("blind", "pw", "management")
    port, amqp = server.management_port, server.port
    url = url.replace("VHOST", server.url(shop.vhost).rpartition("/")[2]).replace("HOST", "127.0.0.1")
    desk = a_desk(allow=("127.0.0.1", "nowhere.invalid"), timeout=5)
    desk.hub.watch(KEY, a_source(url.replace("PORT", str(port)).replace("AMQP", str(amqp))))
    caplog.clear()
    async with running(desk.hub):
        unknown = await desk.unknown()
    assert unknown.reason == reason
    assert remedy in unknown.why
    assert unknown.why.startswith(("spec.queue.url (127.0.0.1:", "spec.queue.url (nowhere.invalid:"))
    said = unknown.why + caplog.text + repr([record.__dict__ for record in caplog.records])
    sent = [b64encode(pair).decode() for pair in (b"guest:guest", b"guest:wr0ng", b"us3r:wr0ng")]
    assert not any(word in said for word in ("wr0ng", "us3r", "guest", *sent))
    assert "n0where" not in unknown.why, "what comes from a Secret stays there"


async def test_a_frozen_broker_is_no_reading_until_it_goes_on(shop: Shop) -> None:
    shop.send()
    desk = a_desk(timeout=0.3)
    desk.hub.watch(KEY, shop.source)
    async with running(desk.hub):
        await desk.when_good()
        shop.server.freeze()
        try:
            latest = (await desk.when_bad()).latest
        finally:
            shop.server.thaw()
        assert isinstance(latest, Unknown)
        assert latest.reason == "Timeout"
        assert counts_of(await desk.when_good())[0] == 1


async def test_a_restart_begins_anew_and_no_statistics_are_needed(shop: Shop) -> None:
    shop.send()
    desk = a_desk(interval=1)
    desk.hub.watch(KEY, shop.source)
    async with running(desk.hub):
        await desk.when_good()
        shop.server.stop()
        try:
            await desk.when_bad()
            restarted = now()
        finally:
            shop.server.start(settings=["management_agent.disable_metrics_collector = true"])
        good = await desk.when_good()
    assert good.good_since is not None
    assert good.good_since >= restarted
    assert counts_of(good) == (1, 0, 0, 0)


async def test_a_host_that_is_not_allowed_is_never_asked(shop: Shop) -> None:
    desk = a_desk(allow=())
    desk.hub.watch(KEY, shop.source)
    latest = desk.hub.view(KEY).latest
    assert isinstance(latest, Unknown)
    assert latest.reason == "HostNotAllowed"
