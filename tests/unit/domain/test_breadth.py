"""In how many workspaces a counter grew, and what a breach in too few of them leads to."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crm_operator.api.v1alpha1 import Guard, GuardState, RolloutPhase
from crm_operator.domain.breadth import MAX_WORKSPACES, WorkspaceSeries, workspaces_of
from crm_operator.domain.decide import decide
from crm_operator.domain.guards import evaluate
from crm_operator.domain.plan import CreatePause
from crm_operator.domain.scraped import Sample
from crm_operator.domain.world import Breadth, Evidence, Reading, Unknown, World
from tests.unit.domain import fleet as pods
from tests.unit.domain.builders import GOOD, NEW, a_canary_world, a_guard, a_spec, a_world, read
from tests.unit.domain.fleet import ERRORS, Fleet, at

BY_WORKSPACE = pods.a_guard().model_copy(update={"min_workspaces": 2})


def breadth(fleet: Fleet, second: float, guard: Guard = BY_WORKSPACE) -> Breadth:
    found = fleet.overall(second, guard)
    assert isinstance(found, Reading), found
    assert found.breadth is not None
    return found.breadth


# -- what is counted --------------------------------------------------------------------------------------------------


def test_a_workspace_counts_once_on_however_many_pods_it_fails() -> None:
    fleet = Fleet(a1=0, a2=0)
    for pod in ("a1", "a2"):
        fleet.fails_for(1, pod, ws_1=3, ws_2=0)
    assert breadth(fleet, 2) == Breadth(1)
    fleet.fails_for(3, "a2", ws_1=3, ws_2=1)
    assert breadth(fleet, 4) == Breadth(2)


def test_only_what_grew_within_the_window_counts() -> None:
    fleet = Fleet(a1=-999)
    fleet.fails_for(0, "a1", ws_1=500, ws_2=7)
    assert fleet.overall(1, BY_WORKSPACE) == Unknown(f"{ERRORS}: only one sample so far (1 of 1 pods)", "Starting")
    fleet.fails_for(10, "a1", ws_1=501, ws_2=7)
    assert breadth(fleet, 11) == Breadth(1), "an old process's first values are history"
    fleet.fails_for(20, "a1", ws_1=501, ws_2=7, ws_3=1)
    assert breadth(fleet, 21) == Breadth(2), "a series that appears began at 0"
    fleet.fails_for(310, "a1", ws_1=501, ws_2=7, ws_3=1)
    assert breadth(fleet, 310) == Breadth(1)
    assert breadth(fleet, 320) == Breadth(0)


def test_a_restart_and_a_pod_that_left() -> None:
    fleet = Fleet(a1=-999, a2=-999)
    for pod in ("a1", "a2"):
        fleet.fails_for(0, pod, ws_1=9, ws_2=9)
    fleet.fails_for(1, "a1", ws_1=2, ws_2=9)  # began anew, and two errors since
    fleet.fails_for(1, "a2", ws_1=9, ws_2=9, ws_3=1)
    fleet.there(2, a2=-999)
    assert breadth(fleet, 3) == Breadth(2)
    side = fleet.side(3, "a", BY_WORKSPACE)
    assert isinstance(side, Reading)
    assert side.breadth == Breadth(2)


def test_nobody_pays_for_it_who_does_not_ask() -> None:
    fleet = Fleet(a1=0)
    fleet.fails_for(1, "a1", ws_1=3)
    found = fleet.overall(2)
    assert isinstance(found, Reading)
    assert found.breadth is None


@pytest.mark.parametrize(
    ("series", "reason"),
    [
        pytest.param([(None, 1.0)], "LabelMissing", id="no label"),
        pytest.param([("", 1.0)], "LabelMissing", id="an empty label is none"),
        pytest.param([(f"ws_{n}", 1.0) for n in range(MAX_WORKSPACES + 1)], "TooManyWorkspaces", id="a million"),
    ],
)
def test_workspaces_that_cannot_be_counted(series: list[tuple[str | None, float]], reason: str) -> None:
    assert pods.reason(_as_unknown(workspaces_of("x", series))) == reason


def _as_unknown(found: Any) -> Unknown:
    assert isinstance(found, Unknown), found
    return found


def test_what_has_no_label_belongs_to_no_workspace() -> None:
    assert workspaces_of("x", [(None, 5.0), ("ws_1", 1.0), ("ws_1", 2.0)]) == {hash("ws_1"): 3.0}
    assert workspaces_of("x", []) == {}


def test_one_pod_that_cannot_be_counted_makes_it_a_lower_bound() -> None:
    fleet = Fleet(a1=0, a2=0)
    missing = workspaces_of(ERRORS, [(None, 4.0)])
    fleet.fails_for(1, "a1", ws_1=3)
    fleet.fleet.record("a2", {ERRORS: Sample(4, 4, None, missing)}, at(1))
    assert breadth(fleet, 2) == Breadth(1, unsure=_as_unknown(missing))


def test_memory_is_bounded_whatever_a_worker_shows() -> None:
    series = WorkspaceSeries(started_at=at(0))
    for second in range(1, 200):
        names = [(f"ws_{second}_{n}", 1.0) for n in range(MAX_WORKSPACES)]
        found = workspaces_of("x", names)
        assert not isinstance(found, Unknown)
        series.record(found, at(second))
        assert series.remembered <= 3 * MAX_WORKSPACES
        assert len(series.grown(timedelta(hours=1), at(second))) >= MAX_WORKSPACES, "still more than any guard asks for"


@given(
    adds=st.lists(st.lists(st.sampled_from(["", "ws_1", "ws_2", "ws_3", "ws_4"]), max_size=2), max_size=60),
    restarts=st.sets(st.integers(0, 59)),
    window=st.integers(5, 70),
)
def test_against_every_error_that_happened(adds: list[list[str]], restarts: set[int], window: int) -> None:
    """A few errors a second; the process restarts now and then, unless nobody could see that it did."""
    series, counts = WorkspaceSeries(started_at=at(-1)), dict[str, float]()
    happened: list[tuple[int, str]] = []
    for second, names in enumerate(adds):
        if second in restarts and not any(counts.get(name) == names.count(name) for name in counts):
            counts = {}
        for name in names:
            counts[name] = counts.get(name, 0.0) + 1
            happened.append((second, name))
        found = workspaces_of("x", counts.items())
        if not isinstance(found, Unknown):
            series.record(found, at(second))
        else:
            series.record({}, at(second))
        series.forget_before(at(second - 70))
        recent = {name for when, name in happened if name and second - window < when}
        assert len(series.grown(timedelta(seconds=window), at(second))) == len(recent)


# -- what it leads to -------------------------------------------------------------------------------------------------


def a_world_of(
    value: float, workspaces: int, *, unsure: Unknown | None = None, steady: bool = False, **guard: Any
) -> World:
    """`value` errors of the version that is judged, in so many workspaces; three are asked for."""
    found = replace(read(value, samples=10), breadth=Breadth(workspaces, unsure=unsure))
    good = replace(read(0, samples=10), breadth=Breadth(0))
    spec = a_spec(guards=[a_guard(minWorkspaces=3, **guard).to_wire()], onCritical={"pause": True})
    if steady:
        return a_world(spec=spec, target=GOOD, evidence={"sync-errors": Evidence(overall=found)})
    sides = Evidence(by_revision={NEW: found, GOOD: good}, overall=found)
    return a_canary_world(spec=spec, evidence={"sync-errors": sides})


MISSING = Unknown("x has no label workspace", "LabelMissing")


@pytest.mark.parametrize(
    ("value", "workspaces", "unsure", "state", "message"),
    [
        pytest.param(
            40, 3, None, GuardState.CRITICAL, "+40 > 10 in 5m in 3 workspaces on the new version, +0 on stable", id="3"
        ),
        pytest.param(
            40,
            2,
            None,
            GuardState.WARNING,
            "+40 > 10 in 5m in 2 of 3 workspaces (minWorkspaces) on the new version, +0 on stable",
            id="2 of 3",
        ),
        pytest.param(
            5,
            1,
            None,
            GuardState.WARNING,
            "+5 > 0 in 5m in 1 of 3 workspaces (minWorkspaces) on the new version, +0 on stable",
            id="a warning needs no breadth",
        ),
        pytest.param(
            40,
            1,
            MISSING,
            GuardState.WARNING,
            "+40 > 10 in 5m in at least 1 of 3 workspaces (minWorkspaces); x has no label workspace "
            "on the new version, +0 on stable",
            id="what is not known is not enough",
        ),
        pytest.param(
            40,
            3,
            MISSING,
            GuardState.CRITICAL,
            "+40 > 10 in 5m in at least 3 workspaces on the new version, +0 on stable",
            id="enough though there may be more",
        ),
        pytest.param(0, 0, None, GuardState.OK, None, id="nothing wrong"),
        pytest.param(0, 0, MISSING, GuardState.UNKNOWN, None, id="a guard that could never act is noticed early"),
    ],
)
def test_a_breach_in_few_workspaces_is_a_warning(
    value: float, workspaces: int, unsure: Unknown | None, state: GuardState, message: str | None
) -> None:
    (verdict,) = evaluate(a_world_of(value, workspaces, unsure=unsure))
    assert verdict.state is state
    if message is not None:
        assert verdict.message == f"crm_sync_errors_total {message}"


def test_without_a_warning_limit_it_is_a_warning_too() -> None:
    (verdict,) = evaluate(a_world_of(40, 1, warning=None))
    assert (verdict.state, verdict.threshold) == (GuardState.WARNING, 10)
    (verdict,) = evaluate(a_world_of(9, 1, warning=None))
    assert verdict.state is GuardState.OK


@pytest.mark.parametrize("workspaces", [0, 1, 2, 3, 4])
def test_one_customers_trouble_neither_rolls_back_nor_pauses(workspaces: int) -> None:
    canary = decide(a_world_of(40, workspaces)).status.rollout
    assert canary is not None
    assert (canary.phase is RolloutPhase.ROLLING_BACK) == (workspaces >= 3)
    assert (canary.phase is RolloutPhase.CANARY) == (workspaces < 3), "a warning holds the rollout"
    steady = decide(a_world_of(40, workspaces, steady=True))
    assert any(isinstance(action, CreatePause) for action in steady.actions) == (workspaces >= 3)
