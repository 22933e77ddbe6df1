"""What KWOK's pods lack: an address where a worker's metrics are served, with as many jobs as a test says."""

import random
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

from tests.cluster.scene import Scene

Json = dict[str, Any]


class FakeWorkers:
    """Metrics of pods, all on one port, each on a loopback address of its own. See `fake_workers`."""

    def __init__(self, scene: Scene, integration: str, port: int, runner: web.ServerRunner, network: str) -> None:
        self.port = port
        self._integration = integration
        self.jobs: dict[str, int] = {}  # in progress, by pod
        self.says: dict[str, str] = {}  # further lines, by pod
        self.idle: set[str] | None = None  # pods that finish nothing; the others do, a job at each read. None: not told
        self._done: Counter[str] = Counter()
        self._scene = scene
        self._runner = runner
        self._network = network
        self._pods: dict[str, str] = {}  # by address
        self._read: set[str] = set()  # pods that were scraped since `forget_reads`

    async def work(self, *jobs: int) -> list[str]:
        """The pods of `integration`, in the order of their names, work on so many jobs each; the names."""
        pods = [
            pod for pod in await self._scene.workers(self._integration) if "deletionTimestamp" not in pod["metadata"]
        ]
        assert len(pods) == len(jobs), [pod["metadata"]["name"] for pod in pods]
        names = sorted(pod["metadata"]["name"] for pod in pods)
        for name, number in zip(names, jobs, strict=True):
            self.jobs[name] = number
            if name not in self._pods.values():
                await self._give_address(name)
        await self.read_again(*names)
        return names

    async def read_again(self, *names: str) -> None:
        """Returns when each of these pods has been scraped once more."""
        self._read.clear()

        async def all_read() -> bool:
            return self._read >= set(names)

        await self._scene.eventually(all_read)

    async def serve(self, request: web.BaseRequest) -> web.StreamResponse:
        assert request.transport is not None
        pod = self._pods[request.transport.get_extra_info("sockname")[0]]
        self._read.add(pod)
        labels = '{queue_name="crm_hubspot",actor_name="sync"}'
        lines = ["# TYPE dramatiq_messages_inprogress gauge", f"dramatiq_messages_inprogress{labels} {self.jobs[pod]}"]
        if self.idle is not None:
            self._done[pod] += pod not in self.idle
            lines += ["# TYPE dramatiq_messages_total counter", f"dramatiq_messages_total{labels} {self._done[pod]}"]
        return web.Response(text="\n".join([*lines, self.says.get(pod, "")]))

    async def _give_address(self, pod: str) -> None:
        address = f"{self._network}.{len(self._pods) + 2}"
        self._pods[address] = pod
        await web.TCPSite(self._runner, address, self.port).start()
        status = {"podIP": address, "podIPs": [{"ip": address}]}
        await self._scene.patch(f"{self._scene.pods}/{pod}/status", {"status": status})


@asynccontextmanager
async def fake_workers(scene: Scene, integration: str = "hubspot") -> AsyncIterator[FakeWorkers]:
    """Of one integration until the end of the block; it needs `metrics: {pods: {port: PORT}}`."""
    network = f"127.{random.randrange(1, 255)}.{random.randrange(1, 255)}"  # other runs may be on this machine
    workers: FakeWorkers

    async def serve(request: web.BaseRequest) -> web.StreamResponse:
        return await workers.serve(request)

    runner = web.ServerRunner(web.Server(serve), shutdown_timeout=0)
    await runner.setup()
    try:
        await web.TCPSite(runner, f"{network}.1", 0).start()
        workers = FakeWorkers(scene, integration, runner.addresses[0][1], runner, network)
        yield workers
    finally:
        await runner.cleanup()
