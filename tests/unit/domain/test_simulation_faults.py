"""Whole rollouts with faults, in virtual time, as golden logs: outages, crashes, edits, and too little work.

Lines that begin with `kubectl:` are what `status` says, whenever more of that than its numbers changes: what somebody
on call would read.
"""

from collections.abc import Callable

import pytest

from crm_operator.api.v1alpha1 import GuardState, RolloutPhase, Verb
from crm_operator.domain.world import Neighbour
from tests.unit.domain.builders import a_pause
from tests.unit.domain.scenarios import QUICK, assert_reads_as_golden, running
from tests.unit.domain.simulation import Simulation


def until(sim: Simulation, phase: RolloutPhase) -> None:
    while sim.phase is not phase:
        sim.run(1)


def outage_in_the_hold_and_in_the_bake() -> Simulation:
    """Workers cannot be read for longer than the hold, and again for longer than the bake."""
    sim = running(aloud=True)
    sim.ship("v2")
    sim.run(3)
    sim.blind = True
    sim.run(20)
    sim.blind = False
    until(sim, RolloutPhase.BAKING)
    sim.run(3)
    sim.blind = True
    sim.run(20)
    sim.blind = False
    sim.run(5)
    return sim


def provider_outage_in_the_bake() -> Simulation:
    """No stable worker is left to compare with; another integration of the provider fails as well."""
    sim = running(aloud=True, onCritical={"pause": True})
    new = sim.ship("v2")
    until(sim, RolloutPhase.BAKING)
    sim.run(4)
    sim.failing.add(new)
    sim.neighbours = (
        Neighbour(name="hubspot-eu", metric="crm_sync_errors_total", state=GuardState.CRITICAL, since=sim.now),
    )
    sim.run(10)
    sim.failing.clear()
    sim.neighbours = ()
    sim.lift()
    sim.run(20)
    return sim


def fixed_while_the_way_back_is_denied() -> Simulation:
    """A policy forbids v1 by now. v3, a fix of v2, is tried without a canary, as there is nothing to try it beside."""
    sim = running()
    bad = sim.ship("v2")
    while sim.phase is not RolloutPhase.BAKING:
        sim.run(1)
    sim.run(2)
    sim.banned = {sim.stable}
    sim.failing.add(bad)
    sim.run(20)
    sim.ship("v3")
    sim.run(20)
    return sim


def denied_in_the_bake() -> Simulation:
    """A policy forbids the old template: the bad version goes to 0 without it, and the old one comes when it may."""
    sim = running(aloud=True)
    bad = sim.ship("v2")
    until(sim, RolloutPhase.BAKING)
    sim.run(2)
    sim.failing.add(bad)
    sim.denied = True
    sim.run(20)
    sim.denied = False
    sim.run(5)
    return sim


def unrecorded_in_the_bake() -> Simulation:
    """A policy denies the status: the good version comes back all the same, and is told of once that may be said."""
    sim = running(aloud=True)
    bad = sim.ship("v2")
    until(sim, RolloutPhase.BAKING)
    sim.run(2)
    sim.failing.add(bad)
    sim.unrecorded = True
    sim.run(20)
    assert sim.phase is RolloutPhase.BAKING
    assert (sim.working(bad), sim.working(sim.stable)) == (0, 10)
    sim.unrecorded = False
    sim.run(5)
    return sim


def edited_in(phase: RolloutPhase, *, after: int = 1) -> Simulation:
    """A third version is shipped in that phase of the second one's rollout."""
    sim = running(aloud=True)
    second = sim.ship("v2")
    if phase is RolloutPhase.ROLLING_BACK:
        until(sim, RolloutPhase.BAKING)
        sim.failing.add(second)
        while sim.phase is not phase:
            sim.operate()
            sim.pass_time()
    else:
        until(sim, phase)
        sim.run(after)
    sim.ship("v3")
    sim.run(45)
    return sim


def edited_in_the_canary() -> Simulation:
    return edited_in(RolloutPhase.CANARY, after=3)


def edited_in_the_promotion() -> Simulation:
    return edited_in(RolloutPhase.PROMOTING, after=3)


def edited_in_the_bake() -> Simulation:
    return edited_in(RolloutPhase.BAKING, after=3)


def fixed_in_the_bake() -> Simulation:
    """v2 warns in its bake, and v3 may be the fix: it does not wait."""
    sim = running(aloud=True)
    second = sim.ship("v2")
    until(sim, RolloutPhase.BAKING)
    sim.run(2)
    sim.errors[second] = 5
    sim.run(2)
    sim.ship("v3")
    sim.run(45)
    return sim


def shipped_faster_than_it_bakes() -> Simulation:
    """A release each 25 s, of which each takes 35 with its bake. What was replaced in all workers never comes back."""
    sim = running(rollout=QUICK | {"bake": "15s"})
    serving, replaced = sim.stable, set[str]()
    for number in range(2, 7):
        sim.ship(f"v{number}")
        for _ in range(25):
            sim.run(1)
            assert sim.status.rollout is not None
            if sim.status.rollout.phase is RolloutPhase.BAKING and sim.status.rollout.candidate_revision != serving:
                replaced.add(serving)
                serving = sim.status.rollout.candidate_revision or ""
            assert not any(sim.working(revision) for revision in replaced), sim.log()
    sim.run(60)
    assert len(replaced) >= 3
    return sim


def edited_in_the_rollback() -> Simulation:
    return edited_in(RolloutPhase.ROLLING_BACK)


def without_work() -> Simulation:
    """No job and no worker: one canary pod must start, and the step waits until there is work."""
    sim = running(backlog=0, aloud=True, rollout=QUICK | {"minJobs": 5})
    sim.ship("v2")
    sim.run(20)
    sim.backlog = 40
    sim.run(40)
    return sim


def one_worker() -> Simulation:
    sim = running(backlog=10, aloud=True)
    sim.ship("v2")
    sim.run(40)
    return sim


def image_cannot_be_pulled() -> Simulation:
    """The registry is down: said at once, and waited for until the deadline."""
    sim = running(aloud=True)
    sim.unpullable.add(sim.ship("v2"))
    sim.run(45)
    return sim


def registry_comes_back() -> Simulation:
    sim = running(aloud=True)
    sim.unpullable.add(sim.ship("v2"))
    sim.run(20)
    sim.unpullable.clear()
    sim.run(35)
    return sim


def queue_lost_before_the_bake() -> Simulation:
    """Promoted by hand while paused. The pause ends, nobody knows whether there is work, and so no worker runs."""
    sim = running(aloud=True)
    sim.ship("v2")
    sim.run(2)
    sim.pauses = (a_pause(),)
    sim.run(3)
    sim.ask(Verb.PROMOTE, "full@1")
    sim.lose_queue()
    sim.run(2)
    sim.pauses = ()
    sim.run(40)
    assert sim.phase is RolloutPhase.BAKING
    sim.find_queue()
    sim.run(20)
    return sim


SCENARIOS: list[Callable[[], Simulation]] = [
    outage_in_the_hold_and_in_the_bake,
    provider_outage_in_the_bake,
    queue_lost_before_the_bake,
    edited_in_the_canary,
    edited_in_the_promotion,
    edited_in_the_bake,
    fixed_in_the_bake,
    shipped_faster_than_it_bakes,
    edited_in_the_rollback,
    without_work,
    one_worker,
    image_cannot_be_pulled,
    registry_comes_back,
    denied_in_the_bake,
    unrecorded_in_the_bake,
    fixed_while_the_way_back_is_denied,
]


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_a_rollout_with_faults_reads_as_its_golden_log(scenario: Callable[[], Simulation]) -> None:
    sim = scenario()
    assert_reads_as_golden(scenario.__name__, sim.log())
    plan = sim.operate()
    assert plan.can_wait or not plan.actions, "it has settled"


@pytest.mark.parametrize("after", [0, 1, 20], ids="{} s after it began".format)
def test_a_rollback_that_is_not_recorded_is_forgotten_by_a_restart_and_decided_again(after: int) -> None:
    sim = running()
    bad = sim.ship("v2")
    until(sim, RolloutPhase.BAKING)
    sim.failing.add(bad)
    sim.unrecorded = True
    sim.operate()
    sim.run(after)
    sim.restart()
    sim.run(5)
    sim.unrecorded = False
    sim.run(10)
    assert sim.phase is RolloutPhase.ROLLED_BACK, sim.log()
    assert (sim.working(bad), sim.working(sim.stable)) == (0, 10)


@pytest.mark.parametrize("phase", [RolloutPhase.CANARY, RolloutPhase.BAKING], ids=["in the canary", "in the bake"])
def test_a_fix_that_is_shipped_in_a_rollback_that_is_not_recorded_does_not_bring_the_bad_version_back(
    phase: RolloutPhase,
) -> None:
    """Nor does it hide that this one was rolled back."""
    sim = running()
    bad = sim.ship("v2")
    until(sim, phase)
    sim.run(1)
    sim.failing.add(bad)
    sim.unrecorded = True
    sim.run(2)
    fix = sim.ship("v3")
    sim.blind = True
    sim.run(20)
    sim.blind = False
    sim.run(1)
    sim.unrecorded = False
    for _ in range(60):
        sim.run(1)
        assert sim.working(bad) == 0, sim.log()
    assert (sim.stable, sim.working(fix)) == (fix, 10), sim.log()
    assert sum("RolledBack:" in line for line in sim.lines) == 1, sim.log()


@pytest.mark.parametrize("phase", [RolloutPhase.CANARY, RolloutPhase.BAKING], ids=["in the canary", "in the bake"])
def test_a_crash_between_any_two_writes_of_a_rollback_heals(phase: RolloutPhase) -> None:
    """One log for all crashes: what happened before each is the same, so it is left out."""
    told, writes = [], 0
    while True:
        sim = running()
        bad = sim.ship("v2")
        until(sim, phase)
        sim.failing.add(bad)
        begin = len(sim.lines)
        plan = sim.operate(crash_after=writes)
        sim.restart()
        if writes >= len(plan.actions):
            break
        sim.run(6)
        told.append(f"--- crash after {writes} of {len(plan.actions)} writes\n" + "\n".join(sim.lines[begin:]) + "\n")
        assert sim.phase is RolloutPhase.ROLLED_BACK, sim.log()
        assert sim.working(bad) == 0
        assert sim.working(sim.stable) == 10
        writes += 1
    assert writes > 3, "a rollback is several writes"
    assert_reads_as_golden(f"crash_in_a_rollback_{phase.value.lower()}", "\n".join(told))
