"""A namespace with its own Redis and fake HubSpot, and what a test does there: release, load, watch, count.

Redis and HubSpot are asked at their Services' addresses, which the local provider makes reachable from this machine.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

import httpx
import redis

from demo.app.hubspot_client import HubSpotAdmin, HubSpotError
from demo.app.hubspot_stats import HubSpotStats
from demo.app.load import LoadGenerator
from demo.app.settings import BrokerSettings
from demo.app.tally import Tally, read_tally
from demo.versions import integration
from demo.wheelhouse import REPOSITORY
from dev.cluster import Cluster
from dev.operator import OperatorProcess
from tests.cluster.kube import Json, collection, condition, server_side_apply, watch_until
from tests.e2e.recorder import Recorder

NAME = "hubspot"
LABEL = "crm.agoralia.app"
WORKERS = f"{LABEL}/integration={NAME}"

T = TypeVar("T")

#: What the tests change of the demo's spec: few workers, short times.
SPEC: Json = {
    "scaling": {
        "minReplicas": 3,
        "maxReplicas": 3,
        "drainTarget": "15s",
        "jobDuration": "200ms",
        "scaleDownAfter": "3s",
    },
    "rollout": {
        "steps": [{"weight": 34, "hold": "3s"}, {"weight": 67, "hold": "3s"}],
        "bake": "3s",
        "progressDeadline": "60s",
        "minJobs": 5,
    },
    "metrics": {"pods": {"port": 9191, "path": "/metrics", "interval": "1s"}},
    "guards": [
        {
            "name": "sync-errors",
            "metric": {"from": "pods", "name": "crm_sync_errors_total"},
            "reduce": "Increase",
            "window": "15s",
            "warning": {"above": 0},
            "critical": {"above": 3},
        }
    ],
}
#: Few duplicates of the demo's values: a failed job is tried again soon, and as often as a test needs.
ENV = {"JOB_MAX_RETRIES": "50", "JOB_MIN_BACKOFF_MS": "300", "JOB_MAX_BACKOFF_MS": "1500"}


class Scene:
    """One namespace. `spec` and `env` are what all its versions have in common; a test changes them first."""

    def __init__(
        self, cluster: Cluster, kube: httpx.AsyncClient, namespace: str, operator: OperatorProcess | None
    ) -> None:
        self.cluster = cluster
        self.kube = kube
        self.namespace = namespace
        self._operator = operator
        self.spec = json.loads(json.dumps(SPEC))
        self.env = dict(ENV)
        self.redis_url = ""
        self._hubspot: HubSpotAdmin | None = None

    @property
    def operator(self) -> OperatorProcess:
        """The operator that looks after this namespace from outside of the cluster."""
        assert self._operator is not None
        return self._operator

    # --- setting up ---------------------------------------------------------------------------------------------------

    async def set_up(self) -> None:
        """Create the namespace under the restricted profile, Redis and HubSpot in it, and wait until both answer."""
        labels = {"pod-security.kubernetes.io/enforce": "restricted"}
        await self.create("/api/v1/namespaces", {"metadata": {"name": self.namespace, "labels": labels}})
        documents = "\n---\n".join(
            (REPOSITORY / "demo/k8s/app" / f).read_text() for f in ("redis.yaml", "hubspot.yaml")
        )
        await self.kubectl("apply", "-f", "-", stdin=documents)
        self.redis_url = f"redis://{await self._address('redis')}:6379/0"
        self._hubspot = HubSpotAdmin(f"http://{await self._address('fake-hubspot')}:8080")
        for name in ("redis", "fake-hubspot"):
            await self.deployment_when(name, lambda d: d.get("status", {}).get("readyReplicas") == 1, within=90)
        await self.eventually(self.stats, lambda stats: stats.now > 0, within=30, retry=HubSpotError)

    async def tear_down(self) -> None:
        """Delete the namespace without waiting for it."""
        await self.kube.delete(f"/api/v1/namespaces/{self.namespace}")

    async def _address(self, service: str) -> str:
        found = await self.get(f"/api/v1/namespaces/{self.namespace}/services/{service}")
        return str(found["spec"]["clusterIP"])

    # --- what a user does ---------------------------------------------------------------------------------------------

    def version(self, version: str, **env: str) -> Json:
        """The CrmIntegration as version `version`, with `env` in its worker's environment."""
        resource = integration(version)
        resource["metadata"]["namespace"] = self.namespace
        resource["spec"] |= {**self.spec, "queue": {**resource["spec"]["queue"], "url": self.redis_url}}
        worker = worker_of(resource)
        changed = {**self.env, **env}
        kept = [item for item in worker["env"] if item["name"] not in changed]
        worker["env"] = [*kept, *({"name": name, "value": value} for name, value in changed.items())]
        return resource

    async def release(self, version: str, **env: str) -> None:
        """Apply a version, as `kubectl apply` does."""
        await self.apply(self.version(version, **env))

    async def apply(self, resource: Json) -> None:
        path = f"{collection('crmintegrations', self.namespace)}/{NAME}"
        answer = await server_side_apply(self.kube, path, resource)
        assert answer.is_success, answer.text

    async def annotate(self, **verbs: str) -> None:
        """`kubectl annotate crmi NAME crm.agoralia.app/VERB=VALUE --overwrite`."""
        pairs = [f"{LABEL}/{verb}={value}" for verb, value in verbs.items()]
        await self.kubectl("annotate", "crmintegration", NAME, "--overwrite", *pairs)

    async def deploy(self, version: str = "v1", **env: str) -> str:
        """The first version, up and stable; its revision."""
        await self.release(version, **env)
        status = await self.status_when(
            lambda status: (
                status["rollout"]["phase"] == "Stable"
                and "stableRevision" in status["rollout"]
                and status["workers"]["ready"] >= self.spec["scaling"]["minReplicas"]
            ),
            within=120,
        )
        return str(status["rollout"]["stableRevision"])

    @asynccontextmanager
    async def load(self, rate: float = 0) -> AsyncIterator[LoadGenerator]:
        """Jobs at a rate until the end of the block; with 0 only what the test sends."""
        generator = await asyncio.to_thread(LoadGenerator, BrokerSettings(redis_url=self.redis_url))
        with generator:
            if rate:
                generator.start(rate)
            yield generator
            await asyncio.to_thread(generator.stop)

    # --- what there is to see -----------------------------------------------------------------------------------------

    async def status_when(self, holds: Callable[[Json], bool], *, within: float = 60) -> Json:
        """The integration's status as soon as it is of the present spec and `holds`."""

        def there(resource: Json) -> bool:
            status = resource.get("status", {})
            return status.get("observedGeneration") == resource["metadata"]["generation"] and holds(status)

        path = collection("crmintegrations", self.namespace)
        status: Json = (await watch_until(self.kube, path, NAME, there, within_seconds=within))["status"]
        return status

    async def phase_when(self, phase: str, *, within: float = 60) -> Json:
        """The status as soon as the rollout is in this phase."""
        return await self.status_when(lambda status: status["rollout"]["phase"] == phase, within=within)

    async def status(self) -> Json:
        found = await self.get(f"{collection('crmintegrations', self.namespace)}/{NAME}")
        status: Json = found["status"]
        return status

    async def deployment_when(self, name: str, holds: Callable[[Json], bool], *, within: float = 60) -> Json:
        path = f"/apis/apps/v1/namespaces/{self.namespace}/deployments"
        return await watch_until(self.kube, path, name, holds, within_seconds=within)

    async def deployment(self, name: str = NAME) -> Json:
        return await self.get(f"/apis/apps/v1/namespaces/{self.namespace}/deployments/{name}")

    async def replica_sets(self) -> dict[str, Json]:
        """Those of the stable Deployment, by revision."""
        path = f"/apis/apps/v1/namespaces/{self.namespace}/replicasets"
        found = await self.get(path, labelSelector=f"{WORKERS},{LABEL}/role=stable")
        return {item["metadata"]["labels"][f"{LABEL}/revision"]: item for item in found["items"]}

    async def pods(self, **labels: str) -> list[Json]:
        """Worker pods that have not ended, those that drain included; e.g. `role="canary"`."""
        selector = ",".join([WORKERS, *(f"{LABEL}/{name}={value}" for name, value in labels.items())])
        found = await self.get(f"/api/v1/namespaces/{self.namespace}/pods", labelSelector=selector)
        return [pod for pod in found["items"] if not has_ended(pod)]

    async def told(self, reason: str) -> list[Json]:
        """Events of this reason once there is one: they are posted a moment after what they tell of."""
        path = f"/apis/events.k8s.io/v1/namespaces/{self.namespace}/events"

        async def read() -> list[Json]:
            items: list[Json] = (await self.get(path, fieldSelector=f"reason={reason}"))["items"]
            return items

        return await self.eventually(read, bool, within=20)

    def record_pods(self) -> Recorder:
        """Every change of the worker pods from now on."""
        return Recorder(self.kube, f"/api/v1/namespaces/{self.namespace}/pods", labelSelector=WORKERS)

    def record_deployments(self) -> Recorder:
        """Every change of the workers' Deployments from now on."""
        return Recorder(self.kube, f"/apis/apps/v1/namespaces/{self.namespace}/deployments", labelSelector=WORKERS)

    def record_integration(self) -> Recorder:
        """Every change of the integration from now on."""
        return Recorder(self.kube, collection("crmintegrations", self.namespace))

    @property
    def hubspot(self) -> HubSpotAdmin:
        assert self._hubspot is not None
        return self._hubspot

    async def stats(self) -> HubSpotStats:
        """What the fake HubSpot has seen."""
        return await asyncio.to_thread(self.hubspot.stats)

    async def stats_when(self, holds: Callable[[HubSpotStats], bool], *, within: float = 60) -> HubSpotStats:
        return await self.eventually(self.stats, holds, within=within)

    async def observe(self, seconds: float) -> HubSpotStats:
        """What HubSpot has seen when its own clock is so much further: for what must not happen in a time."""
        began = (await self.stats()).now
        return await self.stats_when(lambda stats: stats.now - began >= seconds, within=seconds + 30)

    async def tally(self) -> Tally:
        return await asyncio.to_thread(read_tally, BrokerSettings(redis_url=self.redis_url))

    async def drained(self, *, within: float = 90) -> Tally:
        """The account when no job waits any more for a worker that lives."""

        async def read() -> tuple[Tally, int]:
            return await self.tally(), await asyncio.to_thread(orphans, self.redis_url)

        tally, _ = await self.eventually(read, lambda both: both[0].waiting == both[1], within=within)
        return tally

    async def assert_each_done_once(self, load: LoadGenerator) -> None:
        """All jobs are done, none lost, given up or done twice.

        Dramatiq 2.2.1 may leave a job behind that a worker had fetched and not begun when it was told to stop: what is
        in a consumer's message_cache is not put back. Dramatiq itself finds it again after a minute or more; it is
        neither lost nor done, and nothing that an operator does can help.
        """
        tally = await self.drained()
        assert (tally.dead, tally.lost, tally.duplicates) == (0, 0, 0), tally
        assert tally.done + tally.unacked == load.enqueued, tally
        assert tally.unacked <= 8, f"too many for what a stopping worker may leave behind: {tally}"

    async def eventually(
        self,
        read: Callable[[], Awaitable[T]],
        holds: Callable[[T], bool],
        *,
        within: float,
        retry: type[Exception] | tuple[()] = (),
    ) -> T:
        """What cannot be watched is read again and again until `holds`; fails with what was read last."""
        deadline = time.monotonic() + within
        last: object = "nothing yet"
        while time.monotonic() < deadline:
            try:
                last = value = await read()
                if holds(value):
                    return value
            except retry as error:
                last = error
            await asyncio.sleep(0.1)
        raise AssertionError(f"not within {within:g} s; last read: {last}")

    # --- the API server -----------------------------------------------------------------------------------------------

    async def get(self, path: str, **parameters: str) -> Json:
        answer = await self.kube.get(path, params=parameters)
        assert answer.is_success, answer.text
        body: Json = answer.json()
        return body

    async def create(self, path: str, body: Json) -> None:
        answer = await self.kube.post(path, json=body)
        assert answer.is_success, answer.text

    async def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        """Output of kubectl in this namespace."""
        return await asyncio.to_thread(self.cluster.run_kubectl, "--namespace", self.namespace, *arguments, stdin=stdin)

    async def report(self) -> str:
        """What somebody needs who reads of a failure."""
        resources = await self.get(collection("crmintegrations", self.namespace))
        statuses = [item.get("status") for item in resources["items"]]
        parts = [f"--- status\n{json.dumps(statuses, indent=1)}"]
        for what in ("deployments,replicasets,pods -o wide", "events --sort-by=.metadata.creationTimestamp"):
            parts.append(f"--- kubectl get {what}\n{await self.kubectl('get', *what.split())}")
        if self._operator is not None and self._operator.log.exists():
            lines = [line for line in self._operator.log.read_text().splitlines() if self.namespace in line]
            parts.append("\n".join(["--- the operator's log", *lines[-60:]]))
        return "\n".join(parts)


def orphans(redis_url: str) -> int:
    """Jobs that were fetched by workers which have ended: a living one is heard of at least once a second."""
    with redis.Redis.from_url(redis_url) as client:
        seconds, micros = client.time()
        before = seconds * 1000 + micros / 1000 - 5000
        ended = client.zrangebyscore("dramatiq:__heartbeats__", "-inf", before)
        return sum(client.scard(f"dramatiq:__acks__.{each.decode()}.crm_hubspot") for each in ended)


def worker_of(resource: Json) -> Json:
    """The worker container in a CrmIntegration."""
    container: Json = resource["spec"]["workers"]["template"]["spec"]["containers"][0]
    return container


def revision_of(item: Json) -> str:
    """Of a pod, ReplicaSet or Deployment."""
    return str(item["metadata"]["labels"][f"{LABEL}/revision"])


def is_terminating(item: Json) -> bool:
    return item["metadata"].get("deletionTimestamp") is not None


def has_ended(pod: Json) -> bool:
    """No container of it runs, or will again; it is only not yet removed."""
    return pod.get("status", {}).get("phase") in ("Succeeded", "Failed")


def is_ready(pod: Json) -> bool:
    return condition(pod, "Ready") == "True"


def decisions(status: Json, what: str) -> list[Json]:
    """The decisions of one kind that the status remembers."""
    return [item for item in status["decisions"] if item["what"] == what]


def condition_of(status: Json, type_: str) -> Json:
    """One condition as a whole."""
    found: Json = next(item for item in status["conditions"] if item["type"] == type_)
    return found
