"""What keeps a guard from acting on too little: few jobs, few workspaces. A real operator reads metrics of our own."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.cluster.fake_workers import FakeWorkers, fake_workers
from tests.cluster.scene import Json, Scene, in_phase, replicas, rollout, version
from tests.cluster.test_metrics import guard_of
from tests.cluster.test_rollout import HOLDING

pytestmark = pytest.mark.cluster

JOBS, ERRORS = "dramatiq_messages_total", "crm_sync_errors_total"


def a_guard(**parts: Any) -> Json:
    guard: Json = {
        "name": "sync-errors",
        "metric": {"from": "pods", "name": ERRORS},
        "reduce": "Increase",
        "window": "5m",
    }
    guard |= {"critical": {"above": 10}} | parts
    return {key: value for key, value in guard.items() if value is not None}


@asynccontextmanager
async def a_canary(scene: Scene, guard: Json) -> AsyncIterator[tuple[FakeWorkers, str, str]]:
    """One worker of each version, and their names: stable's, the new one's."""
    async with fake_workers(scene) as workers:
        metrics = {"pods": {"port": workers.port, "interval": "1s"}}
        await scene.settled(guards=[guard], metrics=metrics, rollout=HOLDING)
        await scene.change(workers=version(2))
        await scene.until(in_phase("Canary"))
        await scene.deployment_until(replicas(1))
        await scene.deployment_until(replicas(1), "hubspot-canary")
        names = await workers.work(0, 0)
        new = next(name for name in names if name.startswith("hubspot-canary-"))
        yield workers, next(name for name in names if name != new), new


def says(state: str, message: str) -> Any:
    def holds(obj: Json) -> bool:
        guard = guard_of(obj, "sync-errors")
        return guard.get("state") == state and guard["message"].startswith(message)

    return holds


async def test_a_guard_waits_for_enough_jobs(scene: Scene) -> None:
    """Three jobs, and each failed: that is no share of failed jobs yet."""
    ratio = {"metric": {"from": "pods", "name": ERRORS, "per": JOBS}, "reduce": "Ratio", "critical": {"above": 0.5}}
    async with a_canary(scene, a_guard(minJobs=20, **ratio)) as (workers, stable, new):
        workers.says = {stable: f"{ERRORS} 0\n{JOBS} 90\n", new: f"{ERRORS} 3\n{JOBS} 3\n"}
        few = await scene.until(says("Unknown", "3 of 20 jobs in 5m (minJobs)"), within=60)
        assert rollout(few)["phase"] == "Canary"
        workers.says[new] = f"{ERRORS} 15\n{JOBS} 20\n"
        back = await scene.until(in_phase("RolledBack"))
    assert f"{ERRORS}/{JOBS} 0.75 > 0.5 in 5m on the new version" in rollout(back)["reason"]


async def test_a_value_must_be_above_its_limit_in_enough_evaluations(scene: Scene) -> None:
    """The worker says the same all the time: each scrape is new data, and the same scrape seen again is not."""
    latency = {"metric": {"from": "pods", "name": "api_latency"}, "reduce": "Last", "window": None}
    async with a_canary(scene, a_guard(breaches={"consecutive": 4}, **latency)) as (workers, stable, new):
        workers.says = {stable: "api_latency 1\n", new: "api_latency 1\n"}
        await scene.until(says("OK", "api_latency 1 <= 10"))
        workers.says[new] = "api_latency 11\n"
        short = await scene.until(says("Unknown", "api_latency 11 > 10 in 1 of 4 evaluations running (breaches)"))
        assert rollout(short)["phase"] == "Canary"
        back = await scene.until(in_phase("RolledBack"))
    # More when stable had to be read once more before anybody was blamed.
    assert re.search(r"api_latency 11 > 10 in [4-8] evaluations running on the new version", rollout(back)["reason"])


async def test_one_customers_trouble_rolls_nothing_back(scene: Scene) -> None:
    async with a_canary(scene, a_guard(minWorkspaces=2)) as (workers, stable, new):
        workers.says = {stable: f"{ERRORS} 0\n{JOBS} 90\n", new: f'{ERRORS}{{workspace="ws_1"}} 40\n{JOBS} 40\n'}
        held = await scene.until(says("Warning", f"{ERRORS} +40 > 10 in 5m in 1 of 2 workspaces (minWorkspaces)"))
        assert rollout(held)["phase"] == "Canary"
        workers.says[new] += f'{ERRORS}{{workspace="ws_2"}} 1\n'
        back = await scene.until(in_phase("RolledBack"))
    assert f"{ERRORS} +41 > 10 in 5m in 2 workspaces on the new version" in rollout(back)["reason"]
