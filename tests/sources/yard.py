"""Pods with metrics ports on loopback addresses, and a hub that scrapes them."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

from aiohttp import web

from crm_operator.api.v1alpha1 import Guard
from crm_operator.domain.key import Key
from crm_operator.domain.world import Reading, Unknown
from crm_operator.sources.pods import PodHub, PodSource, PodTarget
from tests.misbehaving import Handler
from tests.sources.conftest import Changes, now, running

KEY = Key("crm", "hubspot")
ERRORS = "crm_sync_errors_total"


class FakePod:
    """A metrics port whose answer a test sets, on a loopback address of its own: all pods share one port."""

    def __init__(self, ip: str, *, revision: str = "old", age: timedelta | None = timedelta(hours=1)) -> None:
        self.target = PodTarget(
            name=f"pod-{ip}",
            uid=f"uid-{ip}",
            ip=ip,
            role="stable",
            revision=revision,
            started_at=None if age is None else now() - age,
        )
        self.text = ""
        self.handler: Handler | None = None
        self.requests = 0

    async def serve(self, request: web.BaseRequest) -> web.StreamResponse:
        self.requests += 1
        if self.handler is not None:
            return await self.handler(request)
        return web.Response(text=self.text)

    def says(self, **values: float) -> None:
        self.text = "".join(f"# TYPE {name} counter\n{name} {value}\n" for name, value in values.items())


class Yard:
    """Pods on one port, and a hub that scrapes them."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.pods: list[FakePod] = []
        self.changes = Changes()
        self.hub = PodHub(
            on_change=self.changes, clock=now, timeout=timedelta(seconds=0.3), concurrency=8, max_bytes=100_000
        )

    def source(
        self, *, targets: tuple[PodTarget, ...] | None = None, interval: float = 0.05, path: str = "/metrics"
    ) -> PodSource:
        return PodSource(
            port=self.port,
            path=path,
            interval=timedelta(seconds=interval),
            metrics=frozenset({ERRORS, "latency"}),
            window=timedelta(minutes=5),
            targets=tuple(pod.target for pod in self.pods) if targets is None else targets,
        )

    def overall(self, guard: Guard) -> Reading | Unknown:
        return self.hub.evidence(KEY, guard).overall

    async def when(self, guard: Guard, is_so: Callable[[Any], bool]) -> Any:
        return await self.changes.until(lambda: self.overall(guard), is_so=is_so)

    async def when_unhealthy(self) -> Unknown:
        found = await self.changes.until(lambda: self.hub.health(KEY), is_so=lambda health: isinstance(health, Unknown))
        assert isinstance(found, Unknown)
        return found


@asynccontextmanager
async def served(*pods: FakePod) -> AsyncIterator[Yard]:
    """The pods answer, each on its own address, and the hub watches them."""
    yard: Yard | None = None
    runners: list[web.ServerRunner] = []
    try:
        for pod in pods:
            runner = web.ServerRunner(web.Server(pod.serve, handler_cancellation=True), shutdown_timeout=0)
            await runner.setup()
            runners.append(runner)
            site = web.TCPSite(runner, pod.target.ip, yard.port if yard else 0)
            await site.start()
            yard = yard or Yard(runner.addresses[0][1])
            yard.pods.append(pod)
        assert yard is not None
        yard.hub.watch(KEY, yard.source())
        async with running(yard.hub):
            yield yard
    finally:
        for runner in runners:
            await runner.cleanup()
