"""Chapter 7: no more load, and the account."""

import time

from demo.story.outside import TALLY
from demo.story.releases import share_of
from demo.story.stage import CANARY, STABLE, Stage, ready_replicas, replicas


def the_end(stage: Stage) -> None:
    """Everything done, no worker left, nothing forgotten."""
    began = time.time()
    stage.kubectl("scale", "deploy/load", "--replicas=0")
    stage.until_deployment(
        "load",
        lambda it: it is not None and "replicas" not in it["status"],
        since=began,
        within=30,
        expected="the load to end",
    )
    # Jobs of a worker that did not end in time come back 30 s after its last sign of life, see demo/app/jobs.py.
    stage.eventually(
        stage.outside.tally, until=lambda now: now.waiting == 0, within=150, expected="no job to wait any more"
    )
    drained = time.time()
    stage.until_deployment(
        STABLE,
        lambda it: replicas(it) == ready_replicas(it) == 0,
        within=90,
        expected="0 workers",
    )
    empty = time.time()
    stage.until(
        lambda view: view.rollout_phase == "Stable" and view.phase == "Healthy" and view.workers.get("ready") == 0,
        within=60,
        expected="the mended version to finish its bake, and the status to say so",
    )
    stage.look()
    view, stats = stage.view, stage.outside.stats()
    stage.equal("Ready, RolledBack and Stalled", " ".join(map(view.says, ("Ready", "RolledBack", "Stalled"))), CALM)
    stage.equal("Deployments of a canary", int(stage.deployments.latest(CANARY) is not None), 0)
    stage.equal(
        "jobs that the bad version started since its rollback",
        share_of(stats, stage.bad_revision).started - stage.bad_started,
        0,
    )
    stage.kubectl(*TALLY)
    tally = stage.outside.tally()
    stage.require("enqueued = done + dead-lettered + waiting", tally.balanced and not tally.waiting, found=tally)
    stage.require(
        "each done job is in HubSpot's books",
        stats.distinct_keys >= tally.done,
        found=f"{stats.distinct_keys} jobs wrote",
    )
    stage.require(
        "retries by the good version mended the damage",
        stats.corrupt_contacts <= tally.dead,
        found=f"{stats.bad_writes} bad writes, {stats.repairs} repaired, {stats.corrupt_contacts} contacts still wrong",
    )
    stage.report.seconds("load stopped -> nothing waits", drained - began)
    stage.report.seconds("load stopped -> 0 workers", empty - began)
    stage.report.count("jobs enqueued", tally.enqueued)
    stage.report.count("  done", tally.done)
    stage.report.count("  dead-lettered", tally.dead)
    stage.report.count("  waiting", tally.waiting)
    stage.report.count("  lost", tally.lost)
    stage.report.count("jobs done more than once", tally.duplicates)


CALM = "True/Serving False/NotRolledBack False/Settled"
