"""Runs cells on the node tier: real Dramatiq workers in real pods, and a version that goes bad at a random moment.

Redis and the fake HubSpot run on the machine beside the node. What makes a version bad is the fake HubSpot, which from
a moment of our choice refuses each k-th write of that version: the job fails, as the worker counts it, and is tried
again by whoever takes it next. All times are of one machine's clock: HubSpot's for jobs, watch receipt for objects.
"""

import asyncio
import random
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass

import httpx
import redis

from bench.recorder import Json, Recorder
from bench.records import Writer, header, wait_for_quiet
from bench.rollback.cells import HANDOVER, LATE, MAIN, Cell, Surge
from bench.rollback.controllers import GOOD, ORACLE, OURS, Controller, revision_of
from bench.rollback.external import External, Manifests
from bench.rollback.oracle import Oracle
from bench.rollback.ours import Ours
from bench.rollback.provider import hubspot
from bench.rollback.story import Story, able, is_full, of_version
from bench.rollback.workload import IMAGE, JOB_SECONDS, Addresses
from bench.stage import Run, cluster_for, kubernetes_version, logs_folder, namespace, operator, redis_on
from crm_operator.api.names import LABEL_REVISION
from demo.app.hubspot_client import HubSpotAdmin
from demo.app.hubspot_stats import RevisionStats
from demo.app.load import LoadGenerator
from demo.app.settings import BrokerSettings
from demo.images import app_image
from dev.cluster import Cluster, Tier

NAME = "rollback"
JOBS_PER_SECOND = 50.0
#: Runs of `MAIN` and `LATE`, of `HANDOVER`, of each other cell, and of each with another strategy.
MAIN_RUNS, HANDOVER_RUNS, RUNS, VARIED_RUNS = 30, 20, 5, 3
FAIL_EVERY = (3, 15)  # which write fails first, and then each so many; drawn for each run
MAX_PHASE_SECONDS = 3.0  # from where the version has come as far as the cell asks, to its going bad
#: So few jobs in the queue before a version goes bad: what the run before left is worked off.
BACKLOG = 20
START_WITHIN, ROLLBACK_WITHIN, SETTLE_WITHIN = 240.0, 60.0, 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """How cells are measured."""

    cells: Sequence[Cell]
    runs: int | None = None  # of each cell; None: `MAIN_RUNS` and so on
    jobs_per_second: float = JOBS_PER_SECOND
    external: Manifests | None = None  # who rolls back, in the cluster already ...
    oracle: bool = False  # ... or the driver itself; else the operator, started for it

    @property
    def controller(self) -> str:
        """Its name in the series."""
        return ORACLE if self.oracle else OURS if self.external is None else self.external.label

    @property
    def name(self) -> str:
        """Of the series."""
        return NAME if self.controller == OURS else f"{NAME}-{self.controller}"

    def runs_of(self, cell: Cell) -> int:
        often = {MAIN: MAIN_RUNS, LATE: MAIN_RUNS, HANDOVER: HANDOVER_RUNS}
        return self.runs or often.get(cell, RUNS if cell.surge is Surge.DEFAULT else VARIED_RUNS)


def run(how: Run, setting: Setting) -> None:
    """Measure all cells; raw data goes to `<out>/NAME.jsonl`, by the setting's name."""
    with cluster_for(how, Tier.NODE) as cluster:
        cluster.load_image(app_image())
        with redis_on(cluster.host_ip) as url, hubspot(cluster.host_ip) as provider:
            asyncio.run(_measure(how, setting, cluster, Addresses(url, provider)))


async def _measure(how: Run, setting: Setting, cluster: Cluster, where: Addresses) -> None:
    dice = random.Random(how.seed)
    async with namespace(cluster) as (kube, ns):
        version = await kubernetes_version(kube)
        about = header(NAME, kubernetes=version, seed=how.seed, settings=_settings(setting))
        out = Writer(how.out / f"{setting.name}.jsonl", about)
        secret = {"metadata": {"name": "hubspot-token"}, "stringData": {"token": "demo-token"}}
        (await kube.post(f"/api/v1/namespaces/{ns}/secrets", json=secret)).raise_for_status()
        with _controlled(setting, cluster, kube, ns, where) as controller:
            async with _scene(kube, ns, controller, where) as scene:
                for cell in setting.cells:
                    await _cell(how, setting, scene, cell, dice, out)


@contextmanager
def _controlled(
    setting: Setting, cluster: Cluster, kube: httpx.AsyncClient, ns: str, where: Addresses
) -> Iterator[Controller]:
    """Who rolls back, at work."""
    if setting.external is not None:
        yield External(cluster, ns, where, IMAGE, setting.external)
        return
    if setting.oracle:
        yield Oracle(kube, ns, where)
        return
    with operator(cluster, logs_folder() / f"{NAME}.log", namespaces=(ns,)):
        yield Ours(kube, ns, where)


async def _cell(how: Run, setting: Setting, scene: "_Scene", cell: Cell, dice: random.Random, out: Writer) -> None:
    runs = setting.runs_of(cell)
    await scene.begin(cell, setting.jobs_per_second)
    await wait_for_quiet(how.quiet_load, how.patience_seconds)
    for number in range(1, runs + 1):
        found = await scene.one(dice)
        out.run(cell=str(cell), **found)
        print(f"bench: {cell}, {number} of {runs}: {_said(found)}", file=sys.stderr, flush=True)
        await scene.settled(GOOD)
    await scene.end()


def _settings(setting: Setting) -> Json:
    return {
        "controller": setting.controller,
        "jobs_per_s": setting.jobs_per_second,
        "job_s": JOB_SECONDS,
        "workers": {str(cell.weight): cell.workers for cell in setting.cells},
        "fail_every": list(FAIL_EVERY),
        "critical_above": 0,
        "max_phase_s": MAX_PHASE_SECONDS,
    }


def _said(found: Json) -> str:
    return ", ".join(f"{name} {found[name]}" for name in ("zero", "last_job", "told", "full", "bad_jobs"))


@asynccontextmanager
async def _scene(kube: httpx.AsyncClient, ns: str, controller: Controller, where: Addresses) -> AsyncIterator["_Scene"]:
    recorder = Recorder()
    watched = {
        "Pod": f"/api/v1/namespaces/{ns}/pods",
        "ReplicaSet": f"/apis/apps/v1/namespaces/{ns}/replicasets",
        **controller.watched,
    }
    # Not through `where`: pods and we see the same addresses, since both are beside the cluster.
    with LoadGenerator(BrokerSettings(redis_url=where.redis)) as load, redis.Redis.from_url(where.redis) as broker:
        async with recorder.watching(kube, watched):
            yield _Scene(recorder, controller, HubSpotAdmin(where.hubspot), load, broker)


class _Scene:
    """The workload under test and what is seen of it."""

    def __init__(
        self,
        seen: Recorder,
        controller: Controller,
        provider: HubSpotAdmin,
        load: LoadGenerator,
        broker: "redis.Redis",
    ) -> None:
        self._seen = seen
        self._controller = controller
        self._hubspot = provider
        self._load = load
        self._broker = broker
        self._cell = MAIN
        self._shipped = 0

    async def begin(self, cell: Cell, jobs_per_second: float) -> None:
        """The workload at its good version, and its load."""
        self._cell = cell
        await self._controller.create(cell)
        await self._until(lambda: self._is_full(GOOD), START_WITHIN, "all workers at work")
        self._load.start(jobs_per_second)
        await self.settled(GOOD)

    async def end(self) -> None:
        """No worker is left."""
        self._load.stop()
        await self._controller.remove()
        await self._until(lambda: not self._seen.all("Pod"), SETTLE_WITHIN, "the workers gone")

    async def settled(self, version: str) -> None:
        """Until all pods are Ready workers of this version, nothing is on trial, and the queue is short."""

        def look() -> bool:
            return self._controller.is_settled(self._seen) and self._is_full(version)

        await self._until(look, SETTLE_WITHIN, "all workers back at work")
        queue = f"dramatiq:{BrokerSettings().queue}.msgs"
        await _polled(lambda: self._broker.hlen(queue) < BACKLOG, SETTLE_WITHIN, "a short queue")

    async def one(self, dice: random.Random) -> Json:
        """Ship a version, let it go bad, and watch it go."""
        # Never one that HubSpot has in its books, of another cell.
        self._shipped += 1
        version = f"bad-{self._shipped}"
        seen, every, wait = self._seen, dice.randint(*FAIL_EVERY), dice.uniform(0, MAX_PHASE_SECONDS)
        before = tuple(seen.all("Pod"))
        seen.clear()
        await self._controller.ship(version)
        await self._until(lambda: self._is_tried(version), START_WITHIN, f"{version} on trial")
        revision = revision_of(self._pods(version)[0], version, label=LABEL_REVISION)
        await _polled(lambda: self._stats(revision).started > 0, START_WITHIN, f"a job of {version}")
        await asyncio.sleep(wait)
        asked = time.time()
        await asyncio.to_thread(self._hubspot.fail_revision, revision, every=every, seconds=ROLLBACK_WITHIN * 2)
        await self._until(
            lambda: not self._pods(version) and able(self._pods(GOOD), GOOD) >= self._cell.workers,
            ROLLBACK_WITHIN,
            f"{version} gone and the good workers back",
        )
        bad = await asyncio.to_thread(self._stats, revision)
        await asyncio.to_thread(self._hubspot.fail_revision, revision, every=1, seconds=0)
        story = Story(before=before, changes=seen.changes, good=GOOD, bad=version, workers=self._cell.workers)
        return {"fail_every": every, **self._figures(story, bad, asked)}

    def _figures(self, story: Story, bad: RevisionStats, asked: float) -> Json:
        """Seconds after the first failed job was answered, which is when the worker counts it, within milliseconds."""
        failed = bad.first_failed
        if failed is None:
            raise RuntimeError(f"{story.bad} went without a failed job")
        times = {
            **self._controller.figures(story, failed),
            "wanted_zero": story.wanted_zero(failed),
            "told": story.told(failed),
            "gone": story.gone(failed),
            "full": story.full(failed),
            "last_job": max(failed, bad.last_started or failed),
            "asked": asked,
        }
        after = {name: None if at is None else round(at - failed, 3) for name, at in times.items()}
        return {**after, "bad_jobs": bad.started_after_failure, "failed_jobs": bad.failed}

    def _stats(self, revision: str) -> RevisionStats:
        return self._hubspot.stats().revisions.get(revision) or RevisionStats(role="unknown")

    def _pods(self, version: str) -> list[Json]:
        return of_version(self._seen.all("Pod"), version)

    def _is_tried(self, version: str) -> bool:
        return self._controller.is_tried(self._seen, version) and bool(self._pods(version))

    def _is_full(self, version: str) -> bool:
        return is_full(self._seen.all("Pod"), version, self._cell.workers)

    async def _until(self, look: Callable[[], bool], within: float, what: str) -> None:
        await self._seen.until(look, within=within, what=f"{self._cell}: {what}")


async def _polled(holds: Callable[[], bool], within: float, what: str) -> None:
    """Until it holds: of what cannot be watched. Raises TimeoutError."""
    try:
        async with asyncio.timeout(within):
            while not await asyncio.to_thread(holds):  # noqa: ASYNC110  # nobody tells
                await asyncio.sleep(0.1)
    except TimeoutError:
        raise TimeoutError(f"{what}: not within {within:g} s") from None
