"""Measures one number of integrations on the api tier: busy, quiet, and over a restart of the operator.

A decision's lag runs from the moment in which a burst is in Redis, on Redis's clock, to the receipt of the Deployment
with the needed size by a watch: one machine, so one clock.
"""

import asyncio
import random
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import httpx
import redis

from bench.cost import count_requests, peak_bytes, size, tail, where_time_goes, window
from bench.many.load import BURST_EVERY, BURST_FOR, BURSTS, CHANGING, JOBS_PER_WORKER, Burst, Load
from bench.recorder import Json, Recorder
from bench.records import Writer, header, wait_for_quiet
from bench.stage import Run, cluster_for, kubernetes_version, logs_folder, namespace, operator, redis_on
from dev.cluster import Cluster, Tier
from dev.operator import OperatorProcess
from tests.cluster.kube import collection, server_side_apply
from tests.cluster.objects import an_integration

NAME = "many"
#: Requests at a time when integrations are made.
MAKERS = 8
SETTLE_WITHIN = 300.0
#: For the last decisions of a window.
ANSWER_WITHIN = 60.0
#: For the sizes after a restart.
RESTART_WITHIN = 180.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Windows:
    """Seconds."""

    busy: float = 45.0
    rest: float = 20.0  # without a write, longer than live numbers wait: then nothing is left to do
    quiet: float = 30.0


SMOKE = Windows(busy=4.0, rest=1.0, quiet=2.0)


def run(how: Run, counts: Sequence[int], *, burst_every: float = BURST_EVERY) -> None:
    """Measure each of `counts` with an operator of its own; raw data goes to `<out>/many-COUNT.jsonl`.

    `burst_every`: seconds between two bursts of a queue; another than the usual is in the file's name.
    """
    with cluster_for(how, Tier.API) as cluster:
        for count in counts:
            asyncio.run(_measure(how, cluster, count, SMOKE if how.smoke else Windows(), burst_every))


async def _measure(how: Run, cluster: Cluster, count: int, windows: Windows, burst_every: float) -> None:
    with redis_on("127.0.0.1") as url, redis.Redis.from_url(url) as broker:
        async with namespace(cluster) as (kube, ns):
            settings = {
                "integrations": count,
                "backlogPerReplica": JOBS_PER_WORKER,
                "changing_share_per_s": CHANGING,
                "burst_every_s": burst_every,
                "burst_for_s": BURST_FOR,
                "rest_s": windows.rest,
            }
            version = await kubernetes_version(kube)
            about = header(NAME, kubernetes=version, seed=how.seed, settings=settings)
            out = Writer(how.out / f"{series_name(count, burst_every)}.jsonl", about)
            log = logs_folder() / f"{NAME}-{count}.log"
            with operator(cluster, log, namespaces=(ns,), lease_namespace=ns) as process:
                names = [f"many_{number}" for number in range(count)]
                load = Load(broker, names, random.Random(how.seed), burst_every=burst_every)
                fleet = _Fleet(cluster, kube, ns, process, load, windows)
                out.run(**await fleet.measure(url, how))


class _Fleet:
    """The integrations of one measurement."""

    def __init__(
        self, cluster: Cluster, kube: httpx.AsyncClient, ns: str, process: OperatorProcess, load: Load, windows: Windows
    ) -> None:
        self._cluster = cluster
        self._kube = kube
        self._integrations = collection("crmintegrations", ns)
        self._deployments = f"/apis/apps/v1/namespaces/{ns}/deployments"
        self._process = process
        self._load = load
        self._windows = windows
        self._recorder = Recorder()

    async def measure(self, url: str, how: Run) -> Json:
        self._load.fill()
        populate = await self._populate(url)
        _say(f"{len(self._load.queues)} integrations steady after {populate:.0f} s")
        async with self._recorder.watching(self._kube, {"Deployment": self._deployments}):
            await wait_for_quiet(how.quiet_load, how.patience_seconds)
            made = await self._rested()
            _say(f"at rest after {made:.0f} s; busy for {self._windows.busy:g} s")
            busy = await self._busy()
            self._load.calm()
            calmed = await self._rested()
            _say(f"at rest after {calmed:.0f} s; quiet for {self._windows.quiet:g} s")
            quiet = await window(self._process, self._cluster.audit_log, self._windows.quiet)
            _say("restart")
            restart = await self._restart()
        return {
            "integrations": len(self._load.queues),
            "populate_s": populate,
            "rest_s": [made, calmed],
            "busy": busy,
            "quiet": quiet,
            "restart": restart,
        }

    async def _rested(self) -> float:
        """Seconds until the operator has written nothing for a while: what is left over is no part of what follows."""
        began = time.monotonic()
        while True:
            offset = size(self._cluster.audit_log)
            await asyncio.sleep(self._windows.rest)
            written = [what for what in count_requests(tail(self._cluster.audit_log, offset)) if _is_write(what)]
            if not written:
                return round(time.monotonic() - began, 1)
            if time.monotonic() - began > SETTLE_WITHIN:
                raise TimeoutError(f"the operator still writes after {SETTLE_WITHIN:g} s: {written}")

    async def _populate(self, url: str) -> float:
        """Seconds until all are steady with one worker each."""
        began = time.monotonic()
        names = [_name(number) for number in range(len(self._load.queues))]
        pending = list(reversed(names))
        recorder = Recorder()

        def all_are_steady() -> bool:
            while pending and _is_steady(recorder.get("CrmIntegration", pending[-1])):
                pending.pop()
            return not pending

        async def make(share: Iterator[str]) -> None:
            for name in share:
                body = an_integration(
                    name,
                    queue={"url": url, "names": [name.replace("-", "_")]},
                    scaling={"maxReplicas": 3, "backlogPerReplica": JOBS_PER_WORKER, "scaleDownAfter": "5s"},
                )
                (await server_side_apply(self._kube, f"{self._integrations}/{name}", body)).raise_for_status()

        async with recorder.watching(self._kube, {"CrmIntegration": self._integrations}):
            share = iter(names)
            async with asyncio.TaskGroup() as group:
                for _ in range(MAKERS):
                    group.create_task(make(share))
            await recorder.until(all_are_steady, within=SETTLE_WITHIN, what=f"{len(names)} integrations steady")
        return round(time.monotonic() - began, 1)

    async def _busy(self) -> Json:
        self._recorder.clear()
        before = await asyncio.to_thread(self._process.metrics)
        cost = asyncio.create_task(window(self._process, self._cluster.audit_log, self._windows.busy))
        bursts = await self._load.run(self._windows.busy, at_rest=self._has_one_worker)
        found = await cost
        means = where_time_goes(before, await asyncio.to_thread(self._process.metrics))
        lags = await self._lags(bursts, within=ANSWER_WITHIN)
        return {**found, "bursts": len(bursts), "means_ms": means, "lags_s": lags}

    async def _restart(self) -> Json:
        """Sizes that are wrong when the operator comes back: of one in ten, whose queues grew while it was away."""
        self._process.stop()
        self._recorder.clear()
        numbers = range(0, len(self._load.queues), 10)
        bursts = [self._load.burst(number, BURSTS[0]) for number in numbers]
        offset, began = size(self._cluster.audit_log), time.time()
        await asyncio.to_thread(self._process.start)
        ready = time.time() - began
        lags = await self._lags([Burst(burst.number, burst.workers, began) for burst in bursts], within=RESTART_WITHIN)
        await self._rested()  # what follows from it is part of the cost
        return {
            "ready_s": round(ready, 2),
            "changed": len(bursts),
            "sizes_s": lags,
            "rss_mib": round(self._process.rss_bytes() / 2**20, 1),
            "rss_peak_mib": round(peak_bytes(self._process.pid) / 2**20, 1),
            "cpu_s": round(self._process.cpu_seconds(), 2),
            "requests": count_requests(tail(self._cluster.audit_log, offset)),
        }

    async def _lags(self, bursts: Sequence[Burst], *, within: float) -> list[float]:
        """Seconds from each burst to its size, in the order of bursts. Raises TimeoutError when one is not answered."""
        of: dict[str, list[Burst]] = {}
        for burst in bursts:
            of.setdefault(_name(burst.number), []).append(burst)
        lags: dict[Burst, float] = {}
        read = 0

        def all_are_answered() -> bool:
            nonlocal read
            changes = self._recorder.changes
            for change in changes[read:]:
                for burst in of.get(change.name, ()):
                    if change.at >= burst.at and change.object["spec"]["replicas"] >= burst.workers:
                        lags.setdefault(burst, round(change.at - burst.at, 3))
            read = len(changes)
            return len(lags) == len(bursts)

        await self._recorder.until(all_are_answered, within=within, what=f"{len(bursts)} bursts answered")
        return [lags[burst] for burst in bursts]

    def _has_one_worker(self, number: int) -> bool:
        live = self._recorder.get("Deployment", _name(number))
        return live is not None and live["spec"]["replicas"] == 1


def series_name(count: int, burst_every: float) -> str:
    """Of the file of raw data, without its ending."""
    return f"{NAME}-{count}" if burst_every == BURST_EVERY else f"{NAME}-{count}-every-{burst_every:g}"


def _is_write(what: str) -> bool:
    """Of `count_requests`, a verb and what it was for."""
    return what.partition(" ")[0] in ("patch", "create", "update", "delete")


def _say(what: str) -> None:
    print(f"bench: {what}", file=sys.stderr, flush=True)


def _name(number: int) -> str:
    return f"many-{number}"


def _is_steady(integration: Json | None) -> bool:
    status: Json = (integration or {}).get("status") or {}
    return bool(
        (status.get("workers") or {}).get("ready") == 1 and (status.get("rollout") or {}).get("phase") == "Stable"
    )
