"""`workers.strategy` over whole rollouts: how a good version comes, and that a bad one does not wait for it."""

from collections.abc import Callable
from itertools import cycle, islice
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crm_operator.api.v1alpha1 import RolloutPhase, Strategy
from crm_operator.domain.decide import decide
from crm_operator.domain.plan import ApplyTemplate, WriteStatus
from crm_operator.domain.rolling_update import room
from tests.unit.domain.scenarios import QUICK, running
from tests.unit.domain.simulation import Simulation
from tests.unit.domain.test_allocation import ONE_BY_ONE, STRATEGIES


def until(sim: Simulation, holds: Callable[[], bool]) -> None:
    """Everybody looks in turn until it holds, which is asked before each look."""
    for step in islice(cycle(sim.runnable()), 500):
        if holds():
            return
        step()
    raise AssertionError(sim.log())


def promoting(strategy: Strategy, steps: list[Any]) -> tuple[Simulation, str]:
    """A new version at the beginning of its promotion, and its revision."""
    sim = running(rollout=QUICK | {"steps": steps})
    sim.replace_by(strategy)
    sim.run(20)
    new = sim.ship("v2")
    until(sim, lambda: sim.phase is RolloutPhase.PROMOTING)
    return sim, new


def test_a_strategy_that_is_edited_alone_is_applied_once_and_starts_nothing() -> None:
    sim = running()
    sim.run(20)
    before, writes, stable = sim.status.rollout, sim.writes, sim.deployments["stable"]
    pods = [pod.name for pod in stable.pods]
    sim.replace_by(ONE_BY_ONE)
    actions = sim.operate().actions
    (applied,) = [action for action in actions if isinstance(action, ApplyTemplate)]
    assert (applied.role, applied.revision, applied.urgent) == ("stable", sim.stable, False)
    assert stable.strategy == ONE_BY_ONE
    sim.run(20)
    assert sim.status.rollout == before
    assert [pod.name for pod in stable.pods] == pods
    assert sim.writes - writes <= 3, "the strategy, what was observed, and numbers"
    assert not sim.operate().actions


@pytest.mark.parametrize(
    "strategy",
    [
        pytest.param(ONE_BY_ONE, id="no surge"),
        pytest.param(Strategy(max_surge="100%", max_unavailable=0), id="all beside"),
        pytest.param(Strategy(max_surge=0, max_unavailable="100%"), id="all at once"),
    ],
)
@pytest.mark.parametrize("steps", [[], QUICK["steps"]], ids=["no canary", "canary"])
def test_a_promotion_stays_within_the_strategy(strategy: Strategy, steps: list[Any]) -> None:
    sim, good = promoting(strategy, steps)
    may = room(strategy, 10)

    def kept() -> bool:
        staying = [pod for side in sim.deployments.values() for pod in side.pods if not pod.terminating]
        assert len(staying) <= 10 + may.surge, sim.log()
        assert sum(pod.ready for pod in staying) >= 10 - may.unavailable, sim.log()
        return sim.phase is RolloutPhase.STABLE

    until(sim, kept)
    assert sim.stable == good


POSSIBLE = STRATEGIES.filter(lambda strategy: strategy.max_surge != 0 or strategy.max_unavailable != 0)


@settings(max_examples=50, deadline=None)
@given(
    strategy=POSSIBLE,
    later=st.none() | POSSIBLE,
    steps=st.sampled_from([[], QUICK["steps"]]),
    rounds=st.integers(0, 12),
    crash_after=st.integers(0, 7),
)
def test_a_rollback_in_mid_promotion_lets_all_bad_workers_go_first(
    strategy: Strategy, later: Strategy | None, steps: list[Any], rounds: int, crash_after: int
) -> None:
    """Whatever the strategy, however far it came, though a user edits it and the operator crashes meanwhile."""
    sim, bad = promoting(strategy, steps)
    for _ in range(rounds):
        sim.control()
        sim.run_pods()
    if later is not None:
        sim.replace_by(later)
    sim.failing.add(bad)
    until(sim, lambda: rolls_back(sim))
    sim.operate(crash_after=crash_after)
    sim.restart()
    sim.operate()
    before = {pod.name for side in sim.deployments.values() for pod in side.pods}
    sim.control()
    assert sim.working(bad) == 0, sim.log()
    started = [pod for pod in sim.deployments["stable"].pods if pod.name not in before]
    assert not any(pod.ready for pod in started), "no good one was waited for"
    until(sim, lambda: sim.phase is RolloutPhase.ROLLED_BACK)
    sim.run(1)
    assert sim.working(sim.stable) == 10
    stable = sim.deployments["stable"]
    assert (stable.strategy, stable.urgent) == (sim.spec.workers.strategy, False), "the user's is back"


def rolls_back(sim: Simulation) -> bool:
    """Whether the next look decides it."""
    written = [action.status for action in decide(sim.world()).actions if isinstance(action, WriteStatus)]
    return any(status.rollout is not None and status.rollout.phase is RolloutPhase.ROLLING_BACK for status in written)
