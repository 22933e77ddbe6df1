"""What the operator costs while nothing happens, on the api tier: memory, CPU, and requests to the API server.

Requests are counted in the API server's audit log, by the operator's user agents; the benchmark itself asks nothing
meanwhile. Each window follows a settled state: every integration's status is written and its pod is there.
"""

import asyncio

import httpx

from bench.cost import window
from bench.recorder import Json, Recorder
from bench.records import Writer, header, wait_for_quiet
from bench.stage import Run, cluster_for, kubernetes_version, logs_folder, namespace, operator, redis_on
from dev.cluster import Cluster, Tier
from tests.cluster.kube import collection, server_side_apply
from tests.cluster.objects import an_integration

NAME = "idle"
#: (integrations, seconds of the window). Five minutes hold one renewal of each watch and one resync.
PARTS = ((0, 120.0), (200, 300.0))
SMOKE_PARTS = ((0, 3.0), (3, 3.0))
SETTLE_WITHIN = 180.0
#: After the last change: queues are read, statuses written, connections quiet.
REST_SECONDS = 20.0
SMOKE_REST_SECONDS = 1.0


def run(how: Run) -> None:
    """Measure each part with an operator of its own; raw data goes to `<out>/idle.jsonl`."""
    with cluster_for(how, Tier.API) as cluster, redis_on("127.0.0.1") as url:
        asyncio.run(_measure(how, cluster, url))


async def _measure(how: Run, cluster: Cluster, url: str) -> None:
    async with namespace(cluster) as (kube, ns):
        rest = SMOKE_REST_SECONDS if how.smoke else REST_SECONDS
        settings = {"rest_s": rest, "minReplicas": 1, "queues_per_integration": 1, "lease": True, "resync_s": 300}
        version = await kubernetes_version(kube)
        out = Writer(how.out / f"{NAME}.jsonl", header(NAME, kubernetes=version, seed=how.seed, settings=settings))
        for count, seconds in SMOKE_PARTS if how.smoke else PARTS:
            log = logs_folder() / f"idle-{count}.log"
            # The lease is part of the cost; it lives in the benchmark's namespace, so that nobody else holds it.
            with operator(cluster, log, namespaces=(ns,), lease_namespace=ns) as process:
                await _populate(kube, ns, url, count)
                await asyncio.sleep(rest)
                await wait_for_quiet(how.quiet_load, how.patience_seconds)
                out.run(integrations=count, **await window(process, cluster.audit_log, seconds))


async def _populate(kube: httpx.AsyncClient, ns: str, url: str, count: int) -> None:
    recorder = Recorder()
    integrations = collection("crmintegrations", ns)
    async with recorder.watching(kube, {"CrmIntegration": integrations}):
        for number in range(count):
            name = f"idle-{number}"
            body = an_integration(
                name,
                queue={"url": url, "names": [f"idle_{number}"]},
                scaling={"minReplicas": 1, "maxReplicas": 3},
            )
            (await server_side_apply(kube, f"{integrations}/{name}", body)).raise_for_status()
        await recorder.until(
            lambda: sum(map(_is_steady, recorder.all("CrmIntegration"))) == count,
            within=SETTLE_WITHIN,
            what=f"{count} integrations steady",
        )


def _is_steady(integration: Json) -> bool:
    status: Json = integration.get("status") or {}
    return bool(
        (status.get("workers") or {}).get("ready") == 1 and (status.get("rollout") or {}).get("phase") == "Stable"
    )
