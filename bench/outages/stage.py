"""A namespace with integrations, workers that can be scraped, and what is seen of both."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import httpx

from bench.outages.plans import Plan, Whose
from bench.outages.story import GUARD, Stories, Story
from bench.outages.workers import Workers, serving
from bench.recorder import Json, Recorder
from bench.scaling.pods import without_address
from crm_operator.api.names import LABEL_INTEGRATION
from dev.cluster import Cluster
from tests.cluster.kube import collection, server_side_apply
from tests.cluster.objects import an_integration, worker_template

WORKERS, WEIGHT = 4, 50
HOLD, BAKE, WINDOW, LIMIT = 4.0, 6.0, 15.0, 8
#: Longer than the hold or the bake, and than what was read before counts.
OUTAGE = 12.0
#: For the first version, and for a rollout from the end of an outage on. A worker that hung is asked every 10 s.
START_WITHIN, FINISH_WITHIN = 90.0, 120.0

T = TypeVar("T")


class Stage:
    """Made by `stage`."""

    def __init__(self, kube: httpx.AsyncClient, ns: str, redis_url: str, labels: Json, workers: Workers) -> None:
        self._kube, self._ns, self._redis_url, self._labels = kube, ns, redis_url, labels
        self.workers = workers
        self.recorder = Recorder()
        self.stories = Stories(self.recorder)
        self._faulty: dict[str, tuple[Plan, str]] = {}  # by integration, with its old revision

    # --- what a user does

    async def ship(
        self, name: str, version: int, *, provider: str | None = None, pause: bool = False, warning: float | None = None
    ) -> None:
        """Apply the integration with this version of its template. `provider`: its own, unless told otherwise."""
        template = worker_template(f"localhost/{name}:{version}")
        guard: Json = {
            "name": GUARD,
            "metric": {"from": "pods", "name": "crm_sync_errors_total"},
            "reduce": "Increase",
            "window": f"{WINDOW:g}s",
            "critical": {"above": LIMIT},
        }
        body = an_integration(
            name,
            provider=provider or name,
            workers={"template": {**template, "metadata": {"labels": self._labels}}},
            queue={"url": self._redis_url, "namespace": self._ns, "names": [name.replace("-", "_")]},
            scaling={"minReplicas": WORKERS, "maxReplicas": WORKERS, "backlogPerReplica": 10},
            rollout={
                "steps": [{"weight": WEIGHT, "hold": f"{HOLD:g}s"}],
                "bake": f"{BAKE:g}s",
                "minJobs": 10,
            },
            metrics={"pods": {"port": self.workers.servers.port, "interval": "1s"}},
            guards=[guard if warning is None else {**guard, "warning": {"above": warning}}],
            onCritical={"pause": pause},
        )
        answer = await server_side_apply(self._kube, f"{self._integrations}/{name}", body)
        if answer.is_error:
            raise RuntimeError(f"{name} was refused: {answer.text}")

    async def lift_all(self) -> set[str]:
        """Lift every SyncPause; the integrations that they held."""
        path = collection("syncpauses", self._ns)
        held: set[str] = set()
        for pause in (await self._kube.get(path)).raise_for_status().json()["items"]:
            held |= set(pause["spec"].get("integrations") or [])
            await self._merge(f"{path}/{pause['metadata']['name']}", {"spec": {"paused": False}})
        return held

    async def remove(self, name: str) -> None:
        (await self._kube.delete(f"{self._integrations}/{name}")).raise_for_status()

    # --- what the metrics do

    async def begin(self, plan: Plan, old: str) -> None:
        """The plan's fault begins, for workers that are there and for those that come; `old`: the old revision."""
        self._faulty[plan.name] = (plan, old)
        for pod in self.stories[plan.name].pods:
            await self._misbehave(plan.name, pod)

    async def end(self, plan: Plan) -> None:
        del self._faulty[plan.name]
        for pod in self.stories[plan.name].pods:
            if self.workers.has(pod):
                await self.workers.behave(pod)

    # --- what is seen

    async def settled(self, name: str) -> str:
        """The revision of its first version, once that is Stable and its guard has read the workers."""

        def look() -> str | None:
            story = self.stories[name]
            working = story.working()
            at_work = len(working) == WORKERS and all(self.workers.has(pod.name) for pod in working)
            quiet = bool(story.verdicts) and story.verdicts[-1].state == "OK"
            return story.rollout["stableRevision"] if at_work and quiet and story.phase == "Stable" else None

        return await self.until(look, f"{name} at its first version", START_WITHIN)

    async def end_of(self, name: str, old: str) -> str:
        """How the second version's rollout ended: Completed, RolledBack, or why it did not."""

        def look() -> str | None:
            story = self.stories[name]
            if story.phase == "Stable" and story.rollout["stableRevision"] != old:
                return "Completed"
            return "RolledBack" if story.phase == "RolledBack" else None

        try:
            return await self.until(look, f"the end of {name}", FINISH_WITHIN)
        except TimeoutError:
            return f"stuck in {self.stories[name].phase}: {self.stories[name].rollout.get('reason')}"

    async def until(self, look: Callable[[], T | None], what: str, within: float = FINISH_WITHIN) -> T:
        return await self.recorder.until(look, within=within, what=what)

    def reads(self, story: Story, old: str, at: float) -> list[list[float]]:
        """When each worker of the new version could be read, of those that were there at that time."""
        return [
            self.workers[pod.name].good if self.workers.has(pod.name) else []
            for pod in story.working(at=at)
            if pod.revision != old
        ]

    # --- inside

    @property
    def _integrations(self) -> str:
        return collection("crmintegrations", self._ns)

    @property
    def _pods(self) -> str:
        return f"/api/v1/namespaces/{self._ns}/pods"

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """All is watched, and pods get addresses as they come."""
        watched = {"CrmIntegration": self._integrations, "Pod": self._pods}
        async with self.recorder.watching(self._kube, watched), asyncio.TaskGroup() as tasks:
            giving = tasks.create_task(self._give_addresses())
            yield
            giving.cancel()

    async def _give_addresses(self) -> None:
        def without() -> list[Json]:
            return [pod for pod in self.recorder.all("Pod") if _needs_address(pod) and not self._is_known(pod)]

        while True:
            pods = await self.recorder.until(without, within=3600, what="another pod")
            await together(self._give_address(pod) for pod in pods)

    def _is_known(self, pod: Json) -> bool:
        return self.workers.has(pod["metadata"]["name"])

    async def _give_address(self, pod: Json) -> None:
        name: str = pod["metadata"]["name"]
        address = await self.workers.begin(name)
        await self._misbehave(pod["metadata"]["labels"][LABEL_INTEGRATION], name)
        status = {"podIP": address, "podIPs": [{"ip": address}]}
        await self._merge(f"{self._pods}/{name}/status", {"status": status}, gone_is_fine=True)

    async def _misbehave(self, integration: str, pod: str) -> None:
        """If the pod is among those of the integration's plan."""
        if integration not in self._faulty or not self.workers.has(pod):
            return
        plan, old = self._faulty[integration]
        pods = self.stories[integration].pods
        alike = [name for name, seen in pods.items() if (seen.revision == old) == (pods[pod].revision == old)]
        match plan.whose:
            case Whose.ALL:
                chosen = True
            case Whose.NEW | Whose.OLD:
                chosen = (pods[pod].revision == old) == (plan.whose is Whose.OLD)
            case Whose.HALF:
                chosen = alike.index(pod) % 2 == 0
        if chosen:
            await self.workers.misbehave(pod, plan.fault)

    async def _merge(self, path: str, body: Json, *, gone_is_fine: bool = False) -> None:
        answer = await self._kube.patch(path, json=body, headers={"content-type": "application/merge-patch+json"})
        if not (gone_is_fine and answer.status_code == httpx.codes.NOT_FOUND):
            answer.raise_for_status()


@asynccontextmanager
async def stage(
    kube: httpx.AsyncClient, ns: str, redis_url: str, cluster: Cluster, workers: Workers
) -> AsyncIterator[Stage]:
    """Until the end of the block; the operator is the caller's."""
    async with serving(workers):
        made = Stage(kube, ns, redis_url, without_address(cluster), workers)
        async with made.running():
            yield made


async def together(parts: Iterable[Coroutine[Any, Any, object]]) -> None:
    """All at once; the first error ends them."""
    async with asyncio.TaskGroup() as tasks:
        for part in parts:
            tasks.create_task(part)


def _needs_address(pod: Json) -> bool:
    status: Json = pod.get("status") or {}
    return bool(status.get("phase") == "Running" and "deletionTimestamp" not in pod["metadata"])
