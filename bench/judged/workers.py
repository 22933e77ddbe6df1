"""What KWOK's pods lack: an address each where a worker's metrics are served, of jobs that go on all the time."""

import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import httpx
from aiohttp import web

from bench.recorder import Json
from bench.rollback.story import is_ready

#: Jobs that a worker ends in a second on average, and how long each takes, in milliseconds.
JOBS_PER_SECOND, JOB_MILLIS = 10.0, (60.0, 140.0)
#: Seconds of a webhook: another value in each scrape, below the runbook's limits.
LATENCY = (0.2, 0.4)

_LABELS = '{queue_name="crm",actor_name="sync"}'
_TEXT = f"""# TYPE dramatiq_messages_total counter
dramatiq_messages_total{_LABELS} %(jobs)d
# TYPE dramatiq_messages_inprogress gauge
dramatiq_messages_inprogress{_LABELS} %(busy)d
# TYPE dramatiq_message_duration_milliseconds histogram
dramatiq_message_duration_milliseconds_bucket{{queue_name="crm",actor_name="sync",le="+Inf"}} %(jobs)d
dramatiq_message_duration_milliseconds_count{_LABELS} %(jobs)d
dramatiq_message_duration_milliseconds_sum{_LABELS} %(millis)f
# TYPE crm_sync_errors_total counter
crm_sync_errors_total 0
# TYPE webhook_latency_p95 gauge
webhook_latency_p95 %(latency)f
"""


@dataclass(slots=True)
class _Worker:
    dice: random.Random
    next_end: float = field(default_factory=time.monotonic)
    jobs: int = 0
    millis: float = 0.0

    def metrics(self) -> str:
        now = time.monotonic()
        while self.next_end <= now:
            self.next_end += self.dice.expovariate(JOBS_PER_SECOND)
            self.jobs += 1
            self.millis += self.dice.uniform(*JOB_MILLIS)
        return _TEXT % {
            "jobs": self.jobs,
            "millis": self.millis,
            "busy": self.dice.randrange(3),
            "latency": self.dice.uniform(*LATENCY),
        }


class MetricPods:
    """Addresses and metrics of pods, all on one port, each on a loopback address of its own."""

    def __init__(self, kube: httpx.AsyncClient, pods: str, dice: random.Random) -> None:
        """`pods` is the path of their namespace's collection."""
        self.scrapes = 0
        self._kube = kube
        self._pods = pods
        self._dice = dice
        # Others on this machine may do the same.
        self._network = f"127.{dice.randrange(1, 255)}"
        self._by_address: dict[str, _Worker] = {}
        self._addresses: dict[str, str] = {}  # by the pod's uid
        self._runner = web.ServerRunner(web.Server(self._serve), shutdown_timeout=0)

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[int]:
        """Until the end of the block; the port."""
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, f"{self._network}.0.1", 0).start()
            yield self.port
        finally:
            await self._runner.cleanup()

    @property
    def port(self) -> int:
        """Of all of them."""
        port: int = self._runner.addresses[0][1]
        return port

    @property
    def addresses(self) -> list[str]:
        """In the order in which they were given."""
        return list(self._by_address)

    def lacks(self, pod: Json) -> bool:
        """Whether it is Ready and has not its address, or not any more: KWOK gives one of its own."""
        return is_ready(pod) and pod["status"].get("podIP") != self._addresses.get(pod["metadata"]["uid"])

    async def give(self, pod: Json) -> None:
        """Its address to a pod that lacks it. Raises httpx.HTTPStatusError."""
        address = self._addresses.get(pod["metadata"]["uid"])
        if address is None:
            number = len(self._addresses) + 2
            address = self._addresses[pod["metadata"]["uid"]] = f"{self._network}.{number // 250}.{number % 250 + 2}"
            self._by_address[address] = _Worker(self._dice)
            await web.TCPSite(self._runner, address, self.port).start()
        body = {"status": {"podIP": address, "podIPs": [{"ip": address}]}}
        path = f"{self._pods}/{pod['metadata']['name']}/status"
        answer = await self._kube.patch(path, json=body, headers={"content-type": "application/merge-patch+json"})
        if answer.status_code != httpx.codes.NOT_FOUND:  # it is gone
            answer.raise_for_status()

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        assert request.transport is not None
        self.scrapes += 1
        return web.Response(text=self._by_address[request.transport.get_extra_info("sockname")[0]].metrics())
