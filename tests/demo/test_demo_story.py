"""The pure parts of the demo's story: what it reads, shows and adds up."""

import io
import json
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from demo.story.chapters import CHAPTERS
from demo.story.checks import CheckFailed
from demo.story.commands import from_anywhere, shown
from demo.story.narrator import SHOWN_LINES, Narrator
from demo.story.outage import HOLD_SECONDS
from demo.story.outside import Burst
from demo.story.releases import CRITICAL_ABOVE, GUARD, WAY_OF_A_GOOD_VERSION, critical_verdict
from demo.story.report import Report
from demo.story.scaling import BURST_JOBS, BURST_SHARE, STEADY_WORKERS, workers_for
from demo.story.stage import ready_replicas, replicas
from demo.story.view import View, stages
from demo.story.watch import Watch
from demo.versions import integration
from dev.cluster import Cluster
from tests.demo.processes import REPOSITORY


def crmi(phase: str = "Stable", weight: int = 0, **status: Any) -> View:
    rollout = {"phase": phase, "weight": weight, "stableRevision": "aa", **status.pop("rollout", {})}
    return View({"metadata": {"generation": 2}, "status": {"observedGeneration": 2, "rollout": rollout, **status}})


def test_an_object_without_status_reads_as_nothing() -> None:
    view = View({"metadata": {"generation": 1}})
    assert (view.phase, view.stage, view.stable_revision, view.candidate, view.reason) == ("", "", "", "", "")
    assert view.step_started is None
    assert view.condition("Ready") == {}
    assert view.says("Ready") == "absent/-"
    assert view.guard("sync-errors") == {}
    assert str(view) == "phase not set, rollout not set, 0 of 0 workers Ready, 0 jobs waiting"


def test_a_condition_is_told_by_status_and_reason() -> None:
    view = crmi(conditions=[{"type": "Ready", "status": "False", "reason": "RolledBack"}])
    assert view.says("Ready") == "False/RolledBack"


def test_a_step_starts_at_a_time_of_its_own() -> None:
    assert crmi(rollout={"stepStartTime": "1970-01-01T00:01:00.5Z"}).step_started == 60.5


def test_the_way_of_a_rollout_names_each_stage_once() -> None:
    views = [
        crmi(),
        crmi("Canary", 25),
        crmi("Canary", 25),
        crmi("Canary", 50),
        crmi("Promoting"),
        crmi("Baking"),
        crmi(),
        crmi(),
    ]
    assert stages(views) == WAY_OF_A_GOOD_VERSION


def test_what_the_story_takes_for_granted_is_in_the_manifest() -> None:
    spec = integration("v1")["spec"]
    steps = [f"Canary {step['weight']} %" for step in spec["rollout"]["steps"]]
    assert ["Stable", *steps, "Promoting", "Baking", "Stable"] == WAY_OF_A_GOOD_VERSION
    assert {step["hold"] for step in spec["rollout"]["steps"]} == {f"{HOLD_SECONDS:g}s"}
    guard = spec["guards"][0]
    assert (guard["name"], guard["critical"]["above"]) == (GUARD, CRITICAL_ABOVE)


def test_a_burst_needs_more_workers_than_the_steady_load() -> None:
    assert workers_for(600) == 5
    assert workers_for(601) == 6
    assert workers_for(0) == 0
    assert workers_for(1) == 1
    assert workers_for(1_000_000) == integration("v1")["spec"]["scaling"]["maxReplicas"]
    assert workers_for(int(BURST_JOBS * BURST_SHARE)) > STEADY_WORKERS + 1


def test_the_first_critical_verdict_counts_and_has_every_field() -> None:
    views = [
        crmi(guards=[{"name": GUARD, "state": "OK"}]),
        crmi(guards=[{"name": GUARD, "state": "Critical", "value": "3", "blame": "undecided"}]),
        crmi(guards=[{"name": GUARD, "state": "Critical", "value": "4", "blame": "revision"}]),
        crmi(guards=[{"name": GUARD, "state": "Critical", "value": "9", "blame": "provider"}]),
    ]
    verdict = critical_verdict(views)
    assert (verdict["value"], verdict["blame"], verdict["threshold"]) == ("4", "revision", "")


def test_no_critical_verdict_is_a_failed_check_that_says_what_was_seen() -> None:
    with pytest.raises(CheckFailed, match=r"Critical; found .*OK"):
        critical_verdict([crmi(guards=[{"name": GUARD, "state": "OK"}])])


def test_a_burst_is_read_from_what_the_load_generator_prints() -> None:
    burst = Burst.parse("sent 500 jobs from 1795536294.104 to 1795536294.230\nenqueued 500 jobs\n")
    assert burst == Burst(jobs=500, began=1795536294.104, ended=1795536294.230)
    with pytest.raises(ValueError, match="did not say what it sent"):
        Burst.parse("enqueued 500 jobs\n")


def test_a_deployment_that_does_not_exist_has_no_replicas() -> None:
    assert replicas(None) == ready_replicas(None) == 0
    assert replicas({"spec": {"replicas": 0}}) == 0
    assert ready_replicas({"spec": {"replicas": 2}, "status": {"readyReplicas": 1}}) == 1


def test_commands_can_be_pasted_into_a_shell() -> None:
    patch = '{"spec":{"paused":false}}'
    assert shown(["patch", "syncpause", "hubspot", "-p", patch]) == f"kubectl patch syncpause hubspot -p '{patch}'"
    assert shown(["get", "crmi"]) == "kubectl get crmi"


def test_files_of_the_repository_are_found_from_anywhere() -> None:
    assert from_anywhere("demo/k8s/pause.yaml") == str(REPOSITORY / "demo/k8s/pause.yaml")
    assert from_anywhere("deploy/load") == "deploy/load"


def test_every_file_that_the_chapters_apply_exists() -> None:
    sources = "".join(path.read_text() for path in (REPOSITORY / "demo/story").glob("*.py"))
    named = {part.split('"')[0].split()[0] for part in sources.split("demo/k8s/")[1:]}
    files = {name for name in named if name.endswith(".yaml")}
    assert len(files) >= 6
    for name in files:
        assert (REPOSITORY / "demo/k8s" / name).is_file(), name


def test_the_table_is_aligned() -> None:
    report = Report()
    report.seconds("burst -> ready", 1.234)
    report.seconds("drained", 12.34)
    report.count("jobs", 12_345)
    assert report.lines() == ["  burst -> ready  1.23 s", "  drained         12.3 s", "  jobs            12,345"]


def test_the_chapters_are_in_order_and_have_titles() -> None:
    titles = [title for title, _ in CHAPTERS]
    assert len(titles) == len(set(titles)) == 7
    assert "account" in titles[-1]


def narrated(*, terminal: bool) -> str:
    out = io.StringIO()
    narrator = Narrator(Console(file=out, force_terminal=terminal, width=60, highlight=False))
    narrator.chapter("1. Steady load")
    narrator.command("kubectl get crmi")
    narrator.output("\n".join(f"line {number}" for number in range(SHOWN_LINES + 3)))
    narrator.busy("workers")
    narrator.passed("they start: " + "x" * 80)
    narrator.failed("expected: [bold]five")
    return out.getvalue()


def test_without_a_terminal_there_are_plain_lines_only() -> None:
    text = narrated(terminal=False)
    assert "\x1b" not in text
    assert "\r" not in text
    assert "  0:00 $ kubectl get crmi\n" in text
    assert "... 3 more lines" in text
    assert "x" * 80 in text  # not wrapped
    assert "[bold]five" in text  # what a program said is not markup
    assert "workers" not in text  # a wait is told only when it is long


def test_on_a_terminal_there_are_colours() -> None:
    assert "\x1b[" in narrated(terminal=True)


# --- the watch, on a kubectl that says what it is told


def watching(tmp_path: Path, *events: dict[str, Any]) -> Watch:
    """A watch of a cluster whose kubectl prints these events and then waits."""
    program = tmp_path / "kubectl"
    lines = "\n".join(json.dumps(event) for event in events)
    program.write_text(f"#!{sys.executable}\nimport time\nprint({lines!r}, flush=True)\ntime.sleep(60)\n")
    program.chmod(0o755)

    class Fake(Cluster):
        __slots__ = ()

        def __init__(self) -> None:
            object.__setattr__(self, "work", tmp_path)

    return Watch(Fake(), "crmintegrations", namespace="crm")


def event(kind: str, replicas: int) -> dict[str, Any]:
    return {"type": kind, "object": {"metadata": {"name": "hubspot"}, "spec": {"replicas": replicas}}}


def quiet(data: dict[str, Any] | None) -> None:
    """No audience."""


def test_a_watch_finds_the_first_version_that_is_so_even_if_it_is_over(tmp_path: Path) -> None:
    began = time.time()
    with watching(tmp_path, event("ADDED", 1), event("MODIFIED", 8), event("MODIFIED", 3)) as watch:
        watch.first("hubspot", lambda it: replicas(it) == 3, since=began, within=10, expected="3", tick=quiet)
        seen = watch.first("hubspot", lambda it: replicas(it) >= 5, since=began, within=0, expected="5", tick=quiet)
    assert replicas(seen.data) == 8
    assert seen.at >= began


def test_a_deleted_object_is_none(tmp_path: Path) -> None:
    with watching(tmp_path, event("ADDED", 1), event("DELETED", 1)) as watch:
        seen = watch.first("hubspot", lambda it: it is not None, since=0, within=10, expected="it", tick=quiet)
        gone = watch.first("hubspot", lambda it: it is None, since=seen.at, within=10, expected="no it", tick=quiet)
    assert gone.data is None
    assert watch.latest("hubspot") is None


def test_what_never_comes_is_a_failed_check(tmp_path: Path) -> None:
    with (
        watching(tmp_path, event("ADDED", 1)) as watch,
        pytest.raises(
            CheckFailed, match=r"expected 9 replicas within 0\.3 s; found crmintegrations/other does not exist"
        ),
    ):
        watch.first("other", lambda it: replicas(it) == 9, since=0, within=0.3, expected="9 replicas", tick=quiet)
