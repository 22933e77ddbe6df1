"""Burst -> `spec.replicas` at the needed value, on the api tier: the operator's own reaction, without pod starts.

From just before the burst is sent to Redis (one pipeline of two commands) to the receipt of the Deployment with the
needed size by a watch, on one machine's clock. Cells are shuffled, and a random wait of up to two seconds before each
burst makes its phase against the operator's clock random.
"""

import asyncio
import random
import time
from collections.abc import Sequence

import httpx
import redis

from bench.jobs import send
from bench.recorder import Json, Recorder
from bench.records import Writer, header, wait_for_quiet
from bench.stage import Run, cluster_for, kubernetes_version, logs_folder, namespace, operator, redis_on
from dev.cluster import Cluster, Tier
from tests.cluster.kube import collection, server_side_apply
from tests.cluster.objects import an_integration

NAME = "scale"
JOBS_PER_WORKER = 10
TARGETS = (4, 20, 50)
BASES = (0, 1)
RUNS = 40
#: Settling is the Deployment's and the fake nodes' business; it is waited for and not measured.
SETTLE_WITHIN = 60.0
REACT_WITHIN = 30.0
MAX_PHASE_SECONDS = 2.0


def run(how: Run) -> None:
    """Measure all cells; raw data goes to `<out>/scale.jsonl`."""
    with cluster_for(how, Tier.API) as cluster, redis_on("127.0.0.1") as url:
        asyncio.run(_measure(how, cluster, url))


async def _measure(how: Run, cluster: Cluster, url: str) -> None:
    targets, runs = ((4,), 1) if how.smoke else (TARGETS, RUNS)
    dice = random.Random(how.seed)
    cells = [(base, target) for base in BASES for target in targets for _ in range(runs)]
    dice.shuffle(cells)
    async with namespace(cluster) as (kube, ns):
        settings = {"jobs_per_worker": JOBS_PER_WORKER, "scaleDownAfter": "1s", "max_phase_s": MAX_PHASE_SECONDS}
        version = await kubernetes_version(kube)
        out = Writer(how.out / f"{NAME}.jsonl", header(NAME, kubernetes=version, seed=how.seed, settings={**settings}))
        recorder = Recorder()
        with operator(cluster, logs_folder() / "scale.log", namespaces=(ns,)), redis.Redis.from_url(url) as broker:
            deployments = {"Deployment": f"/apis/apps/v1/namespaces/{ns}/deployments"}
            async with recorder.watching(kube, deployments):
                for base in BASES:
                    await _create(kube, ns, base, url)
                await wait_for_quiet(how.quiet_load, how.patience_seconds)
                for base, target in cells:
                    for other in BASES:
                        await _settled(recorder, other)
                    await asyncio.sleep(dice.uniform(0, MAX_PHASE_SECONDS))
                    out.run(**{"from": base, "to": target}, **await _burst(recorder, broker, base, target))


async def _create(kube: httpx.AsyncClient, ns: str, base: int, url: str) -> None:
    name = _name(base)
    body = an_integration(
        name,
        queue={"url": url, "names": [_queue(base)]},
        scaling={
            "minReplicas": base,
            "maxReplicas": max(TARGETS),
            "backlogPerReplica": JOBS_PER_WORKER,
            "scaleDownAfter": "1s",
        },
        guards=[],
    )
    (await server_side_apply(kube, f"{collection('crmintegrations', ns)}/{name}", body)).raise_for_status()


async def _settled(recorder: Recorder, base: int) -> None:
    def look() -> bool:
        live = recorder.get("Deployment", _name(base))
        if live is None:
            return False
        status: Json = live.get("status") or {}
        return bool(live["spec"]["replicas"] == base and status.get("replicas", 0) == base)

    await recorder.until(look, within=SETTLE_WITHIN, what=f"{_name(base)} back at {base} workers")


async def _burst(recorder: Recorder, broker: redis.Redis, base: int, target: int) -> Json:
    key = f"dramatiq:{_queue(base)}"
    recorder.clear()
    began = time.time()
    send(broker, _queue(base), target * JOBS_PER_WORKER)
    sent = time.time()
    try:
        reached = await recorder.until(
            lambda: recorder.first(
                lambda change: change.name == _name(base) and change.object["spec"]["replicas"] == target
            ),
            within=REACT_WITHIN,
            what=f"{_name(base)} at {target} workers",
        )
        sizes: Sequence[int] = [
            change.object["spec"]["replicas"]
            for change in recorder.changes
            if change.name == _name(base) and change.at <= reached.at
        ]
    finally:
        broker.delete(key, f"{key}.msgs")
    return {
        "seconds": round(reached.at - began, 4),
        "sending_s": round(sent - began, 4),
        "sizes": sorted(set(sizes) - {base}),
    }


def _name(base: int) -> str:
    return f"from-{base}"


def _queue(base: int) -> str:
    return f"bench_{base}"
