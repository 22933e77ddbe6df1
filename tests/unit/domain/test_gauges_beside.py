"""A gauge's window on both versions: whose trouble it is, and what was usual. From scrapes to the verdict."""

from collections.abc import Callable
from datetime import timedelta

import pytest

from crm_operator.api.v1alpha1 import GuardState, GuardStatus, RolloutPhase, Threshold
from crm_operator.domain.baseline import BaselineMemory
from crm_operator.domain.blame import find
from crm_operator.domain.world import Evidence, Reading
from tests.unit.domain.builders import a_rollout, a_spec, a_status, a_world
from tests.unit.domain.fleet import LEVEL, Fleet, a_guard, at

Value = Callable[[int], float]
NOW = 600


def beside(reduce: str, *, new: Value, stable: Value) -> tuple[Reading, Reading]:
    """Ten minutes of a scrape each second of a pod of each version."""
    fleet = Fleet(n=-5, s=-5)
    for second in range(NOW + 1):
        fleet.says(second, "n", new(second), metric=LEVEL)
        fleet.says(second, "s", stable(second), metric=LEVEL)
    guard = a_guard(LEVEL, reduce=reduce)
    mine, other = (fleet.side(NOW, revision, guard) for revision in "ns")
    assert isinstance(mine, Reading), mine
    assert isinstance(other, Reading), other
    return mine, other


def once(value: float, *, ago: int, usually: float, lasting: int = 5) -> Value:
    return lambda second: value if NOW - ago - lasting < second <= NOW - ago else usually


@pytest.mark.parametrize(
    ("new", "stable", "blame"),
    [
        pytest.param(lambda _: 12.0, lambda _: 0.8, "revision", id="the new version alone"),
        pytest.param(lambda _: 12.0, once(9, ago=240, usually=0.8), "revision", id="stable was slow once, long ago"),
        pytest.param(lambda _: 12.0, lambda _: 9.0, "provider", id="both"),
        pytest.param(
            once(12, ago=200, usually=1), once(9, ago=200, usually=1), "provider", id="both for a moment, long ago"
        ),
        pytest.param(once(12, ago=200, usually=1), lambda _: 1.0, "revision", id="the new version alone, long ago"),
    ],
)
def test_a_maximum_is_compared_when_the_new_version_had_it(new: Value, stable: Value, blame: str) -> None:
    mine, other = beside("Max", new=new, stable=stable)
    assert find(a_guard(LEVEL, reduce="Max"), mine, other, None, at(NOW)).blame == blame


def test_an_average_is_compared_of_late() -> None:
    mine, other = beside("Average", new=lambda _: 12.0, stable=lambda second: 20.0 if second < 500 else 0.5)
    assert other.value > 10, "it was slow for most of the window"
    assert find(a_guard(LEVEL, reduce="Average"), mine, other, None, at(NOW)).blame == "revision"


def test_a_provider_is_no_longer_to_blame_when_stable_is_well_again() -> None:
    mine, other = beside("Max", new=lambda _: 12.0, stable=once(12, ago=60, usually=0.8))
    was = GuardStatus(
        name="guard",
        state=GuardState.CRITICAL,
        blame="provider",
        since=at(NOW - 100),
        stable_clear_time=at(NOW - 30),
    )
    assert find(a_guard(LEVEL, reduce="Max"), mine, other, was, at(NOW)).blame == "revision"


@pytest.mark.parametrize("reduce", ["Max", "Average", "Last"])
def test_one_bad_moment_in_an_hour_is_not_usual(reduce: str) -> None:
    memory, fleet = BaselineMemory(), Fleet(s=-5)
    guard = a_guard(LEVEL, reduce=reduce).model_copy(update={"warning": Threshold(above=2)})
    spec = a_spec(guards=[guard.to_wire()])
    status = a_status(a_rollout(RolloutPhase.STABLE, stable_revision="s"))
    for second in range(0, 3600, 5):
        fleet.says(second, "s", 9.0 if 1800 <= second < 1820 else 0.5, metric=LEVEL)
        found = fleet.side(second, "s", guard)
        world = a_world(
            now=at(second),
            spec=spec,
            status=status,
            evidence={"guard": Evidence(by_revision={"s": found}, overall=found)},
        )
        known = memory.notice(world).get("guard")
    assert known is not None
    assert known.level is not None
    assert float(known.level) < 2
    assert timedelta(seconds=known.seconds) > timedelta(minutes=50)
