"""A template that comes while another version bakes: when it waits, when it begins at once, and what is said."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from crm_operator.api.v1alpha1 import CrmIntegrationSpec, GoodRevision, GuardState, Phase, RolloutPhase, Verb
from crm_operator.domain.decide import decide
from crm_operator.domain.guards import evaluate
from crm_operator.domain.plan import ApplyTemplate, Plan, SetReplicas
from crm_operator.domain.rollout import advance
from crm_operator.domain.world import Evidence, Neighbour, QueueView, TemplateRefused, Unknown, World
from tests.unit.domain.builders import (
    GOOD,
    NEW,
    NOW,
    SECOND,
    a_guard,
    a_pause,
    a_refusal,
    a_rollout,
    a_spec,
    a_status,
    a_workload,
    a_world,
    evidence,
    read,
)

FIX = "c" * 16
MINUTE = timedelta(minutes=1)
QUIET = {"sync-errors": evidence(new=0, good=None)}
WARNING = {"sync-errors": evidence(new=1, good=None)}
BREACH = {"sync-errors": evidence(new=99, good=None)}
DOUBTS = (Neighbour(name="hubspot-us", metric="crm_sync_errors_total", state=GuardState.WARNING, since=NOW),)
UNREAD = {"sync-errors": evidence(new=Unknown("connection refused", "ConnectionRefused"), good=None)}
WATCHED = a_spec(onCritical={"rollback": False})
WITHOUT_STEPS = a_spec(rollout={"steps": [], "bake": "5m"})


def arriving(*, since: timedelta | None = MINUTE, good: tuple[str, ...] = (), **parts: Any) -> World:
    """NEW has baked for so long, of 5 minutes, when another template comes."""
    revisions = [GoodRevision(revision=revision, stopped_time=NOW - MINUTE) for revision in good]
    started = None if since is None else NOW - since
    fields: dict[str, Any] = {
        "target": FIX,
        "status": a_status(a_rollout(RolloutPhase.BAKING, step_start_time=started, good_revisions=revisions)),
        "stable": a_workload(10, revision=NEW),
        "evidence": QUIET,
        "known_revisions": frozenset({GOOD, NEW, FIX}),
    }
    return a_world(**(fields | parts))


def down(waited: timedelta) -> World:
    """None of the workers of the version that bakes has been Ready for so long."""
    rollout = a_rollout(RolloutPhase.BAKING, waiting_since=NOW - waited)
    return arriving(status=a_status(rollout), stable=a_workload(10, ready=0, revision=NEW))


def sizeless(**parts: Any) -> World:
    """No worker of the version that bakes can be made."""
    denied = a_refusal(SetReplicas(role="stable", replicas=2, was=0, why=""))
    return arriving(stable=a_workload(0, revision=NEW), refused=denied, **parts)


@pytest.mark.parametrize(
    ("world", "phase"),
    [
        pytest.param(arriving(), RolloutPhase.BAKING, id="nothing objects"),
        pytest.param(arriving(evidence=UNREAD), RolloutPhase.BAKING, id="not read is no objection yet"),
        pytest.param(arriving(template=TemplateRefused("no")), RolloutPhase.BAKING, id="it was refused"),
        pytest.param(arriving(since=5 * MINUTE), RolloutPhase.STABLE, id="the bake is over: trusted first"),
        pytest.param(arriving(evidence=WARNING), RolloutPhase.CANARY, id="a guard warns: it may be the fix"),
        pytest.param(arriving(evidence=BREACH), RolloutPhase.ROLLING_BACK, id="a guard blames it: taken back first"),
        pytest.param(arriving(evidence=BREACH, spec=WATCHED), RolloutPhase.CANARY, id="... and none takes it back"),
        pytest.param(arriving(evidence=BREACH, neighbours=DOUBTS), RolloutPhase.BAKING, id="a guard blames nobody yet"),
        pytest.param(arriving(since=None), RolloutPhase.BAKING, id="the bake has not begun yet"),
        pytest.param(down(59 * SECOND), RolloutPhase.BAKING, id="its workers start, after a pause or for new work"),
        pytest.param(down(MINUTE), RolloutPhase.CANARY, id="none of its workers comes up"),
        pytest.param(sizeless(), RolloutPhase.CANARY, id="none can be made: its bake would not end"),
        pytest.param(sizeless(pauses=(a_pause(),)), RolloutPhase.BAKING, id="... but none is to be made in a pause"),
        pytest.param(arriving(since=5 * MINUTE, evidence=UNREAD), RolloutPhase.CANARY, id="not read to the end"),
        pytest.param(arriving(good=(FIX,)), RolloutPhase.PROMOTING, id="back to one that served well"),
        pytest.param(arriving(spec=WITHOUT_STEPS), RolloutPhase.PROMOTING, id="without steps nothing older comes back"),
        pytest.param(arriving(target=GOOD), RolloutPhase.STABLE, id="back to stable"),
    ],
)
def test_a_template_that_comes_in_a_bake(world: World, phase: RolloutPhase) -> None:
    assert advance(world, evaluate(world)).rollout.phase is phase


UNKNOWN_QUEUE = QueueView(latest=Unknown("spec.queue.url: connection refused"))


@pytest.mark.parametrize(
    "meanwhile",
    [
        pytest.param({"pauses": (a_pause(),)}, id="a pause"),
        pytest.param({"spec": a_spec(mode="Observe")}, id="mode Observe"),
        pytest.param(
            {"stable": a_workload(0, revision=NEW), "queue": UNKNOWN_QUEUE}, id="an unread queue at 0 workers"
        ),
    ],
)
def test_what_stops_the_clock_of_a_bake_does_not_end_the_wait_for_it(meanwhile: dict[str, Any]) -> None:
    status = arriving().status
    for parts in (meanwhile, meanwhile, {}, {}):
        status = decide(arriving(status=status, **parts)).status
    assert status.rollout is not None
    assert (status.rollout.phase, status.rollout.candidate_revision) == (RolloutPhase.BAKING, NEW)
    assert status.rollout.step_start_time == NOW, "the bake begins again"


def test_workers_that_do_not_come_up_are_looked_at_when_their_time_is_over() -> None:
    plan = decide(down(30 * SECOND))
    assert plan.requeue_after is not None
    assert plan.requeue_after <= 30 * SECOND


def test_it_begins_beside_the_version_that_finished_its_bake() -> None:
    over = arriving(since=5 * MINUTE)
    trusted = decide(over).status
    # What a pipeline waits for has not begun yet.
    says = {item.type: (item.status, item.reason, item.message) for item in trusted.conditions}
    coming = f"{FIX} begins its rollout beside {NEW}"
    assert says["Reconciling"] == ("True", "Queued", coming)
    assert trusted.phase is Phase.PROGRESSING
    assert (trusted.message or "").endswith(f"; next: {coming}")
    began = advance(replace(over, status=trusted), ()).rollout
    assert (began.phase, began.stable_revision, began.candidate_revision) == (RolloutPhase.CANARY, NEW, FIX)


DEAD = a_guard(name="dead-letters", metric={"from": "queue", "name": "dead"}, reduce="Last", window=None, warning=None)


def followed(world: World, passes: int) -> list[Plan]:
    """So many passes, a second apart, each from the status that the one before wrote."""
    plans = []
    for _ in range(passes):
        plans.append(decide(world))
        world = replace(world, status=plans[-1].status, now=world.now + SECOND)
    return plans


@pytest.mark.parametrize("rollback", [True, False])
def test_what_the_version_that_bakes_leaves_behind_is_not_the_fault_of_the_next(rollback: bool) -> None:
    """Dead letters have no version, and stay until somebody looks at them."""
    spec = a_spec(guards=[DEAD.to_wire()], onCritical={"rollback": rollback, "pause": rollback})
    left = {DEAD.name: Evidence(overall=read(99, previous=99))}
    plans = followed(arriving(spec=spec, evidence=left), 5)
    told = [(item.what, item.to) for item in plans[-1].status.decisions]
    went = [("RolledBack", GOOD)] if rollback else []
    assert told == [("GuardCritical", None), *went, ("RolloutStarted", FIX)]
    last = plans[-1].status
    assert last.rollout is not None
    assert (last.rollout.phase, last.rollout.candidate_revision) == (RolloutPhase.CANARY, FIX)
    assert (last.guards[0].state, last.guards[0].blame) == (GuardState.CRITICAL, "provider")
    assert ("; left by the version that was rolled back" in (last.guards[0].message or "")) is rollback
    assert last.automatic_pause is None, "what works is not stopped for what a bad version has left"
    back = next(action for plan in plans for action in plan.actions if isinstance(action, ApplyTemplate))
    assert (back.role, back.revision, back.urgent) == ("stable", GOOD, rollback), "its workers go at once"


def test_why_it_does_not_wait_is_said() -> None:
    status = decide(arriving(evidence=WARNING)).status
    told = status.decisions[-1]
    assert told.why.startswith(
        f"new template while {NEW} bakes; guard sync-errors is Warning: crm_sync_errors_total +1 > 0"
    )
    assert told.evidence is not None
    assert told.evidence.guard == "sync-errors"


def test_a_rollback_says_that_the_template_that_waited_begins() -> None:
    (told,) = [item for item in decide(arriving(evidence=BREACH)).status.decisions if item.what == "RolledBack"]
    assert told.next is not None
    assert told.next.what == f"{FIX} begins its rollout beside {GOOD}"


def test_what_waits_is_said_with_the_time_and_the_command() -> None:
    status = decide(arriving()).status
    assert f"baking until 03:04:00; {FIX} waits for that" in (status.message or "")
    assert status.next is not None
    assert status.next.time == NOW + 4 * MINUTE
    assert f"{FIX} begins, which it does at once if a guard objects" in status.next.what
    assert "kubectl crm promote hubspot -n crm" in status.next.what


@pytest.mark.parametrize("spec", [a_spec(), WITHOUT_STEPS], ids=["steps", "without steps"])
@pytest.mark.parametrize(
    ("guards", "then"),
    [
        pytest.param(QUIET, "Stable, if no guard objects; then", id="nothing objects"),
        pytest.param(UNREAD, "Stable, if by then guard sync-errors is OK", id="a guard cannot be read"),
        pytest.param(WARNING, "Stable 5m after guard sync-errors is OK", id="a guard warns"),
    ],
)
def test_one_whose_image_failed_elsewhere_is_not_said_to_begin(
    spec: CrmIntegrationSpec, guards: dict[str, Any], then: str
) -> None:
    status = decide(arriving(spec=spec, evidence=guards, image="worker:v3", image_failed_in="zoho")).status
    assert status.next is not None
    assert status.next.what.startswith(then)
    said = f"{status.message} {status.next.what}"
    assert f"{FIX} begins" not in said
    if guards is not WARNING:
        assert f"{FIX} is held after that, since its image was rolled back in integration zoho" in said
        assert f"then {FIX} is held, as its image was rolled back in zoho; to begin now: kubectl crm promote" in said


@pytest.mark.parametrize(("value", "phase"), [("step@1", RolloutPhase.CANARY), ("full@1", RolloutPhase.PROMOTING)])
def test_a_person_lets_it_begin(value: str, phase: RolloutPhase) -> None:
    status = decide(arriving(verbs={Verb.PROMOTE: value})).status
    assert status.rollout is not None
    assert (status.rollout.phase, status.rollout.candidate_revision) == (phase, FIX)
    assert status.rollout.stable_revision == GOOD, "a rollback goes where a bake was finished"
    assert [verb.result.value for verb in status.verbs] == ["Done"]


def test_a_retry_says_nothing_of_what_waits() -> None:
    status = decide(arriving(verbs={Verb.RETRY: "1"})).status
    assert status.rollout is not None
    assert status.rollout.phase is RolloutPhase.BAKING
    assert [verb.result.value for verb in status.verbs] == ["Ignored"]
