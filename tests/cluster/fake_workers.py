"""What KWOK's pods lack: an address where a worker's metrics are served, with as many jobs as a test says."""

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

from tests.cluster.scene import Scene
from tests.pod_servers import PodServers, pod_servers

Json = dict[str, Any]


class FakeWorkers:
    """Metrics of one integration's pods. See `fake_workers`."""

    def __init__(self, scene: Scene, integration: str) -> None:
        self.jobs: dict[str, int] = {}  # in progress, by pod
        self.says: dict[str, str] = {}  # further lines, by pod
        self.idle: set[str] | None = None  # pods that finish nothing; the others do, a job at each read. None: not told
        self._done: Counter[str] = Counter()
        self.servers: PodServers
        self._integration = integration
        self._scene = scene
        self._read: set[str] = set()  # pods that were scraped since `forget_reads`

    @property
    def port(self) -> int:
        return self.servers.port

    async def work(self, *jobs: int) -> list[str]:
        """The pods of `integration`, in the order of their names, work on so many jobs each; the names."""
        pods = [
            pod for pod in await self._scene.workers(self._integration) if "deletionTimestamp" not in pod["metadata"]
        ]
        assert len(pods) == len(jobs), [pod["metadata"]["name"] for pod in pods]
        names = sorted(pod["metadata"]["name"] for pod in pods)
        for name, number in zip(names, jobs, strict=True):
            self.jobs[name] = number
            if not self.servers.has(name):
                await self._give_address(name)
        await self.read_again(*names)
        return names

    async def read_again(self, *names: str) -> None:
        """Returns when each of these pods has been scraped once more."""
        self._read.clear()

        async def all_read() -> bool:
            return self._read >= set(names)

        await self._scene.eventually(all_read)

    async def serve(self, pod: str, request: web.BaseRequest) -> web.StreamResponse:
        self._read.add(pod)
        labels = '{queue_name="crm_hubspot",actor_name="sync"}'
        lines = ["# TYPE dramatiq_messages_inprogress gauge", f"dramatiq_messages_inprogress{labels} {self.jobs[pod]}"]
        if self.idle is not None:
            self._done[pod] += pod not in self.idle
            lines += ["# TYPE dramatiq_messages_total counter", f"dramatiq_messages_total{labels} {self._done[pod]}"]
        return web.Response(text="\n".join([*lines, self.says.get(pod, "")]))

    async def _give_address(self, pod: str) -> None:
        address = await self.servers.open(pod)
        status = {"podIP": address, "podIPs": [{"ip": address}]}
        await self._scene.patch(f"{self._scene.pods}/{pod}/status", {"status": status})


@asynccontextmanager
async def fake_workers(scene: Scene, integration: str = "hubspot") -> AsyncIterator[FakeWorkers]:
    """Of one integration until the end of the block; it needs `metrics: {pods: {port: PORT}}`."""
    workers = FakeWorkers(scene, integration)
    async with pod_servers(workers.serve) as workers.servers:
        yield workers
