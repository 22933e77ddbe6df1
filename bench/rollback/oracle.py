"""Nobody who has to find out: the driver rolls a plain Deployment back as soon as HubSpot has answered a failed job.

What is left is the part of the Deployment controller, the kubelet and Dramatiq, which no controller can beat.
"""

import asyncio
from contextlib import suppress

import httpx

from bench.recorder import Json, Recorder
from bench.rollback.cells import STRATEGIES, Cell, Surge
from bench.rollback.controllers import GOOD
from bench.rollback.story import VERSION, Story, is_full
from bench.rollback.workload import Addresses, demo_integration
from crm_operator.api.names import ENV_REVISION
from demo.app.hubspot_client import HubSpotAdmin

NAME = "worker"
#: Between two looks at HubSpot's books.
LOOK_SECONDS = 0.02


class Oracle:
    """One Deployment, in one step: without a canary there is nothing but the phase after promotion."""

    watched: dict[str, str] = {}  # noqa: RUF012  # of the protocol, and never changed

    def __init__(self, kube: httpx.AsyncClient, ns: str, where: Addresses) -> None:
        self._kube = kube
        self._where = where
        self._hubspot = HubSpotAdmin(where.hubspot)
        self._path = f"/apis/apps/v1/namespaces/{ns}/deployments"
        self._cell: Cell | None = None
        self._looking: asyncio.Task[None] | None = None

    async def create(self, cell: Cell) -> None:
        self._cell = cell
        spec = {"replicas": cell.workers, "selector": {"matchLabels": {"app": NAME}}, **self._at(GOOD, cell.surge)}
        _accepted(await self._kube.post(self._path, json={"metadata": {"name": NAME}, "spec": spec}))

    async def ship(self, version: str) -> None:
        assert self._cell is not None, "create a cell first"
        await self._patch(self._at(version, self._cell.surge))
        self._looking = asyncio.create_task(self._roll_back(version))

    async def remove(self) -> None:
        if self._looking is not None:
            self._looking.cancel()
            with suppress(asyncio.CancelledError):
                await self._looking
        _accepted(await self._kube.delete(f"{self._path}/{NAME}"))

    def is_settled(self, seen: Recorder) -> bool:
        return self._looking is None or self._looking.done()

    def is_tried(self, seen: Recorder, version: str) -> bool:
        assert self._cell is not None
        return is_full(seen.all("Pod"), version, self._cell.workers)

    def figures(self, story: Story, failed: float) -> dict[str, float | None]:
        return {"zero": story.stopped(failed)}

    async def _roll_back(self, version: str) -> None:
        while not await asyncio.to_thread(self._has_failed, version):  # noqa: ASYNC110  # nobody tells
            await asyncio.sleep(LOOK_SECONDS)
        await self._patch(self._at(GOOD, Surge.AT_ONCE))

    def _has_failed(self, version: str) -> bool:
        found = self._hubspot.stats().revisions.get(version)
        return found is not None and found.first_failed is not None

    def _at(self, version: str, surge: Surge) -> Json:
        """Of the Deployment's spec."""
        assert self._cell is not None
        template: Json = demo_integration(version, self._where, self._cell)["spec"]["workers"]["template"]
        template["metadata"]["labels"]["app"] = NAME
        named = {"fieldRef": {"fieldPath": f"metadata.labels['{VERSION}']"}}
        for container in template["spec"]["containers"]:
            container["env"].append({"name": ENV_REVISION, "valueFrom": named})
        return {"strategy": {"rollingUpdate": STRATEGIES[surge]}, "template": template}

    async def _patch(self, spec: Json) -> None:
        kind = {"Content-Type": "application/merge-patch+json"}
        _accepted(await self._kube.patch(f"{self._path}/{NAME}", json={"spec": spec}, headers=kind))


def _accepted(answer: httpx.Response) -> None:
    """Raises RuntimeError otherwise."""
    if answer.is_error:
        raise RuntimeError(f"the Deployment was refused: {answer.text}")
