"""Plays the outages against the real operator on a real API server: fake nodes, workers that are real HTTP servers."""

import asyncio
import sys

from bench.outages import metrics, provider
from bench.outages.plans import Plan, plans, releases
from bench.outages.stage import BAKE, HOLD, LIMIT, OUTAGE, WEIGHT, WINDOW, WORKERS, Stage, stage, together
from bench.outages.workers import Workers
from bench.records import Writer, header, wait_for_quiet
from bench.stage import Run, cluster_for, kubernetes_version, logs_folder, namespace, operator, redis_on
from dev.cluster import Cluster, Tier

NAME = "outages"
#: A healthy worker's errors as it begins, and then in a second: all together stay below the limit in a window.
FIRST, BACKGROUND = 1, 0.02
#: Plans at a time; all share the machine with the operator.
AT_ONCE = 14
#: A release is shipped up to so long before the provider's outage: it may be Stable by then.
LONGEST_LEAD = 14.0


def run(how: Run) -> None:
    """Play everything; raw data goes to `<out>/outages.jsonl`."""
    with cluster_for(how, Tier.API) as cluster:
        asyncio.run(_measure(how, cluster))


async def _measure(how: Run, cluster: Cluster) -> None:
    settings = {
        "workers": WORKERS,
        "weight": WEIGHT,
        "hold_s": HOLD,
        "bake_s": BAKE,
        "window_s": WINDOW,
        "limit": LIMIT,
        "outage_s": OUTAGE,
        "first_errors": FIRST,
        "background_per_s": BACKGROUND,
    }
    with redis_on("127.0.0.1") as url:
        async with namespace(cluster) as (kube, ns):
            version = await kubernetes_version(kube)
            out = Writer(how.out / f"{NAME}.jsonl", header(NAME, kubernetes=version, seed=how.seed, settings=settings))
            await wait_for_quiet(how.quiet_load, how.patience_seconds)
            with operator(cluster, logs_folder() / f"{NAME}.log", namespaces=(ns,), lease_namespace=ns):
                async with stage(kube, ns, url, cluster, Workers(first=FIRST, background=BACKGROUND)) as scene:
                    await _metrics(scene, out, plans(how.seed)[: 4 if how.smoke else None])
                async with stage(kube, ns, url, cluster, Workers()) as scene:
                    await _provider(scene, out, how)


async def _metrics(scene: Stage, out: Writer, chosen: list[Plan]) -> None:
    room = asyncio.Semaphore(AT_ONCE)

    async def play(plan: Plan) -> None:
        async with room:
            found = await metrics.play(scene, plan)
            out.run(part="metrics", **found)
            _say(
                f"{plan.name}: {plan.fault}, {plan.whose}, {plan.when}: {found['end']}, {found['end_after_s']} s after"
            )
            await scene.remove(plan.name)

    await together(play(plan) for plan in chosen)


async def _provider(scene: Stage, out: Writer, how: Run) -> None:
    chosen = releases(how.seed, LONGEST_LEAD)[: 2 if how.smoke else None]
    for found in await provider.play(scene, chosen):
        out.run(part="provider", **found)
        _say(f"release-{found['release']:02}: was in {found['phase']}, blamed {found['blamed']}: {found['end']}")


def _say(what: str) -> None:
    print(f"bench: {what}", file=sys.stderr, flush=True)
