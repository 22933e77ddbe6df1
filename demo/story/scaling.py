"""Chapters 1 and 2: workers follow the work."""

import time
from typing import Any

from demo.story.outside import Burst
from demo.story.stage import STABLE, Stage, ready_replicas, replicas
from demo.versions import integration

#: The steady load needs this many at least: 24 jobs per second, and one worker does some 9; one more to spare time.
STEADY_WORKERS = 3
BURST_JOBS = 600
#: Of the burst, what surely waits when it is read: the first jobs are done while the last are sent.
BURST_SHARE = 0.9


def steady_load(stage: Stage) -> None:
    """From no work and no worker to enough of them."""
    stage.kubectl("apply", "-f", "demo/k8s/integration/hubspot-v1.yaml")
    stage.until(
        lambda view: view.rollout_phase == "Stable" and bool(view.stable_revision),
        within=30,
        expected="the first deployment to be Stable",
    )
    stage.equal("no work, so no workers", replicas(stage.deployments.latest(STABLE)), 0)
    began = time.time()
    stage.kubectl("apply", "-f", "demo/k8s/load/steady.yaml")
    sized = stage.until_deployment(
        STABLE,
        lambda it: replicas(it) >= STEADY_WORKERS,
        since=began,
        within=60,
        expected=f"{STEADY_WORKERS} workers wanted for the steady load",
    )
    ready = stage.until_deployment(
        STABLE,
        lambda it: ready_replicas(it) >= STEADY_WORKERS,
        since=began,
        within=60,
        expected=f"{STEADY_WORKERS} workers Ready",
    )
    stats = stage.outside.stats()
    started = min((each.first_started for each in stats.revisions.values() if each.first_started), default=0.0)
    stage.require("workers follow the load", started > began, found=f"{ready_replicas(ready.data)} workers Ready")
    stage.report.seconds("load applied -> first job started (load and worker both start)", started - began)
    stage.report.seconds(f"load applied -> {STEADY_WORKERS} workers wanted (as the backlog grows)", sized.at - began)
    stage.look()


def burst(stage: Stage) -> None:
    """Up at once, the burst is done, and down again when it is over."""
    calm = f"at most {STEADY_WORKERS + 1} workers wanted"
    stage.until_deployment(STABLE, _is_calm, within=120, expected=f"{calm} for the steady load")
    before, waiting = replicas(stage.deployments.latest(STABLE)), stage.outside.tally().waiting
    needed = workers_for(waiting + int(BURST_JOBS * BURST_SHARE))
    asked = time.time()
    output = stage.kubectl("exec", "deploy/load", "--", "python3", "-m", "demo.app.load", "--burst", str(BURST_JOBS))
    sent = Burst.parse(output)
    tally = stage.outside.tally()
    up = stage.until_deployment(
        STABLE,
        lambda it: replicas(it) >= needed,
        since=asked,
        within=20,
        expected=f"{needed} workers wanted for {BURST_JOBS} more jobs",
    )
    stage.require(
        f"{waiting} + {BURST_JOBS} waiting jobs need {needed} workers or more (one does 120 in 15 s)",
        replicas(up.data) >= needed > before,
        found=f"{before} -> {replicas(up.data)} wanted, {up.at - sent.began:.2f} s after its first job",
    )
    ready = stage.until_deployment(
        STABLE,
        lambda it: ready_replicas(it) >= needed,
        since=asked,
        within=60,
        expected=f"{needed} workers Ready",
    )
    stage.require(
        "they start", ready.at > up.at, found=f"{ready_replicas(ready.data)} Ready {ready.at - sent.began:.1f} s after"
    )
    stage.look()
    # Jobs are taken in order: when as many are done as had been sent when the burst ended, the burst is done.
    done = stage.eventually(
        stage.outside.tally,
        until=lambda now: now.done + now.dead >= tally.enqueued,
        within=120,
        expected="the burst's jobs to be done",
    )
    drained = time.time()
    stage.require("the backlog drains", done.lost == 0, found=f"burst done {drained - sent.began:.1f} s after; {done}")
    down = stage.until_deployment(
        STABLE,
        lambda it: replicas(it) < needed,
        since=up.at,
        within=90,
        expected=f"fewer than {needed} workers wanted",
    )
    back = stage.until_deployment(STABLE, _is_calm, since=down.at, within=120, expected=f"{calm}, as before the burst")
    stage.require("and the workers go", back.at > up.at, found=f"{replicas(up.data)} -> {replicas(back.data)} wanted")
    stage.report.seconds(f"burst of {BURST_JOBS} jobs -> spec.replicas at {needed} or more", up.at - sent.began)
    stage.report.seconds(f"burst -> {needed} workers Ready", ready.at - sent.began)
    stage.report.seconds("burst -> all its jobs done", drained - sent.began)
    stage.report.seconds("burst -> workers back to the steady load's", back.at - sent.began)


def _is_calm(deployment: dict[str, Any] | None) -> bool:
    return replicas(deployment) <= STEADY_WORKERS + 1


def workers_for(jobs: int) -> int:
    """How many workers so many waiting jobs need, by the numbers in demo/k8s/integration. 600 jobs -> 5."""
    spec = integration("v1")["spec"]
    seconds = float(spec["scaling"]["drainTarget"].removesuffix("s"))
    job_millis = float(spec["scaling"]["jobDuration"].removesuffix("ms"))
    per_worker = seconds * spec["workers"]["concurrency"] / (job_millis / 1000)
    return min(int(spec["scaling"]["maxReplicas"]), -int(-jobs // per_worker))
