"""A write that is refused is told of once, for as long as writes are refused."""

from typing import Any

import pytest

from crm_operator.domain.decide import decide
from crm_operator.domain.plan import Action, CreatePause, Plan, SetReplicas
from tests.unit.domain.builders import GOOD, NOW, SECOND, a_pause, a_refusal, a_world
from tests.unit.domain.scenarios import running
from tests.unit.domain.simulation import Simulation

PAUSE: Action = CreatePause(name="hubspot-auto", reason="", why="")
SIZE: Action = SetReplicas(role="stable", replicas=12, was=10, why="")


def a_look(refused: Action = SIZE, *, after: Plan, **parts: Any) -> Plan:
    return decide(a_world(target=GOOD, refused=a_refusal(refused), status=after.status, **parts))


def tellings(plan: Plan) -> int:
    return sum(decision.what == "WriteRefused" for decision in plan.status.decisions)


@pytest.mark.parametrize(
    "parts",
    [
        pytest.param({}, id="nothing else"),
        pytest.param({"pauses": (a_pause(),)}, id="a pause"),
        # Whatever others write into texts that we quote.
        pytest.param({"pauses": (a_pause(reason="INC-42; also, INC-43"),)}, id="a pause with our words"),
    ],
)
def test_it_is_told_once_whatever_else_is_said(parts: dict[str, Any]) -> None:
    first = a_look(after=decide(a_world(target=GOOD, **parts)), **parts)
    assert tellings(first) == 1
    assert tellings(a_look(after=first, **parts)) == 1
    assert tellings(a_look(PAUSE, after=first, **parts)) == 1, "another write, of the same trouble as a rule"
    assert tellings(a_look(after=first, now=NOW + 60 * SECOND)) == 1, "nor when what is said beside it changes"


def with_a_size_refused() -> Simulation:
    sim = running()
    sim.frozen = True
    sim.backlog = 150
    sim.run(20)
    return sim


def told(sim: Simulation) -> int:
    return sum("WriteRefused" in line for line in sim.lines)


def test_it_is_told_again_when_writes_were_accepted_in_between() -> None:
    sim = with_a_size_refused()
    assert told(sim) == 1
    sim.frozen = False
    sim.run(20)
    sim.frozen = True
    sim.backlog = 200
    sim.run(20)
    assert told(sim) == 2, sim.log()


def test_it_is_told_again_of_another_spec() -> None:
    sim = with_a_size_refused()
    sim.replace_by(sim.spec.workers.strategy)
    sim.run(20)
    assert told(sim) == 2, sim.log()
