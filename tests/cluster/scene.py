"""One test's namespace with an operator, a Redis and integrations in it, in the words of the tests."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

import httpx

from tests.cluster.contract import assert_status_contract
from tests.cluster.kube import collection, condition, server_side_apply, watch_until
from tests.cluster.objects import a_pause, an_integration, worker_template
from tests.redisserver import RedisServer

Json = dict[str, Any]
T = TypeVar("T")
Holds = Callable[[Json], object]

WITHIN = 20.0  # seconds; generous, since a busy machine must not fail a test

QUICK_SCALING: Json = {"minReplicas": 2, "maxReplicas": 4, "backlogPerReplica": 10, "scaleDownAfter": "1s"}
QUICK_ROLLOUT: Json = {"steps": [{"weight": 50, "hold": "1s"}], "bake": "1s", "progressDeadline": "60s"}


def version(number: int, **labels: str) -> Json:
    """`workers` of version `number`; `labels` go on its pods."""
    template = worker_template(f"localhost/worker:{number}")
    return {"template": {**template, **({"metadata": {"labels": labels}} if labels else {})}}


@dataclass(frozen=True, slots=True)
class Scene:
    """A namespace and what a user does and sees in it."""

    kube: httpx.AsyncClient
    namespace: str
    server: RedisServer
    log: Path | None = None  # of the operator

    # --- what a user does ---

    def integration(self, name: str = "hubspot", **spec: Any) -> Json:
        """As `an_integration`, with this scene's Redis, no guards, and times that suit a test."""
        members: Json = {
            "queue": {"url": self.server.url, "namespace": self.namespace, "names": [queue_of(name)]},
            "scaling": QUICK_SCALING,
            "rollout": QUICK_ROLLOUT,
            "guards": [],
            **spec,
        }
        return an_integration(name, **members)

    async def create(self, name: str = "hubspot", **spec: Any) -> Json:
        return await self.put(self.integration(name, **spec))

    async def put(self, body: Json) -> Json:
        """`kubectl apply --server-side`."""
        plural = {"CrmIntegration": "crmintegrations", "SyncPause": "syncpauses"}[body["kind"]]
        path = f"{collection(plural, self.namespace)}/{body['metadata']['name']}"
        answer = await server_side_apply(self.kube, path, body)
        assert answer.is_success, answer.text
        result: Json = answer.json()
        return result

    async def change(self, name: str = "hubspot", **spec: Any) -> Json:
        """`kubectl patch crmintegration NAME --type merge -p '{"spec": ...}'`."""
        return await self.patch(f"{collection('crmintegrations', self.namespace)}/{name}", {"spec": spec})

    async def annotate(self, name: str = "hubspot", **verbs: str | None) -> Json:
        """`kubectl annotate crmi NAME crm.agoralia.app/VERB=VALUE --overwrite`; None removes one."""
        annotations = {f"crm.agoralia.app/{verb}": value for verb, value in verbs.items()}
        path = f"{collection('crmintegrations', self.namespace)}/{name}"
        return await self.patch(path, {"metadata": {"annotations": annotations}})

    async def pause(self, name: str = "incident", **spec: Any) -> Json:
        return await self.put(a_pause(name, **spec))

    async def lift(self, name: str = "incident") -> Json:
        return await self.patch(f"{collection('syncpauses', self.namespace)}/{name}", {"spec": {"paused": False}})

    async def quota(self, name: str, **hard: str) -> str:
        """The path of a ResourceQuota that has counted what there is, and so is in force."""
        quotas = f"/api/v1/namespaces/{self.namespace}/resourcequotas"
        await self.post(quotas, {"metadata": {"name": name}, "spec": {"hard": hard}})

        async def counted() -> bool:
            quota = await self.find(f"{quotas}/{name}")
            return quota is not None and (quota.get("status") or {}).get("used", {}).keys() == hard.keys()

        await self.eventually(counted)
        return f"{quotas}/{name}"

    async def settled(self, name: str = "hubspot", **spec: Any) -> Json:
        """An integration whose first version is Stable with all its workers Ready."""
        await self.create(name, **spec)
        return await self.until(is_stable, name)

    def enqueue(self, count: int, name: str = "hubspot") -> None:
        """Jobs as Dramatiq stores them."""
        queue = f"{self.namespace}:{queue_of(name)}"
        with self.server.client() as client, client.pipeline() as pipe:
            for _ in range(count):
                job = uuid4().hex
                message = {"queue_name": queue_of(name), "message_id": job, "message_timestamp": _now_ms()}
                pipe.hset(f"{queue}.msgs", job, json.dumps(message))
                pipe.rpush(queue, job)
            pipe.execute()

    def fetch(self, count: int, name: str = "hubspot") -> None:
        """A worker takes so many jobs and does not acknowledge them."""
        with self.server.client() as client:
            client.lpop(f"{self.namespace}:{queue_of(name)}", count)

    def work_off(self, name: str = "hubspot") -> None:
        """All jobs are done."""
        queue = f"{self.namespace}:{queue_of(name)}"
        with self.server.client() as client:
            client.delete(queue, f"{queue}.msgs")

    def dead_letter(self, count: int, name: str = "hubspot") -> None:
        """`count` jobs failed for good."""
        queue = f"{self.namespace}:{queue_of(name)}.XQ"
        with self.server.client() as client, client.pipeline() as pipe:
            for _ in range(count):
                job = uuid4().hex
                pipe.zadd(queue, {job: _now_ms()})
                pipe.hset(f"{queue}.msgs", job, "{}")
            pipe.execute()

    def no_dead_letters(self, name: str = "hubspot") -> None:
        """Somebody has dealt with all of them."""
        queue = f"{self.namespace}:{queue_of(name)}.XQ"
        with self.server.client() as client:
            client.delete(queue, f"{queue}.msgs")

    # --- what a user sees ---

    async def until(self, holds: Holds, name: str = "hubspot", within: float = WITHIN) -> Json:
        """The CrmIntegration once `holds`; every version seen on the way keeps the status contract."""
        return await self._watch(collection("crmintegrations", self.namespace), name, holds, within, contract=True)

    async def pause_until(self, holds: Holds, name: str = "incident", within: float = WITHIN) -> Json:
        return await self._watch(collection("syncpauses", self.namespace), name, holds, within)

    async def deployment_until(self, holds: Holds, name: str = "hubspot", within: float = WITHIN) -> Json:
        return await self._watch(self.deployments, name, holds, within)

    @property
    def deployments(self) -> str:
        return f"/apis/apps/v1/namespaces/{self.namespace}/deployments"

    @property
    def pods(self) -> str:
        return f"/api/v1/namespaces/{self.namespace}/pods"

    async def get(self, name: str = "hubspot") -> Json:
        found = await self.find(f"{collection('crmintegrations', self.namespace)}/{name}")
        assert found is not None, f"{name} is not there"
        return found

    async def deployment(self, name: str = "hubspot") -> Json | None:
        return await self.find(f"{self.deployments}/{name}")

    async def workers(self, name: str = "hubspot") -> list[Json]:
        """Its pods, of both sides."""
        return await self.list(self.pods, labelSelector=f"crm.agoralia.app/integration={name}")

    async def staying(self, name: str = "hubspot") -> list[Json]:
        """Its pods that were not told to end."""
        return [pod for pod in await self.workers(name) if "deletionTimestamp" not in pod["metadata"]]

    async def events(self) -> list[Json]:
        return await self.list(f"/apis/events.k8s.io/v1/namespaces/{self.namespace}/events")

    async def told(self, *reasons: str, within: float = WITHIN) -> list[Json]:
        """Events of these reasons, once there is one of each: they are posted a moment after what they tell of."""

        async def look() -> list[Json]:
            found = [event for event in await self.events() if event["reason"] in reasons]
            return found if {event["reason"] for event in found} == set(reasons) else []

        return await self.eventually(look, within)

    # --- plain HTTP ---

    async def find(self, path: str) -> Json | None:
        answer = await self.kube.get(path)
        if answer.status_code == httpx.codes.NOT_FOUND:
            return None
        assert answer.is_success, answer.text
        result: Json = answer.json()
        return result

    async def list(self, path: str, **parameters: str) -> list[Json]:
        answer = await self.kube.get(path, params=parameters)
        assert answer.is_success, answer.text
        items: list[Json] = answer.json()["items"]
        return items

    async def patch(self, path: str, body: Json) -> Json:
        """A merge patch."""
        answer = await self.kube.patch(
            path, content=json.dumps(body), headers={"content-type": "application/merge-patch+json"}
        )
        assert answer.is_success, answer.text
        result: Json = answer.json()
        return result

    async def post(self, path: str, body: Json) -> Json:
        answer = await self.kube.post(path, json=body)
        assert answer.is_success, answer.text
        result: Json = answer.json()
        return result

    async def delete(self, path: str) -> None:
        answer = await self.kube.delete(path)
        assert answer.is_success, answer.text

    async def eventually(self, look: Callable[[], Awaitable[T]], within: float = WITHIN) -> T:
        """What `look` gives once it is true: for what has no object to watch, like an absence."""
        deadline = time.monotonic() + within
        while not (seen := await look()):
            assert time.monotonic() < deadline, f"not within {within} s; last seen: {seen}{self._told()}"
            await asyncio.sleep(0.05)
        return seen

    async def gone(self, path: str, within: float = WITHIN) -> None:
        async def absent() -> bool:
            return await self.find(path) is None

        await self.eventually(absent, within)

    async def _watch(self, path: str, name: str, holds: Holds, within: float, *, contract: bool = False) -> Json:
        def checked(obj: Json) -> bool:
            if contract:
                assert_status_contract(obj)
            return bool(holds(obj))

        try:
            return await watch_until(self.kube, path, name, checked, within_seconds=within)
        except AssertionError as error:
            raise AssertionError(f"{error}{self._told()}") from None

    def _told(self) -> str:
        if self.log is None or not self.log.exists():
            return ""
        lines = [line for line in self.log.read_text(errors="replace").splitlines() if self.namespace in line]
        return "\n".join(["", "the operator's log:", *lines[-25:]])


def queue_of(name: str) -> str:
    return f"crm_{name.replace('-', '_')}"


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


# --- questions about a CrmIntegration ---


def rollout(obj: Json) -> Json:
    """Its status.rollout, {} while there is none."""
    found: Json = (obj.get("status") or {}).get("rollout") or {}
    return found


def workers(obj: Json) -> Json:
    found: Json = (obj.get("status") or {}).get("workers") or {}
    return found


def observed(obj: Json) -> bool:
    """The operator has acted on its present spec."""
    return bool((obj.get("status") or {}).get("observedGeneration") == obj["metadata"]["generation"])


def in_phase(phase: str) -> Holds:
    """Of the rollout."""
    return lambda obj: observed(obj) and rollout(obj).get("phase") == phase


def is_stable(obj: Json) -> bool:
    return observed(obj) and rollout(obj).get("phase") == "Stable" and condition(obj, "Ready") == "True"


def is_paused(obj: Json) -> bool:
    return condition(obj, "Paused") == "True"


def wants(total: int) -> Holds:
    return lambda obj: observed(obj) and workers(obj).get("desired") == total


def decisions(obj: Json) -> list[str]:
    return [item["what"] for item in (obj.get("status") or {}).get("decisions") or []]


def cond(obj: Json, type_: str) -> Json:
    """A whole condition, {} while there is none."""
    conditions = (obj.get("status") or {}).get("conditions") or []
    return next((item for item in conditions if item["type"] == type_), {})


def says(type_: str, status: str, reason: str) -> Holds:
    return lambda obj: (
        observed(obj)
        and (cond(obj, type_).get("status"), cond(obj, type_).get("reason"))
        == (
            status,
            reason,
        )
    )


# --- questions about a Deployment ---


def size(deployment: Json | None) -> int:
    """0 when it is not there."""
    return 0 if deployment is None else int(deployment["spec"]["replicas"])


def image(deployment: Json) -> str:
    return str(deployment["spec"]["template"]["spec"]["containers"][0]["image"])


def replicas(count: int) -> Holds:
    """Asked for and Ready."""
    return lambda obj: size(obj) == count and int((obj.get("status") or {}).get("readyReplicas") or 0) == count
