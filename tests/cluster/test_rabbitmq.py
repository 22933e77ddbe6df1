"""The size of the workers from a real RabbitMQ: the same law as on Redis."""

from collections.abc import Iterator

import dramatiq
import pytest
from dramatiq.brokers.rabbitmq import RabbitmqBroker

from tests.cluster.scene import Scene, cond, replicas, says, size, wants, workers
from tests.rabbitserver import RabbitServer

pytestmark = pytest.mark.cluster

SYNC = "crm_rabbit"
FROM_ZERO = {"minReplicas": 0, "maxReplicas": 5, "backlogPerReplica": 10, "scaleDownAfter": "2s"}


@pytest.fixture(scope="module")
def rabbit(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitServer]:
    with RabbitServer(tmp_path_factory.mktemp("rabbitmq")) as server:
        yield server


@pytest.fixture
def broker(rabbit: RabbitServer, scene: Scene) -> Iterator[RabbitmqBroker]:
    """Dramatiq's, on a virtual host that is called like the namespace."""
    rabbit.add_vhost(scene.namespace)
    broker = RabbitmqBroker(url=rabbit.amqp_url(scene.namespace), confirm_delivery=True)
    broker.declare_queue(SYNC)
    yield broker
    broker.close()


def send(broker: RabbitmqBroker, jobs: int, *, delay_ms: int | None = None) -> None:
    for _ in range(jobs):
        message = dramatiq.Message(queue_name=SYNC, actor_name="sync", args=(), kwargs={}, options={})
        broker.enqueue(message, delay=delay_ms)


async def test_workers_follow_the_jobs_and_an_outage_holds_them(
    scene: Scene, rabbit: RabbitServer, broker: RabbitmqBroker
) -> None:
    secret = {"metadata": {"name": "rabbit"}, "stringData": {"url": rabbit.url(scene.namespace)}}
    await scene.post(f"/api/v1/namespaces/{scene.namespace}/secrets", secret)
    queue = {
        "broker": "rabbitmq",
        "urlFrom": {"secretKeyRef": {"name": "rabbit", "key": "url"}},
        "names": [SYNC],
    }
    await scene.settled(queue=queue, scaling=FROM_ZERO)
    assert size(await scene.deployment()) == 0
    send(broker, 21)
    await scene.deployment_until(replicas(3))
    rabbit.freeze()
    try:
        lost = await scene.until(lambda obj: cond(obj, "QueueReachable").get("status") == "False")
        assert cond(lost, "QueueReachable")["reason"] == "Timeout"
        assert "guest" not in str(lost["status"]), "the URL is a secret"
        assert workers(lost)["desired"] == 3
    finally:
        rabbit.thaw()
    await scene.until(says("QueueReachable", "True", "Read"))
    broker.flush(SYNC)
    await scene.until(wants(0))
    await scene.deployment_until(replicas(0))
    # Only a worker moves a delayed job to the queue, so one is wanted for it.
    send(broker, 1, delay_ms=3_600_000)
    await scene.deployment_until(replicas(1))
