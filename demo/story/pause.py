"""Chapter 5: stop everything, look, and go on."""

import time

from demo.story.stage import STABLE, Stage, replicas

#: So much the queue must grow while nothing may start: 3 seconds of the load or more.
GROWTH = 100
PATCH = '{"spec":{"paused":false}}'


def pause_and_resume(stage: Stage) -> None:
    """`Paused` is only said when it is true."""
    began = time.time()
    stage.kubectl("apply", "-f", "demo/k8s/pause.yaml")
    stage.kubectl("wait", "--for=condition=Paused", "crmi/hubspot", "--timeout=60s")
    paused = stage.until(lambda view: view.says("Paused") == "True/Paused", since=began, within=5, expected="Paused")
    then, waiting = stage.outside.stats(), stage.outside.tally()
    stage.look()
    view = stage.view
    took = view.status["sync"]["tookSeconds"]
    stage.require("it is Paused, and says how long that took", took > 0, found=view.condition("Paused")["message"])
    stage.equal("no worker is wanted", replicas(stage.deployments.latest(STABLE)), 0)
    grown = stage.eventually(
        stage.outside.tally,
        until=lambda now: now.waiting >= waiting.waiting + GROWTH,
        within=30,
        expected=f"{GROWTH} more jobs to wait",
    )
    now = stage.outside.stats()
    stage.equal(f"jobs started in the {now.now - then.now:.1f} s since it said so", now.started - then.started, 0)
    stage.require(
        "the queue grows meanwhile", grown.done == waiting.done, found=f"{waiting.waiting} -> {grown.waiting} wait"
    )
    lifted = time.time()
    stage.kubectl("patch", "syncpause", "hubspot", "--type", "merge", "-p", PATCH)
    again = stage.eventually(
        stage.outside.stats, until=lambda it: it.started > now.started, within=60, expected="jobs to start again"
    )
    stage.require("jobs start again", again.now > lifted, found=f"{again.now - lifted:.1f} s after the patch")
    # Jobs are taken in order: then all that had waited during the pause are done.
    done = stage.eventually(
        stage.outside.tally,
        until=lambda it: it.done + it.dead >= grown.enqueued,
        within=120,
        expected="the jobs that waited during the pause to be done",
    )
    stage.require("nothing is lost", done.balanced, found=done)
    stage.report.seconds("pause applied -> Paused: no worker left", paused - began)
    stage.report.seconds("of that, by the operator's own count", float(took))
    stage.report.count("jobs started while Paused", now.started - then.started)
    stage.report.seconds("pause lifted -> first job started", again.now - lifted)
