"""Whole rollouts in virtual time, as golden logs for a reader."""

import copy
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from crm_operator.api.v1alpha1 import RolloutPhase, Verb
from crm_operator.domain.decide import decide
from crm_operator.domain.plan import SetReplicas
from crm_operator.domain.revision import revision_of
from tests.unit.domain.builders import a_guard, a_pause, a_template
from tests.unit.domain.scenarios import QUICK, assert_reads_as_golden, running
from tests.unit.domain.simulation import Simulation


def good_release() -> Simulation:
    sim = running()
    sim.ship("v2")
    sim.run(35)
    return sim


def bad_release() -> Simulation:
    sim = running()
    sim.failing.add(sim.ship("v2"))
    sim.run(20)
    return sim


def bad_in_the_bake() -> Simulation:
    sim = running()
    bad = sim.ship("v2")
    while sim.phase is not RolloutPhase.BAKING:
        sim.run(1)
    sim.failing.add(bad)
    sim.run(15)
    return sim


def chance_in_the_bake() -> Simulation:
    """Both versions make 8 errors in a window now, 12 then: the old one did before, so nobody is blamed.

    Nor does it begin the bake again. Six times as many are no chance.
    """
    sim = running(errors=8, guards=[a_guard(warning=None).to_wire()])
    sim.errors[sim.ship("v2")] = 1
    while sim.phase is not RolloutPhase.BAKING:
        sim.run(1)
    sim.errors[revision_of(a_template("v2"))] = 12
    sim.run(15)
    sim.errors[revision_of(a_template("v2"))] = 9
    sim.run(310)
    sim.errors[sim.ship("v3")] = 1
    while sim.phase is not RolloutPhase.BAKING:
        sim.run(1)
    sim.errors[revision_of(a_template("v3"))] = 54
    sim.run(5)
    return sim


def warns_as_before() -> Simulation:
    """Two errors in each window, with either version: shown, and the release goes on. Nine are the release's own."""
    sim = running(errors=2)
    sim.errors[sim.ship("v2")] = 2
    sim.run(40)
    worse = sim.ship("v3")
    sim.errors[worse] = 9
    sim.run(15)
    sim.errors[worse] = 2
    while sim.phase is not RolloutPhase.BAKING:
        sim.run(1)
    sim.run(5)
    sim.errors[worse] = 9
    sim.run(15)
    sim.errors[worse] = 2
    sim.run(15)
    return sim


def fails_now_and_then() -> Simulation:
    """Two bad seconds hold the step and no more; three running, or eight in the rollout, would be enough."""
    guard = a_guard(warning=None, breaches={"consecutive": 3, "total": 8})
    sim = running(guards=[guard.to_wire()])
    bad = sim.ship("v2")
    for _ in range(4):
        sim.failing.discard(bad)
        sim.run(2)
        sim.failing.add(bad)
        sim.run(2)
    sim.run(1)
    return sim


def metrics_outage() -> Simulation:
    sim = running()
    sim.ship("v2")
    sim.run(3)
    sim.blind = True
    sim.run(60)
    sim.blind = False
    sim.run(40)
    return sim


def restart_in_the_canary() -> Simulation:
    """The operator starts anew: what its windows hold is a lower bound, so the step waits; what exceeds is real."""
    sim = running()
    bad = sim.ship("v2")
    sim.run(3)
    sim.filled_at = sim.now + timedelta(seconds=20)
    sim.run(25)
    sim.filled_at = sim.now + timedelta(seconds=300)
    sim.run(3)
    sim.failing.add(bad)
    sim.run(15)
    return sim


def pause_in_the_canary() -> Simulation:
    sim = running()
    sim.ship("v2")
    sim.run(3)
    sim.pauses = (a_pause(),)
    sim.run(10)
    sim.pauses = ()
    sim.run(45)
    return sim


def never_ready() -> Simulation:
    sim = running()
    sim.broken.add(sim.ship("v2"))
    sim.run(50)
    return sim


def both_versions_fail() -> Simulation:
    sim = running()
    bad = sim.ship("v2")
    sim.run(2)
    sim.failing |= {bad, sim.stable}
    sim.run(30)
    return sim


def canary_idles() -> Simulation:
    """Its workers are Ready and finish nothing, while stable's do."""
    sim = running(rollout={**QUICK, "steps": [{"weight": 20, "hold": "5m"}]})
    sim.stuck.add(sim.ship("v2"))
    sim.run(70)
    return sim


def nobody_works() -> Simulation:
    """All are Ready and finish nothing in mid-canary: not the release's fault, and the rollout goes on after it."""
    sim = running(rollout={**QUICK, "steps": [{"weight": 20, "hold": "65s"}]})
    new = sim.ship("v2")
    sim.run(3)
    sim.stuck |= {new, sim.stable}
    sim.run(70)
    sim.stuck.clear()
    sim.run(40)
    return sim


def connections_break() -> Simulation:
    """The database allows 12 workers. A burst wants 20: stepped back, tried again later, and back for twice as long."""
    failures = a_guard(
        name="connection-failures",
        metric={"from": "pods", "name": "connection_failures"},
        window="10m",
        warning=None,
        critical={"above": 5},
    )
    sim = running(guards=[failures.to_wire()], onCritical={"pause": True})
    sim.most_connections = 12
    sim.run(130)
    sim.backlog = 200
    sim.run(1600)
    sim.most_connections = 30  # somebody has given the database more
    sim.run(700)
    return sim


def paused_by_a_guard() -> Simulation:
    """An outage in steady state: paused, lifted too early, not paused again, and again at the next outage."""
    sim = running(onCritical={"pause": True})
    sim.failing.add(sim.stable)
    sim.run(5)
    sim.lift()
    sim.run(10)
    sim.failing.clear()
    sim.run(370)
    sim.failing.add(sim.stable)
    sim.run(5)
    return sim


def paused_in_the_canary() -> Simulation:
    """An outage hits both versions: the release is not to blame, and goes on when a person lifts the pause."""
    sim = running(onCritical={"pause": True})
    bad = sim.ship("v2")
    sim.run(2)
    sim.failing |= {bad, sim.stable}
    sim.run(10)
    sim.failing.clear()
    sim.lift()
    sim.run(45)
    return sim


def by_hand() -> Simulation:
    """Promoted step by step, aborted in the bake, tried again at once."""
    sim = running()
    sim.ship("v2")
    sim.run(2)
    sim.ask(Verb.PROMOTE, "step@1")
    sim.run(2)
    sim.ask(Verb.PROMOTE, "step@2")
    while sim.phase is not RolloutPhase.BAKING:
        sim.run(1)
    sim.ask(Verb.ABORT, "INC-42")
    sim.run(5)
    sim.ask(Verb.RETRY, "1")
    sim.run(2)
    sim.ask(Verb.PROMOTE, "full@3")
    sim.run(30)
    return sim


def back_to_the_version_before() -> Simulation:
    """Nobody's guard saw what is wrong with v2; a person puts v1 back, and an hour later v2."""
    sim = running()
    sim.ship("v2")
    sim.run(40)
    sim.ship("v1")
    sim.run(25)
    sim.pass_time(timedelta(hours=1))
    sim.ship("v2")
    sim.run(3)
    return sim


def misconfigured() -> Simulation:
    """A ConfigMap is missing: a minute, not the deadline, and the same image waits elsewhere."""
    sim = running(rollout={**QUICK, "progressDeadline": "10m"})
    sim.misconfigured.add(sim.ship("v2"))
    sim.run(70)
    return sim


def failed_elsewhere() -> Simulation:
    """zoho rolled the image back: it waits, until zoho gets along with it after all."""
    sim = running()
    sim.failed_elsewhere = "zoho"
    sim.ship("v2")
    sim.run(40)
    sim.failed_elsewhere = None
    sim.run(3)
    return sim


SCENARIOS: list[Callable[[], Simulation]] = [
    good_release,
    bad_release,
    bad_in_the_bake,
    chance_in_the_bake,
    warns_as_before,
    fails_now_and_then,
    metrics_outage,
    restart_in_the_canary,
    pause_in_the_canary,
    never_ready,
    both_versions_fail,
    canary_idles,
    connections_break,
    nobody_works,
    paused_by_a_guard,
    paused_in_the_canary,
    by_hand,
    back_to_the_version_before,
    misconfigured,
    failed_elsewhere,
]


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_a_rollout_reads_as_its_golden_log(scenario: Callable[[], Simulation]) -> None:
    assert_reads_as_golden(scenario.__name__, scenario().log())


def test_a_settled_integration_plans_nothing() -> None:
    for scenario in SCENARIOS:
        sim = scenario()
        before = sim.writes
        plan = sim.operate()
        assert plan.actions == (), f"{scenario.__name__}: {plan.actions}"
        assert sim.writes == before


def test_the_same_world_gives_the_same_plan() -> None:
    sim = running()
    sim.ship("v2")
    world = sim.world()
    assert decide(world) == decide(world)


@pytest.mark.parametrize("steps", [[], QUICK["steps"]], ids=["no canary", "canary"])
def test_a_rollout_goes_on_by_its_own_timers_when_no_event_comes(steps: list[Any]) -> None:
    """Looks come from changes of Deployments and pods, and from the time that the last plan named."""
    # By backlog and without guards nothing else asks for a look.
    sim = running(
        scaling={"maxReplicas": 20, "backlogPerReplica": 10, "scaleDownAfter": "1s"},
        guards=[],
        rollout=QUICK | {"steps": steps},
    )
    sim.run(30)
    sim.ship("v2")
    for _ in range(100):
        plan = sim.operate()
        before = copy.deepcopy(sim.deployments)
        sim.control()
        sim.run_pods()
        if sim.deployments != before:
            continue
        if plan.requeue_after is None:
            break
        sim.pass_time(plan.requeue_after)
    assert sim.phase is RolloutPhase.STABLE, f"nobody looks again:\n{sim.log()}"
    assert sim.stable == revision_of(sim.spec.workers.template)


@pytest.mark.parametrize("bake", ["0s", "1s", "1h"])
def test_a_bake_that_ends_first_cuts_no_handover_short(bake: str) -> None:
    """Workers take 7 s to start, so the canary's half leaves in rounds; the bake may be over meanwhile."""
    sim = running(rollout={**QUICK, "bake": bake})
    sim.ship("v2")
    while sim.phase is not RolloutPhase.PROMOTING:
        sim.run(1)
    promoted_with = sim.deployments["canary"].replicas
    for second in range(70):
        sim.operate()
        sim.control()
        if second % 7 == 6:
            sim.run_pods()
        sim.operate()
        sim.pass_time()
        ready = [pod for each in sim.deployments.values() for pod in each.pods if pod.ready and not pod.terminating]
        assert len(ready) >= 10, sim.log()
        if bake == "1s" and "Completed" in sim.lines[-1]:
            assert sim.deployments["canary"].replicas == promoted_with, "the bake is to end before the handover"
    assert sim.status.rollout is not None
    assert sim.status.rollout.phase is (RolloutPhase.BAKING if bake == "1h" else RolloutPhase.STABLE)
    assert "canary" not in sim.deployments


def test_stopping_damage_comes_before_restoring() -> None:
    sim = running()
    sim.failing.add(sim.ship("v2"))
    while sim.phase is not RolloutPhase.ROLLING_BACK:
        plan = sim.operate()
        sim.control()
        sim.run_pods()
        sim.pass_time()
    scalings = [action for action in plan.actions if isinstance(action, SetReplicas)]
    assert [(s.role, s.replicas, s.stops_damage) for s in scalings] == [("canary", 0, True), ("stable", 10, False)]
