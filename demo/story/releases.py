"""Chapters 3 and 4: one version that is good, and one that is not."""

import time

from demo.app.hubspot_stats import HubSpotStats, RevisionStats
from demo.story.checks import CheckFailed
from demo.story.stage import CANARY, Stage, replicas
from demo.story.view import View, stages

GUARD = "sync-errors"
#: As in demo/k8s/integration: above this many errors in 30 s the guard is Critical.
CRITICAL_ABOVE = 3
WAY_OF_A_GOOD_VERSION = ["Stable", "Canary 25 %", "Canary 50 %", "Promoting", "Baking", "Stable"]


def good_version(stage: Stage) -> None:
    """Through every step to Stable."""
    before = stage.view.stable_revision
    began = time.time()
    stage.kubectl("apply", "-f", "demo/k8s/integration/hubspot-v2.yaml")
    promoted = stage.follow(
        done=lambda view: view.rollout_phase == "Baking", since=began, within=120, expected="version v2 to be promoted"
    )
    stage.look()
    finished = stage.follow(
        done=lambda view: view.rollout_phase == "Stable",
        since=promoted,
        began=began,
        within=90,
        expected="v2 to finish its bake",
    )
    stage.equal("its way", " -> ".join(stages(stage.views(since=began))), " -> ".join(WAY_OF_A_GOOD_VERSION))
    new = stage.view.stable_revision
    stage.require("the stable version is the new one", new not in ("", before), found=f"{before} -> {new}")
    share = share_of(stage.outside.stats(), new)
    stage.require(
        "it did its jobs well", share.started > 0 == share.bad_writes, found=f"{share.started} started, 0 bad"
    )
    stage.report.seconds("good version applied -> promoted (two steps of 10 s)", promoted - began)
    stage.report.seconds("good version applied -> Stable (bake of 20 s)", finished - began)


def bad_version(stage: Stage) -> None:
    """Caught by its guard, stopped first, and remembered."""
    good = stage.view.stable_revision
    began = time.time()
    stage.kubectl("apply", "-f", "demo/k8s/integration/hubspot-v3-bad.yaml")
    stage.follow(
        done=lambda view: view.rollout_phase == "RolledBack",
        since=began,
        within=90,
        expected="version v3 to be rolled back",
    )
    views = stage.views(since=began)
    bad = next((view.candidate for view in views if view.rollout_phase == "Canary"), "")
    running = next(
        seen for seen in stage.deployments.since(CANARY, began) if seen.data is not None and replicas(seen.data) > 0
    )
    stopped = stage.until_deployment(
        CANARY, lambda it: replicas(it) == 0, since=running.at, within=30, expected="no worker of the canary wanted"
    )
    stage.look()
    view, share = stage.view, share_of(stage.outside.stats(), bad)
    stage.equal("phase", view.phase, "RolledBack")
    stage.equal("Ready, RolledBack and Stalled", _conditions(view), "False/RolledBack True/RolledBack True/RolledBack")
    stage.equal("failedRevision", view.rollout.get("failedRevision"), bad)
    stage.equal("the stable version is still the good one", view.stable_revision, good)
    verdict = critical_verdict(views)
    stage.require(
        f"the guard crossed {CRITICAL_ABOVE} errors and blamed the revision",
        float(verdict["value"]) > CRITICAL_ABOVE == float(verdict["threshold"]) and verdict["blame"] == "revision",
        found=verdict["message"],
    )
    stage.require(
        "the bad version did damage, and was stopped",
        share.bad_writes > 0,
        found=f"{share.started} jobs started, {share.bad_writes} bad writes",
    )
    assert share.first_bad_write is not None
    assert share.last_started is not None
    first = share.first_bad_write
    stage.bad_revision, stage.bad_started = bad, share.started
    stage.report.seconds("first failed job -> canary at 0", stopped.at - first)
    stage.report.seconds("first failed job -> last job started by the bad version", share.last_started - first)
    stage.report.count("jobs started by the bad version", share.started)
    stage.report.count("bad writes", share.bad_writes)
    for name, value in stage.report.rows[-4:]:
        stage.narrator.step(f"{name}: {value}")


def share_of(stats: HubSpotStats, revision: str) -> RevisionStats:
    """What one version did at the fake HubSpot. Raises CheckFailed when it never called."""
    share = stats.revisions.get(revision)
    if share is None:
        raise CheckFailed(expected=f"calls by revision {revision}", found=f"calls by {sorted(stats.revisions)}")
    return share


def critical_verdict(views: list[View]) -> dict[str, str]:
    """What the guard said when it first was Critical and knew whom to blame. Raises CheckFailed."""
    for view in views:
        verdict = view.guard(GUARD)
        if verdict.get("state") == "Critical" and verdict.get("blame") != "undecided":
            blank = dict.fromkeys(("value", "threshold", "blame", "message"), "")
            return {**blank, **{key: str(value) for key, value in verdict.items()}}
    raise CheckFailed(
        expected=f"guard {GUARD} to be Critical", found=[view.guard(GUARD).get("state") for view in views]
    )


def _conditions(view: View) -> str:
    return " ".join(view.says(kind) for kind in ("Ready", "RolledBack", "Stalled"))
