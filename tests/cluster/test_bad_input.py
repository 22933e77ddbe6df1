"""Specs that the schema lets through and reality does not: said with field, value and remedy, and nothing is broken."""

import asyncio
import base64

import pytest

from tests.cluster.kube import condition
from tests.cluster.objects import worker_template
from tests.cluster.scene import (
    Json,
    Scene,
    cond,
    image,
    in_phase,
    is_stable,
    queue_of,
    replicas,
    rollout,
    says,
    version,
)
from tests.cluster.test_rollout import HOLDING
from tests.redisserver import RedisServer

pytestmark = pytest.mark.cluster


def invalid_template(obj: Json) -> bool:
    return bool(says("Stalled", "True", "InvalidTemplate")(obj))


async def test_a_template_that_the_api_server_refuses_changes_nothing(scene: Scene) -> None:
    first = await scene.settled()
    before = await scene.deployment_until(replicas(2))
    await scene.change(workers={"template": worker_template("localhost/worker:2", ports=[{"containerPort": 99999}])})
    told = await scene.until(invalid_template)
    message = cond(told, "Stalled")["message"]
    assert "spec.workers.template.spec.containers[0].ports[0].containerPort" in message
    assert "99999" in message
    assert "must be between 1 and 65535" in message, "the API server's own words"
    assert condition(told, "Ready") == "False"
    assert rollout(told)["stableRevision"] == rollout(first)["stableRevision"]
    now = await scene.deployment()
    assert now is not None
    assert now["spec"] == before["spec"]
    # The rest of the spec still works.
    await scene.change(scaling={"minReplicas": 3})
    await scene.deployment_until(replicas(3))
    await scene.change(workers={"template": worker_template("localhost/worker:2", ports=None)})
    await scene.until(is_stable)
    await scene.deployment_until(lambda obj: image(obj).endswith(":2"))


async def test_an_unknown_field_in_a_first_template_is_named(scene: Scene) -> None:
    await scene.create(workers={"template": worker_template(imagePullPolice="Always")})
    told = await scene.until(lambda obj: (obj.get("status") or {}).get("observedGeneration") == 1)
    if invalid_template(told):
        assert "imagePullPolice" in cond(told, "Stalled")["message"]
    assert "imagePullPolice" not in str(await scene.deployment())


async def test_a_bad_template_in_mid_canary_leaves_the_canary_where_it_is(scene: Scene) -> None:
    await scene.settled(rollout=HOLDING)
    await scene.change(workers=version(2))
    canary = await scene.until(in_phase("Canary"))
    await scene.deployment_until(replicas(1), "hubspot-canary")
    await scene.change(workers={"template": worker_template("localhost/worker:3", ports=[{"containerPort": 99999}])})
    told = await scene.until(invalid_template)
    assert rollout(told)["phase"] == "Canary"
    assert rollout(told)["canaryRevision"] == rollout(canary)["canaryRevision"]
    await scene.deployment_until(replicas(1), "hubspot-canary")


async def test_a_queue_that_cannot_be_read_says_what_to_change(scene: Scene) -> None:
    with RedisServer(password="s3cret-word") as locked:
        await scene.post(
            f"/api/v1/namespaces/{scene.namespace}/secrets",
            {
                "metadata": {"name": "redis"},
                "data": {
                    "wrong": base64.b64encode(f"redis://:not-it@127.0.0.1:{locked.port}/0".encode()).decode(),
                    "right": base64.b64encode(locked.url.encode()).decode(),
                    "binary": base64.b64encode(b"\xff\xfe").decode(),
                },
            },
        )

        def secret(name: str, key: str) -> Json:
            return {"urlFrom": {"secretKeyRef": {"name": name, "key": key}}}

        url = locked.url.replace(":s3cret-word@", "")
        cases: dict[str, tuple[Json, str, tuple[str, ...]]] = {
            "no-secret": (secret("nobody", "url"), "SecretNotFound", ("spec.queue.urlFrom", "nobody", "create it")),
            "no-key": (secret("redis", "url"), "SecretKeyNotFound", ("has no key url", "right, wrong", "add it")),
            "not-text": (secret("redis", "binary"), "SecretInvalid", ("key binary", "store the URL")),
            "wrong": (secret("redis", "wrong"), "AuthenticationFailed", ("Secret redis, key wrong", "check them")),
            "no-password": ({"url": url}, "AuthenticationFailed", ("spec.queue.url", "use queue.urlFrom")),
            "host": ({"url": "redis://10.1.2.3:6379/0"}, "HostNotAllowed", ("10.1.2.3", "--allow-host")),
            "metadata": ({"url": "redis://169.254.169.254:80/0"}, "HostNotAllowed", ("169.254.169.254",)),
        }

        async def tell(name: str, queue: Json, reason: str, words: tuple[str, ...]) -> None:
            await scene.create(name, queue={**queue, "namespace": scene.namespace, "names": [queue_of(name)]})
            told = await scene.until(says("QueueReachable", "False", reason), name)
            message = cond(told, "QueueReachable")["message"]
            assert all(word in message for word in words), message
            assert "s3cret-word" not in str(told["status"])
            assert "not-it" not in str(told["status"])
            # Nothing is known of the jobs, so the least is run.
            await scene.deployment_until(replicas(2), name)

        await asyncio.gather(*(tell(name, *case) for name, case in cases.items()))
        # The remedy works, without touching the integration: the Secret gets its key.
        await scene.patch(f"/api/v1/namespaces/{scene.namespace}/secrets/redis", {"stringData": {"url": locked.url}})
        await scene.until(says("QueueReachable", "True", "Read"), "no-key", within=30)
    for event in await scene.events():
        assert "s3cret-word" not in str(event)
        assert "not-it" not in str(event)
    assert scene.log is not None
    assert "s3cret-word" not in scene.log.read_text()


async def test_a_write_that_a_quota_denies_is_said_and_tried_again(scene: Scene) -> None:
    await scene.settled()
    tight = await scene.quota("tight", **{"count/deployments.apps": "1"})
    await scene.change(workers=version(2))
    told = await scene.until(says("Ready", "False", "WriteRefused"))
    assert "exceeded quota: tight" in cond(told, "Ready")["message"]
    assert rollout(told)["phase"] == "Canary"
    await scene.deployment_until(lambda obj: replicas(2)(obj) or replicas(1)(obj))
    await scene.patch(tight, {"spec": {"hard": {"count/deployments.apps": "2"}}})
    await scene.until(is_stable, within=40)
    await scene.deployment_until(lambda obj: image(obj).endswith(":2"))


async def test_a_first_template_that_cannot_be_stored_is_said(scene: Scene) -> None:
    """Nothing of it runs before: there would be no way back to it."""
    full = await scene.quota("full", **{"count/controllerrevisions.apps": "0"})
    await scene.create()
    told = await scene.until(invalid_template)
    assert "exceeded quota: full" in cond(told, "Ready")["message"]
    assert await scene.deployment() is None
    await scene.delete(full)
    await scene.until(is_stable, within=40)
