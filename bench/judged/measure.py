"""Many releases on trial at once, on the api tier: what it costs to judge them while nothing is wrong.

Each integration has fake workers whose metrics are scraped for real and move all the time, and a queue that changes
within the size of its workers. Each has a new version as a canary, in a hold that outlasts the benchmark.
"""

import asyncio
import random
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import redis

from bench.cost import window
from bench.judged.workers import JOBS_PER_SECOND, MetricPods
from bench.many.load import CHANGING, Load
from bench.recorder import Json, Recorder
from bench.records import Writer, header, wait_for_quiet
from bench.stage import Run, cluster_for, kubernetes_version, logs_folder, namespace, operator, redis_on
from dev.cluster import Cluster, Tier
from tests.cluster.kube import collection, server_side_apply
from tests.cluster.objects import an_integration, worker_template

NAME = "judged"
WORKERS, WEIGHT = 5, 20  # one canary of five
#: Seconds: from the last canary at work to the window, and the window.
REST, WINDOW = 30.0, 120.0
SMOKE_REST, SMOKE_WINDOW = 1.0, 3.0
SETTLE_WITHIN = 480.0  # a maximum of five minutes is judged when they are over
#: The default guards that the fake workers have a metric for.
JUDGED = {"sync-errors", "webhook-latency"}


def run(how: Run, count: int) -> None:
    """Measure `count` (> 0) releases on trial; raw data goes to `<out>/judged.jsonl`."""
    with cluster_for(how, Tier.API) as cluster, redis_on("127.0.0.1") as url:
        asyncio.run(_measure(how, count, cluster, url))


async def _measure(how: Run, count: int, cluster: Cluster, url: str) -> None:
    rest, seconds = (SMOKE_REST, SMOKE_WINDOW) if how.smoke else (REST, WINDOW)
    settings = {
        "integrations": count,
        "workers": WORKERS,
        "weight": WEIGHT,
        "jobs_per_worker_per_s": JOBS_PER_SECOND,
        "changing_share_per_s": CHANGING,
        "rest_s": rest,
    }
    dice = random.Random(how.seed)
    with redis.Redis.from_url(url) as broker:
        async with namespace(cluster) as (kube, ns):
            version = await kubernetes_version(kube)
            out = Writer(how.out / f"{NAME}.jsonl", header(NAME, kubernetes=version, seed=how.seed, settings=settings))
            pods = f"/api/v1/namespaces/{ns}/pods"
            workers, recorder = MetricPods(kube, pods, dice), Recorder()
            watched = {"Pod": pods, "CrmIntegration": collection("crmintegrations", ns)}
            log = logs_folder() / f"{NAME}.log"
            with operator(cluster, log, namespaces=(ns,), lease_namespace=ns) as process:
                async with workers.serving() as port, recorder.watching(kube, watched), _addressed(workers, recorder):
                    load = Load(broker, [f"judged_{number}" for number in range(count)], dice)
                    load.fill()
                    releases = _Releases(kube, ns, url, port, recorder, count)
                    await releases.ship(1, phase="Stable")
                    await releases.ship(2, phase="Canary")
                    print(f"bench: {count} on trial, {rest + seconds:g} s", file=sys.stderr, flush=True)
                    changing = asyncio.create_task(load.run(rest + seconds, at_rest=lambda _: False))
                    await asyncio.sleep(rest)
                    await wait_for_quiet(how.quiet_load, how.patience_seconds)
                    scrapes = workers.scrapes
                    cost = await window(process, cluster.audit_log, seconds)
                    scrapes = workers.scrapes - scrapes
                    await changing
                    releases.check()
                    out.run(integrations=count, scrapes_per_s=round(scrapes / cost["seconds"], 1), **cost)


class _Releases:
    """The integrations."""

    def __init__(self, kube: httpx.AsyncClient, ns: str, url: str, port: int, recorder: Recorder, count: int) -> None:
        self._kube = kube
        self._integrations = collection("crmintegrations", ns)
        self._url, self._port = url, port
        self._recorder = recorder
        self._count = count

    async def ship(self, version: int, *, phase: str) -> None:
        """This version to all, and wait until each is in this phase with its guards read."""
        for number in range(self._count):
            body = an_integration(
                f"judged-{number}",
                workers={"template": worker_template(f"localhost/worker:{version}"), "concurrency": 2},
                queue={"url": self._url, "names": [f"judged_{number}"]},
                # The load lets jobs wait for a minute or so, and a queue that is late is a verdict, not a number.
                scaling={"minReplicas": WORKERS, "maxReplicas": WORKERS, "drainTarget": "10m"},
                rollout={"steps": [{"weight": WEIGHT, "hold": "10h"}]},
                metrics={"pods": {"port": self._port}},
            )
            path = f"{self._integrations}/{body['metadata']['name']}"
            (await server_side_apply(self._kube, path, body)).raise_for_status()
        await self._recorder.until(
            lambda: self._in(phase) == self._count, within=SETTLE_WITHIN, what=f"{self._count} releases in {phase}"
        )

    def check(self) -> None:
        """Raises RuntimeError when a release is not on trial any more."""
        self._recorder.check()
        if (left := self._in("Canary")) < self._count:
            raise RuntimeError(f"only {left} of {self._count} releases are still on trial, with their guards read")

    def _in(self, phase: str) -> int:
        return sum(_is_in(phase, item) for item in self._recorder.all("CrmIntegration"))


@asynccontextmanager
async def _addressed(workers: MetricPods, recorder: Recorder) -> AsyncIterator[None]:
    """While in the context each new pod gets its address."""

    def new() -> list[Json]:
        return [pod for pod in recorder.all("Pod") if workers.lacks(pod)]

    async def give() -> None:
        while True:
            for pod in await recorder.until(new, within=3600, what="a new pod"):
                await workers.give(pod)

    async with asyncio.TaskGroup() as group:
        task = group.create_task(give(), name="addresses")
        try:
            yield
        finally:
            task.cancel()


def _is_in(phase: str, integration: Json) -> bool:
    """The rollout is in that phase, and acts on the present spec; a canary's guards are read."""
    status: Json = integration.get("status") or {}
    if status.get("observedGeneration") != integration["metadata"]["generation"]:
        return False
    if (status.get("rollout") or {}).get("phase") != phase:
        return False
    guards: list[Json] = status.get("guards") or []
    return phase != "Canary" or {guard["name"] for guard in guards if guard["state"] == "OK"} >= JUDGED
