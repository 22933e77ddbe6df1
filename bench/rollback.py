"""A bad version under load -> canary at 0 and its last job, on the node tier: real Dramatiq workers in real pods.

Redis and the fake HubSpot run on the machine beside the node; the operator is a local process. Every run ships a new
bad version; which of its jobs fails first, and when it is shipped, are random, so the phase against the scrapes is.
The guard is critical above 0, so that the first failed job is the crossing. All times are of one machine's clock:
HubSpot's for jobs, watch receipt for objects.
"""

import asyncio
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx

from bench.recorder import Change, Json, Recorder
from bench.records import REPOSITORY, Writer, header, wait_for_quiet
from bench.stage import Run, cluster_for, free_port, kubernetes_version, logs_folder, namespace, operator, redis_on
from crm_operator.api.names import LABEL_REVISION, LABEL_ROLE
from demo.app.hubspot_client import HubSpotAdmin
from demo.app.hubspot_stats import RevisionStats
from demo.app.load import LoadGenerator
from demo.app.settings import BrokerSettings
from demo.images import app_image
from demo.versions import integration
from dev.cluster import Cluster, Tier
from tests.cluster.kube import collection, server_side_apply

NAME = "rollback"
RUNS = 20
WORKERS, WEIGHT = 5, 20  # one canary
JOBS_PER_SECOND = 25.0
FAIL_EVERY = (3, 15)  # drawn for each run
MAX_PHASE_SECONDS = 3.0
START_WITHIN, ROLLBACK_WITHIN, SETTLE_WITHIN = 120.0, 60.0, 90.0
INTEGRATION, CANARY = "hubspot", "hubspot-canary"


def run(how: Run) -> None:
    """Measure all runs; raw data goes to `<out>/rollback.jsonl`."""
    with cluster_for(how, Tier.NODE) as cluster:
        cluster.load_image(app_image())
        with redis_on(cluster.host_ip) as url, _hubspot(cluster.host_ip) as hubspot:
            asyncio.run(_measure(how, cluster, url, hubspot))


async def _measure(how: Run, cluster: Cluster, redis_url: str, hubspot_url: str) -> None:
    runs = 1 if how.smoke else RUNS
    dice = random.Random(how.seed)
    settings = {
        "workers": WORKERS,
        "weight": WEIGHT,
        "jobs_per_s": JOBS_PER_SECOND,
        "fail_every": list(FAIL_EVERY),
        "critical_above": 0,
        "max_phase_s": MAX_PHASE_SECONDS,
    }
    async with namespace(cluster) as (kube, ns):
        version = await kubernetes_version(kube)
        out = Writer(how.out / f"{NAME}.jsonl", header(NAME, kubernetes=version, seed=how.seed, settings=settings))
        bench = _Bench(kube, ns, redis_url, hubspot_url)
        secret = {"metadata": {"name": "hubspot-token"}, "stringData": {"token": "demo-token"}}
        (await kube.post(f"/api/v1/namespaces/{ns}/secrets", json=secret)).raise_for_status()
        watched = {
            "Deployment": f"/apis/apps/v1/namespaces/{ns}/deployments",
            "Pod": f"/api/v1/namespaces/{ns}/pods",
            "CrmIntegration": collection("crmintegrations", ns),
        }
        load = LoadGenerator(BrokerSettings(redis_url=redis_url))
        with operator(cluster, logs_folder() / "rollback.log", namespaces=(ns,)), load:
            async with bench.recorder.watching(kube, watched):
                await bench.ship("good")
                await bench.settled(START_WITHIN)
                load.start(JOBS_PER_SECOND)
                await wait_for_quiet(how.quiet_load, how.patience_seconds)
                for number in range(1, runs + 1):
                    await asyncio.sleep(1 + dice.uniform(0, MAX_PHASE_SECONDS))
                    fail_every = dice.randint(*FAIL_EVERY)
                    found = await bench.one(f"bad-{number}", fail_every)
                    out.run(fail_every=fail_every, **found)
                    await bench.settled(SETTLE_WITHIN)
                load.stop()


class _Bench:
    """The integration under test and what is seen of it."""

    def __init__(self, kube: httpx.AsyncClient, ns: str, redis_url: str, hubspot_url: str) -> None:
        self._kube, self._ns = kube, ns
        self._redis_url, self._hubspot_url = redis_url, hubspot_url
        self._hubspot = HubSpotAdmin(hubspot_url)
        self.recorder = Recorder()

    async def ship(self, version: str, *, fail_every: int = 0) -> None:
        """Apply the integration as this version."""
        body = integration(version, FAIL_EVERY=str(fail_every))
        body["metadata"] = {"name": INTEGRATION}
        spec = body["spec"]
        container = spec["workers"]["template"]["spec"]["containers"][0]
        for variable in container["env"]:
            if variable["name"] == "REDIS_URL":
                variable["value"] = self._redis_url
            if variable["name"] == "HUBSPOT_URL":
                variable["value"] = self._hubspot_url
        spec["queue"]["url"] = self._redis_url
        spec["scaling"] = {"minReplicas": WORKERS, "maxReplicas": WORKERS}
        spec["rollout"] = {"steps": [{"weight": WEIGHT, "hold": "10m"}], "bake": "0s"}
        spec["metrics"] = {"pods": {"port": 9191, "path": "/metrics"}}  # the default interval; 1 s while on trial
        guard = next(guard for guard in spec["guards"] if guard["name"] == "sync-errors")
        spec["guards"] = [{**guard, "warning": {"above": 0}, "critical": {"above": 0}}]
        path = f"{collection('crmintegrations', self._ns)}/{INTEGRATION}"
        answer = await server_side_apply(self._kube, path, body)
        if answer.is_error:
            raise RuntimeError(f"the integration was refused: {answer.text}")

    async def settled(self, within: float) -> None:
        """Until all workers are stable ones, up and ready, and nothing is on trial."""

        def look() -> bool:
            live = self.recorder.get("CrmIntegration", INTEGRATION) or {}
            phase = ((live.get("status") or {}).get("rollout") or {}).get("phase")
            pods = self.recorder.all("Pod")
            return phase in ("Stable", "RolledBack") and self._full() and len(pods) == WORKERS

        await self.recorder.until(look, within=within, what="all workers back at work")

    async def one(self, version: str, fail_every: int) -> Json:
        """Ship a bad version and watch it go."""
        seen = self.recorder
        seen.clear()
        shipped = time.time()
        await self.ship(version, fail_every=fail_every)
        begun = await seen.until(
            lambda: seen.first(lambda c: _is_canary(c) and c.object["spec"]["replicas"] > 0),
            within=START_WITHIN,
            what="the canary's Deployment",
        )
        revision = begun.label[LABEL_REVISION]
        zero = await seen.until(
            lambda: seen.first(lambda c: _is_canary(c) and c.at > begun.at and _at_zero(c)),
            within=ROLLBACK_WITHIN,
            what="the canary at 0",
        )
        gone = await seen.until(
            lambda: seen.first(lambda c: _is_bad_pod(c, revision) and c.type == "DELETED"),
            within=ROLLBACK_WITHIN,
            what="the canary's pod gone",
        )
        full = await seen.until(
            lambda: seen.first(lambda c: c.at > zero.at and c.name == INTEGRATION and self._is_full(c)),
            within=SETTLE_WITHIN,
            what="the stable workers at full strength",
        )
        told = seen.first(lambda c: _is_bad_pod(c, revision) and bool(c.object["metadata"].get("deletionTimestamp")))
        decided = seen.first(lambda c: c.kind == "CrmIntegration" and _phase(c) == "RollingBack")
        bad = (await asyncio.to_thread(self._hubspot.stats)).revisions[revision]
        return _figures(bad, shipped=shipped, decided=decided, zero=zero, told=told, gone=gone, full=full)

    def _full(self) -> bool:
        live = self.recorder.get("Deployment", INTEGRATION)
        return live is not None and _ready(live) == WORKERS

    @staticmethod
    def _is_full(change: Change) -> bool:
        return change.kind == "Deployment" and _ready(change.object) == WORKERS


def _figures(
    bad: RevisionStats, *, shipped: float, decided: Change | None, zero: Change, told: Change | None, gone: Change,
    full: Change,
) -> Json:  # fmt: skip
    """Seconds after the first failed job reached HubSpot, which is when the worker counts it, within milliseconds."""
    failed = bad.first_bad_write
    if failed is None:
        raise RuntimeError("the canary went without a failed job")

    def after(at: float | None) -> float | None:
        return None if at is None else round(at - failed, 4)

    return {
        "canary_zero": after(zero.at),
        "last_job": after(bad.last_started),
        "decided": after(decided.at if decided else None),
        "pod_told": after(told.at if told else None),
        "pod_gone": after(gone.at),
        "full_strength": after(full.at),
        "failed_after_shipping": round(failed - shipped, 3),
        "bad_jobs": bad.started,
        "bad_writes": bad.bad_writes,
    }


def _is_canary(change: Change) -> bool:
    return change.kind == "Deployment" and change.name == CANARY and change.type != "DELETED"


def _at_zero(change: Change) -> bool:
    return bool(change.object["spec"]["replicas"] == 0)


def _is_bad_pod(change: Change, revision: str) -> bool:
    label = change.label
    return change.kind == "Pod" and label.get(LABEL_ROLE) == "canary" and label.get(LABEL_REVISION) == revision


def _phase(change: Change) -> str | None:
    phase: str | None = ((change.object.get("status") or {}).get("rollout") or {}).get("phase")
    return phase


def _ready(deployment: Json) -> int:
    status: Json = deployment.get("status") or {}
    return int(status.get("readyReplicas") or 0)


@contextmanager
def _hubspot(host: str) -> Iterator[str]:
    """The fake HubSpot in a process of its own, so that its clock is not slowed by ours; its URL."""
    port = free_port(host)
    command = [sys.executable, "-m", "demo.app.hubspot", "--host", host, "--port", str(port)]
    process = subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.DEVNULL)
    url = f"http://{host}:{port}"
    try:
        deadline = time.monotonic() + 20
        while not _answers(url):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the fake HubSpot does not answer at {url}")
            time.sleep(0.05)
        yield url
    finally:
        process.terminate()
        process.wait(10)


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/_health", timeout=2, trust_env=False).is_success
    except httpx.TransportError:
        return False
