"""Workers from real queue depth."""

import asyncio

import httpx
import pytest
import redis
from prometheus_client.parser import text_string_to_metric_families

from tests.cluster.kube import Json
from tests.e2e.scene import NAME, Scene
from tests.e2e.together import scenario

pytestmark = pytest.mark.e2e


@scenario()
async def test_a_burst_is_worked_off_by_as_many_workers_as_it_needs_and_then_by_none(scene: Scene) -> None:
    scene.spec["scaling"] = {"minReplicas": 0, "maxReplicas": 6, "backlogPerReplica": 20, "scaleDownAfter": "3s"}
    await scene.deploy()
    assert (await scene.deployment())["spec"]["replicas"] == 0

    async with scene.record_deployments() as sizes, scene.load() as load:
        load.burst(70)  # 70 jobs at 20 per worker: 4
        await sizes.when(lambda now: now[NAME]["spec"]["replicas"] == 4, within=60)
        await scene.drained()
        await sizes.when(lambda now: now[NAME]["spec"]["replicas"] == 0, within=60)
        await scene.status_when(lambda status: status["workers"]["desired"] == 0 and status["workers"]["ready"] == 0)
        wanted = [seen.objects[NAME]["spec"]["replicas"] for seen in sizes.history]

    assert max(wanted) == 4, "never more than the burst needs"
    top = wanted.index(4)
    assert wanted[:top] == sorted(wanted[:top]), "up without a step back"
    assert load.enqueued == 70
    await scene.assert_each_done_once(load)


@scenario()
async def test_workers_with_long_jobs_stay_while_the_idle_ones_go(scene: Scene) -> None:
    scene.spec["scaling"] = {"minReplicas": 6, "maxReplicas": 6, "scaleDownAfter": "1s"}
    scene.env["JOB_SECONDS"] = "12"
    await scene.deploy()

    async def seen() -> tuple[int, int, dict[str, int]]:
        ready = (await scene.tally()).ready
        return ready, await asyncio.to_thread(workers_with_jobs, scene.redis_url), await jobs_by_pod(scene)

    def all_begun(now: tuple[int, int, dict[str, int]]) -> bool:
        """Nothing waits, and every worker that fetched a job works."""
        ready, holders, jobs = now
        return ready == 0 < holders == sum(number > 0 for number in jobs.values())

    async with scene.record_pods() as pods, scene.load() as load:
        # Before the first job no worker shows what it works on, and none can be told from another (docs/scaling.md).
        load.burst(1)
        await scene.drained()
        load.burst(3)
        _, _, jobs = await scene.eventually(seen, all_begun, within=30)
        busy = {name for name, number in jobs.items() if number}
        scene.spec["scaling"] |= {"minReplicas": len(busy), "maxReplicas": len(busy)}
        await scene.release("v1")
        shrunk = await pods.when(lambda now: len(staying(now)) == len(busy), within=60)
        await scene.drained()

    assert staying(shrunk.objects) == busy, jobs
    tally = await scene.tally()
    assert (tally.done, tally.waiting, tally.dead, tally.lost, tally.duplicates) == (load.enqueued, 0, 0, 0, 0), tally


def workers_with_jobs(redis_url: str) -> int:
    """How many workers hold jobs that they have not acknowledged, begun or not."""
    with redis.Redis.from_url(redis_url) as client:
        return sum(1 for _ in client.scan_iter("dramatiq:__acks__.*.crm_hubspot"))


def staying(pods: dict[str, Json]) -> set[str]:
    """Those that were not told to end."""
    return {name for name, pod in pods.items() if "deletionTimestamp" not in pod["metadata"]}


async def jobs_by_pod(scene: Scene) -> dict[str, int]:
    """What each worker says that it works on."""
    pods = await scene.pods()
    async with httpx.AsyncClient(trust_env=False, timeout=5) as client:
        pages = [await client.get(f"http://{pod['status']['podIP']}:9191/metrics") for pod in pods]
    return {
        pod["metadata"]["name"]: int(
            sum(
                sample.value
                for family in text_string_to_metric_families(page.text)
                if family.name == "dramatiq_messages_inprogress"
                for sample in family.samples
            )
        )
        for pod, page in zip(pods, pages, strict=True)
    }
