"""The whole response table of docs/rollout.md, cell by cell: what each verdict leads to in each situation."""

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import pytest

from crm_operator.api.v1alpha1 import GuardState, GuardStatus, Phase, RolloutPhase
from crm_operator.domain.decide import decide
from crm_operator.domain.plan import CreatePause
from crm_operator.domain.world import Breadth, Evidence, Over, Unknown, World
from tests.unit.domain.builders import (
    GOOD,
    NEW,
    NOW,
    a_canary_world,
    a_guard,
    a_rollout,
    a_spec,
    a_status,
    a_workload,
    a_world,
    evidence,
    pods,
    read,
)

UNREAD = Unknown("connection refused", "ConnectionRefused")
SITUATIONS = ("canary", "promoting", "baking", "steady")
VERDICTS = ("critical, revision", "critical, provider", "critical, undecided", "warning", "unknown", "ok")

#: What the guard reads of the new version and of stable; in steady state there is only stable.
EVIDENCE: dict[str, Evidence] = {
    "critical, revision": evidence(new=11, good=0),
    "critical, provider": evidence(new=11, good=11),
    "critical, undecided": Evidence(
        by_revision={NEW: read(25, samples=10), GOOD: replace(read(2, samples=10), at=NOW - timedelta(seconds=1))},
        overall=read(27),
    ),
    "warning": evidence(new=1, good=0),
    "unknown": evidence(new=UNREAD, good=0),
    "ok": evidence(new=0, good=0),
}
STEADY: dict[str, Evidence] = {
    "critical, provider": evidence(good=11),
    "warning": evidence(good=1),
    "unknown": evidence(good=UNREAD, overall=UNREAD),
    "ok": evidence(good=0),
}


def a_situation(name: str, verdict: str, *, pause: bool) -> World:
    spec = a_spec(onCritical={"pause": pause})
    if name == "steady":
        return a_world(target=GOOD, spec=spec, evidence={"sync-errors": STEADY[verdict]})
    fields: dict[str, Any] = {"spec": spec, "evidence": {"sync-errors": EVIDENCE[verdict]}}
    if name == "canary":
        return a_canary_world(**fields)
    if name == "promoting":
        fields["status"] = a_status(a_rollout(RolloutPhase.PROMOTING, waiting_since=NOW))
        half = pods(5, revision=NEW) + pods(5, revision=GOOD)
        return a_world(stable=a_workload(10, revision=NEW, updated=5, pods=half), **fields)
    began = NOW - timedelta(minutes=10)  # the bake is over, were there nothing to object
    was = {"critical, provider": "provider", "critical, undecided": "undecided"}.get(verdict)
    before = [GuardStatus(name="sync-errors", state=GuardState.CRITICAL, since=NOW, blame=was)] if was else []
    fields["status"] = a_status(a_rollout(RolloutPhase.BAKING, step_start_time=began), guards=before)
    if verdict == "critical, provider":  # stable has no pods left; who was to blame while it had stays so
        fields["evidence"] = {"sync-errors": evidence(new=11, good=None)}
    elif verdict != "critical, undecided":
        fields["evidence"] = {"sync-errors": _without_stable(EVIDENCE[verdict])}
    return a_world(stable=a_workload(10, revision=NEW, pods=pods(10, revision=NEW)), **fields)


def _without_stable(found: Evidence) -> Evidence:
    return Evidence(by_revision={NEW: found.by_revision[NEW]}, overall=found.by_revision[NEW])


@dataclass(frozen=True)
class Expected:
    """Of one cell."""

    rollout: str  # what the rollout does: rolls back | holds | goes on | its clock stops | ends
    phase: Phase
    pauses: bool = False  # with onCritical.pause
    tells: str | None = None


BACK = Expected("rolls back", Phase.ROLLED_BACK, tells="GuardCritical")
TABLE: dict[tuple[str, str], Expected] = {
    ("canary", "critical, revision"): BACK,
    ("canary", "critical, provider"): Expected("holds", Phase.DEGRADED, pauses=True, tells="GuardCritical"),
    ("canary", "critical, undecided"): Expected("holds", Phase.DEGRADED, tells="GuardCritical"),
    ("canary", "warning"): Expected("holds", Phase.PROGRESSING, tells="GuardWarning"),
    ("canary", "unknown"): Expected("holds", Phase.PROGRESSING),
    ("canary", "ok"): Expected("goes on", Phase.PROGRESSING),
    ("promoting", "critical, revision"): BACK,
    ("promoting", "critical, provider"): Expected("holds", Phase.DEGRADED, pauses=True, tells="GuardCritical"),
    ("promoting", "critical, undecided"): Expected("holds", Phase.DEGRADED, tells="GuardCritical"),
    ("promoting", "warning"): Expected("holds", Phase.PROGRESSING, tells="GuardWarning"),
    ("promoting", "unknown"): Expected("holds", Phase.PROGRESSING),
    ("promoting", "ok"): Expected("holds", Phase.PROGRESSING),
    ("baking", "critical, revision"): BACK,
    ("baking", "critical, provider"): Expected("its clock stops", Phase.DEGRADED, pauses=True),
    ("baking", "critical, undecided"): Expected("its clock stops", Phase.DEGRADED),
    ("baking", "warning"): Expected("its clock stops", Phase.PROGRESSING, tells="GuardWarning"),
    ("baking", "unknown"): Expected("holds", Phase.PROGRESSING),
    ("baking", "ok"): Expected("ends", Phase.HEALTHY),
    ("steady", "critical, provider"): Expected("holds", Phase.DEGRADED, pauses=True, tells="GuardCritical"),
    ("steady", "warning"): Expected("holds", Phase.DEGRADED, tells="GuardWarning"),
    ("steady", "unknown"): Expected("holds", Phase.HEALTHY),
    ("steady", "ok"): Expected("holds", Phase.HEALTHY),
}


def test_the_table_has_every_cell() -> None:
    cells = {(situation, verdict) for situation in SITUATIONS for verdict in VERDICTS}
    # In steady state there is no release to blame, and nothing to wait for.
    assert set(TABLE) == cells - {("steady", "critical, revision"), ("steady", "critical, undecided")}


@pytest.mark.parametrize("pause", [False, True], ids=["", "onCritical.pause"])
@pytest.mark.parametrize(("situation", "verdict"), TABLE, ids=lambda part: str(part).replace(", ", "-"))
def test_a_cell_of_the_response_table(situation: str, verdict: str, pause: bool) -> None:
    expected = TABLE[situation, verdict]
    world = a_situation(situation, verdict, pause=pause)
    plan = decide(world)
    guard = next(guard for guard in plan.status.guards if guard.name == "sync-errors")
    assert ", ".join(part for part in (guard.state.value.lower(), guard.blame) if part) == verdict
    assert _what_the_rollout_does(world, plan.status.rollout) == expected.rollout
    assert plan.status.phase is expected.phase
    assert [type(action) for action in plan.actions].count(CreatePause) == (pause and expected.pauses)
    told = [decision.what for decision in plan.status.decisions if decision.what.startswith("Guard")]
    assert told == ([expected.tells] if expected.tells else [])
    if verdict != "ok":
        assert plan.status.message is not None
        assert "sync-errors" in plan.status.message or "crm_sync_errors_total" in plan.status.message


@pytest.mark.parametrize("verdict", [verdict for verdict in VERDICTS if verdict != "critical, revision"])
def test_a_promotion_goes_on_to_its_bake_whatever_blames_no_release(verdict: str) -> None:
    """All workers have the new version. Half of each would not be better, and the bake holds where it must."""
    world = a_situation("promoting", verdict, pause=False)
    plan = decide(replace(world, stable=a_workload(10, revision=NEW)))
    assert plan.status.rollout is not None
    assert plan.status.rollout.phase is RolloutPhase.BAKING


#: Guards that ask for more than one bad value, and where they stand in the table when they get no more.
ASKING_FOR_MORE: dict[str, tuple[dict[str, Any], str]] = {
    "a short run": ({"breaches": {"consecutive": 2}}, "unknown"),
    "one workspace": ({"minWorkspaces": 2}, "warning"),
}


@pytest.mark.parametrize("asking", ASKING_FOR_MORE)
@pytest.mark.parametrize("situation", SITUATIONS)
def test_a_breach_that_is_not_enough_is_no_critical_one(situation: str, asking: str) -> None:
    """It is answered as the table says of Unknown and Warning, whatever `onCritical` allows."""
    parts, verdict = ASKING_FOR_MORE[asking]
    world = a_situation(situation, "critical, provider" if situation == "steady" else "critical, revision", pause=True)
    spec = a_spec(guards=[a_guard(**parts).to_wire()], onCritical={"pause": True})
    found = world.evidence["sync-errors"]
    sides = {side: _once(reading) for side, reading in found.by_revision.items()}
    evidence = {"sync-errors": Evidence(by_revision=sides, overall=_once(found.overall))}
    plan = decide(replace(world, spec=spec, evidence=evidence))
    expected = TABLE[situation, verdict]
    assert _what_the_rollout_does(world, plan.status.rollout) == expected.rollout
    assert plan.status.phase is expected.phase
    assert not any(isinstance(action, CreatePause) for action in plan.actions)


def _once(found: Any) -> Any:
    """Seen for the first time, and in one workspace."""
    return replace(found, over=Over(warning=1, critical=1, total=1), breadth=Breadth(1))


def _what_the_rollout_does(world: World, now: Any) -> str:
    was = world.status.rollout
    assert was is not None
    if now.phase is RolloutPhase.ROLLING_BACK:
        return "rolls back"
    if (now.phase, now.step) == (was.phase, was.step):
        stopped = was.step_start_time is not None and now.step_start_time is None
        return "its clock stops" if stopped else "holds"
    return "ends" if now.phase is RolloutPhase.STABLE else "goes on"
