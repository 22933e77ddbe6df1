"""Chapter 6: the metrics of a new version stop answering while it is on trial."""

import time
from collections.abc import Sequence

from demo.story.releases import GUARD, share_of
from demo.story.stage import INTEGRATION, Stage
from demo.story.view import View, stages
from dev.cluster import ClusterError

OUTAGE = ("python3", "-m", "demo.app.metrics_outage")
CANARY_PODS = f"crm.agoralia.app/integration={INTEGRATION},crm.agoralia.app/role=canary"
HOLD_SECONDS = 10.0
#: After the step's hold is over: only the outage keeps it from going on then.
WATCHED_SECONDS = 6.0


def metrics_outage(stage: Stage) -> None:
    """Neither a rollback nor a promotion on missing data; both go on when it is back."""
    began = time.time()
    stage.kubectl("apply", "-f", "demo/k8s/integration/hubspot-v4.yaml")
    stage.until(
        lambda view: view.stage == "Canary 25 %" and view.step_started is not None,
        since=began,
        within=60,
        expected="version v4 to run as a canary",
    )
    view = stage.view
    stage.equal("the mended version is tried: Stalled", view.says("Stalled"), "False/Settled")
    pods = stage.kubectl("get", "pods", "-l", CANARY_PODS, "-o", "name").split()
    stage.require("there are canary workers to cut off", bool(pods), found=len(pods))
    frozen = time.time()
    try:
        for pod in pods:
            stage.kubectl("exec", pod, "--", *OUTAGE, "freeze")
        _nothing_rash(stage, frozen)
    finally:
        # Also when a check fails: a frozen process keeps its pod from ending before the grace period is over.
        thawed = time.time()
        _thaw(stage, pods)
    promoted = stage.follow(
        done=lambda it: it.rollout_phase == "Baking", since=thawed, within=90, expected="v4 to be promoted"
    )
    stage.require("it goes on when the metrics are back", True, found=f"promoted {promoted - thawed:.1f} s after")
    stage.report.seconds("outage watched, at the same step", thawed - frozen)
    stage.report.seconds("metrics back -> promoted (one more step of 10 s)", promoted - thawed)


def _nothing_rash(stage: Stage, frozen: float) -> None:
    unknown = stage.until(
        lambda view: view.guard(GUARD).get("state") == "Unknown",
        since=frozen,
        within=30,
        expected=f"guard {GUARD} to be Unknown",
    )
    verdict = stage.view.guard(GUARD)
    stage.require("the guard is Unknown, and says why", bool(verdict.get("message")), found=verdict.get("message"))
    stage.report.seconds("metrics frozen -> guard Unknown", unknown - frozen)
    started = stage.view.step_started
    assert started is not None
    before = share_of(stage.outside.stats(), stage.view.candidate).started
    hold_over = started + HOLD_SECONDS
    until = max(hold_over, unknown) + WATCHED_SECONDS
    stage.stays(
        lambda view: view.stage == "Canary 25 %",
        since=unknown,
        until=until,
        expected="the canary to stay at its step during the outage",
    )
    stage.look()
    views = stage.views(since=unknown)
    stage.equal(
        f"stages during the outage, and {until - hold_over:.0f} s after the step's hold was over",
        " -> ".join(stages(views)),
        "Canary 25 %",
    )
    stage.require("no rollback", not stage.view.rollout.get("failedRevision"), found="no failedRevision")
    # A sentence is written with the next live numbers, every 15 s at most.
    stage.until(_says_what_it_waits_for, since=unknown, within=20, expected="the status to say what it waits for")
    waits = str(stage.view.rollout["reason"])
    stage.require("the status says what it waits for", _says_what_it_waits_for(stage.view), found=waits)
    after = share_of(stage.outside.stats(), stage.view.candidate).started
    stage.require("jobs go on meanwhile", after > before, found=f"the canary started {after - before} more")


def _says_what_it_waits_for(view: View) -> bool:
    reason = str(view.rollout.get("reason"))
    return "Unknown" in reason or "cannot be" in reason


def _thaw(stage: Stage, pods: Sequence[str]) -> None:
    for pod in pods:
        try:
            stage.kubectl("exec", pod, "--", *OUTAGE, "thaw")
        except ClusterError as error:  # scaled away in the meantime
            stage.narrator.step(str(error))
