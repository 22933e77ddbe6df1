"""Replays traces on the api tier: a real Redis with real Dramatiq messages, fake pods, and whoever scales them.

Each trace has a namespace, a Redis and, where it is asked for, an operator of its own. Once a second the queue is
counted, and each change of the Deployment is taken from a watch; a fleet as large as its Ready pods works jobs off.
"""

import asyncio
import sys
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import redis

from bench.cost import count_requests, peak_bytes, tail
from bench.jobs import send
from bench.recorder import Json, Recorder
from bench.records import Writer, header, wait_for_quiet
from bench.scaling.fleet import Fleet
from bench.scaling.hpa import TUNED_SYNC_SECONDS, Adapter, autoscaler
from bench.scaling.pods import ready_after
from bench.scaling.scalers import NAME, QUEUE, Kind, Scaler, deployment, integration
from bench.scaling.score import tally
from bench.scaling.traces import CONCURRENCY, DRAIN_TARGET, JOB_SECONDS, MAX_REPLICAS, Trace
from bench.stage import Run, cluster_for, kubernetes_version, logs_folder, namespace, operator, redis_on
from dev.cluster import Cluster, Tier
from dev.operator import OperatorProcess
from tests.cluster.kube import collection, server_side_apply

#: Seconds between steps of the fleet: how late an idle worker may begin a job.
TICK = 0.025
#: For the Deployment and its pods to be there.
SETTLE_WITHIN = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """How traces are replayed."""

    scaler: Scaler
    ready_after: float  # seconds from a pod's node to Ready
    redis_port: int | None = None  # None: any
    manifests: tuple[Path, ...] = ()  # for an external scaler: applied to the namespace beside the Deployment
    settle: float = 0.0  # seconds to give an external scaler before each trace
    scaling: Mapping[str, str | int] = field(default_factory=dict)  # of the operator's spec, in place of the usual


def run(how: Run, setting: Setting, traces: Sequence[Trace]) -> Path:
    """Replay all traces; returns the file of raw data, `<out>/scaling-LABEL.jsonl`."""
    path = how.out / f"scaling-{setting.scaler.label}.jsonl"
    sync = TUNED_SYNC_SECONDS if setting.scaler.kind is Kind.HPA_TUNED else 15
    with (
        cluster_for(how, Tier.API, autoscaler_sync_seconds=sync) as cluster,
        adapter_for(setting.scaler, cluster) as adapter,
    ):
        labels = ready_after(cluster, setting.ready_after)
        asyncio.run(_replay(how, setting, traces, cluster, labels, path, adapter))
    return path


@contextmanager
def adapter_for(scaler: Scaler, cluster: Cluster) -> Iterator[Adapter | None]:
    """What tells an HPA the length of the queue, if one is to scale."""
    if not scaler.is_hpa:
        yield None
        return
    with Adapter() as adapter, adapter.registered(cluster):
        yield adapter


async def _replay(
    how: Run,
    setting: Setting,
    traces: Sequence[Trace],
    cluster: Cluster,
    labels: dict[str, str],
    path: Path,
    adapter: Adapter | None,
) -> None:
    out: Writer | None = None
    for trace in traces:
        print(f"bench: {trace.name}, {trace.seconds:g} s", file=sys.stderr, flush=True)
        async with namespace(cluster) as (kube, ns):
            if out is None:
                version = await kubernetes_version(kube)
                out = Writer(path, header("scaling", kubernetes=version, seed=how.seed, settings=_settings(setting)))
            with redis_on("127.0.0.1", setting.redis_port) as url, _scaling(setting, cluster, ns, trace) as process:
                if adapter is not None:
                    adapter.url = url
                await wait_for_quiet(how.quiet_load, how.patience_seconds)
                scene = _Scene(cluster, kube, ns, url, process)
                out.run(scaler=setting.scaler.label, **await scene.replay(setting, trace, labels))


def _settings(setting: Setting) -> Json:
    return {
        "scaler": setting.scaler.label,
        "ready_after_s": setting.ready_after,
        "concurrency": CONCURRENCY,
        "job_s": JOB_SECONDS,
        "maxReplicas": MAX_REPLICAS,
        "drainTarget_s": DRAIN_TARGET,
        "scaling": dict(setting.scaling),
        "manifests": [path.name for path in setting.manifests],
    }


@contextmanager
def _scaling(setting: Setting, cluster: Cluster, ns: str, trace: Trace) -> Iterator[OperatorProcess | None]:
    """The operator, if it is to scale."""
    if setting.scaler.kind is not Kind.OPERATOR:
        yield None
        return
    with operator(cluster, logs_folder() / f"replay-{trace.name}.log", namespaces=(ns,)) as process:
        yield process


@dataclass(frozen=True, slots=True)
class _Scene:
    """One trace's cluster, namespace, Redis and operator."""

    cluster: Cluster
    kube: httpx.AsyncClient
    ns: str
    url: str
    process: OperatorProcess | None

    async def replay(self, setting: Setting, trace: Trace, labels: dict[str, str]) -> Json:
        """The record of one trace, without scores: `score` computes them from it."""
        recorder = Recorder()
        async with recorder.watching(self.kube, {"Deployment": self._deployments}):
            await self._create(setting, trace, labels)
            await recorder.until(lambda: _is_settled(recorder), within=SETTLE_WITHIN, what="the Deployment is complete")
            # The audit log is written in batches: what led here must not be counted.
            await asyncio.sleep(max(setting.settle, 1.0))
            with redis.Redis.from_url(self.url) as broker:
                return await self._trace(trace, recorder, broker)

    @property
    def _deployments(self) -> str:
        return f"/apis/apps/v1/namespaces/{self.ns}/deployments"

    async def _create(self, setting: Setting, trace: Trace, labels: dict[str, str]) -> None:
        if setting.scaler.kind is Kind.OPERATOR:
            path = f"{collection('crmintegrations', self.ns)}/{NAME}"
            body = integration(self.url, trace.limit, labels, scaling=setting.scaling)
        else:
            replicas = 1 if setting.scaler.is_hpa else setting.scaler.number
            path, body = f"{self._deployments}/{NAME}", deployment(replicas, labels)
        (await server_side_apply(self.kube, path, body)).raise_for_status()
        if setting.scaler.is_hpa:
            path = f"/apis/autoscaling/v2/namespaces/{self.ns}/horizontalpodautoscalers/{NAME}"
            body = autoscaler(setting.scaler.number, tuned=setting.scaler.kind is Kind.HPA_TUNED)
            (await server_side_apply(self.kube, path, body)).raise_for_status()
        for manifest in setting.manifests:
            self.cluster.run_kubectl("apply", "--namespace", self.ns, "--filename", str(manifest))

    async def _trace(self, trace: Trace, recorder: Recorder, broker: redis.Redis) -> Json:
        fleet = Fleet(broker, QUEUE, concurrency=CONCURRENCY, job_seconds=JOB_SECONDS, limit=trace.limit)
        samples: list[tuple[int, int, int]] = []
        recorder.clear()
        at_first = _sizes(recorder.get("Deployment", NAME))
        mark = self.cluster.audit_log.stat().st_size
        cpu = 0.0 if self.process is None else self.process.cpu_seconds()
        began = time.time()
        end = began + trace.seconds

        async def send_all() -> None:
            for arrival in trace.arrivals:
                await _until(began + arrival.at)
                send(broker, QUEUE, arrival.jobs)

        async def work() -> None:
            while (now := time.time()) < end:
                fleet.step(now, ready=_sizes(recorder.get("Deployment", NAME))[2])
                await asyncio.sleep(TICK)

        async def sample() -> None:
            for second in range(int(trace.seconds) + 1):
                await _until(began + second)
                ready = int(broker.llen(f"dramatiq:{QUEUE}"))
                samples.append((second, ready, int(broker.hlen(f"dramatiq:{QUEUE}.msgs")) - ready))

        await _together(send_all, work, sample)
        recorder.check()
        unbegun = fleet.unbegun(end)
        sizes = [(0.0, *at_first)]
        for change in recorder.changes:
            seen = _sizes(change.object)
            if change.name == NAME and change.at <= end and seen != sizes[-1][1:]:
                sizes.append((round(change.at - began, 3), *seen))
        return {
            "trace": trace.name,
            "seconds": trace.seconds,
            "jobs": trace.jobs,
            "done": fleet.done,
            "unbegun": len(unbegun),
            "refused": fleet.provider.refused,
            **(await self._cost(cpu, mark) if self.process is not None else {}),
            "sizes": sizes,  # seconds; asked for, there, Ready
            "waits": tally(fleet.waits + unbegun),
            "samples": samples,  # second; jobs waiting, fetched by workers
        }

    async def _cost(self, cpu: float, mark: int) -> Json:
        assert self.process is not None
        used, peak = self.process.cpu_seconds() - cpu, peak_bytes(self.process.pid)
        await asyncio.sleep(1)  # the audit log is written in batches
        return {
            "cpu_s": round(used, 2),
            "rss_peak_mib": round(peak / 2**20, 1),
            "requests": count_requests(tail(self.cluster.audit_log, mark)),
        }


async def _together(*parts: Callable[[], Coroutine[None, None, None]]) -> None:
    async with asyncio.TaskGroup() as group:
        for part in parts:
            group.create_task(part())


async def _until(at: float) -> None:
    await asyncio.sleep(max(0.0, at - time.time()))


def _sizes(live: Json | None) -> tuple[int, int, int]:
    """Replicas of a Deployment: asked for, there, Ready."""
    if live is None:
        return 0, 0, 0
    status: Json = live.get("status") or {}
    return live["spec"]["replicas"], status.get("replicas", 0), status.get("readyReplicas", 0)


def _is_settled(recorder: Recorder) -> bool:
    live = recorder.get("Deployment", NAME)
    return live is not None and len(set(_sizes(live))) == 1
