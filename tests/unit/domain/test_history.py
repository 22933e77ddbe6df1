"""Going back to a version that served well a short time ago needs no canary."""

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crm_operator.api.v1alpha1 import GoodRevision, RolloutPhase, RolloutStatus
from crm_operator.domain.guards import evaluate
from crm_operator.domain.rollout import Move, advance
from crm_operator.domain.rollout.history import KEPT, REVERT_WINDOW, remembered
from crm_operator.domain.world import World
from tests.unit.domain.builders import (
    GOOD,
    NEW,
    NOW,
    SECOND,
    a_rollout,
    a_status,
    a_workload,
    a_world,
    evidence,
)

OTHER = "cccccccccccccccc"


def moved(world: World) -> Move:
    return advance(world, evaluate(world))


def good(revision: str, stopped: timedelta | None = None) -> GoodRevision:
    """A good version that stopped serving so long ago; None: it serves."""
    return GoodRevision(revision=revision, stopped_time=None if stopped is None else NOW - stopped)


def going_to_new(*versions: GoodRevision, phase: RolloutPhase = RolloutPhase.STABLE, **rollout: Any) -> Move:
    """GOOD, or what `rollout` says, is stable, and the template is NEW."""
    return moved(a_world(status=a_status(a_rollout(phase, good_revisions=list(versions), **rollout))))


@pytest.mark.parametrize(
    ("versions", "to"),
    [
        pytest.param([good(GOOD), good(NEW, timedelta(minutes=59))], RolloutPhase.PROMOTING, id="a short time ago"),
        pytest.param([good(GOOD), good(NEW, REVERT_WINDOW)], RolloutPhase.CANARY, id="an hour ago"),
        pytest.param([good(GOOD), good(OTHER, SECOND)], RolloutPhase.CANARY, id="another"),
        pytest.param([], RolloutPhase.CANARY, id="never"),
    ],
)
def test_a_template_that_goes_back_skips_the_canary(versions: list[GoodRevision], to: RolloutPhase) -> None:
    move = going_to_new(*versions)
    assert (move.rollout.phase, move.rollout.candidate_revision) == (to, NEW)
    if to is RolloutPhase.PROMOTING:
        assert move.decisions[0].why == "back to a good version, which served until 59m ago: no canary"
        assert (move.rollout.weight, move.rollout.stable_revision) == (0, GOOD)


@pytest.mark.parametrize("phase", [RolloutPhase.CANARY, RolloutPhase.PROMOTING, RolloutPhase.ROLLED_BACK])
def test_it_does_so_from_every_phase(phase: RolloutPhase) -> None:
    """NEW served before GOOD; OTHER is on trial, or was rolled back."""
    on_trial = {"failed_revision" if phase is RolloutPhase.ROLLED_BACK else "candidate_revision": OTHER}
    move = going_to_new(good(NEW, timedelta(minutes=5)), good(GOOD), phase=phase, **on_trial)
    assert (move.rollout.phase, move.rollout.candidate_revision) == (RolloutPhase.PROMOTING, NEW)


def test_the_guards_stay_on() -> None:
    back = a_rollout(RolloutPhase.PROMOTING, good_revisions=[good(GOOD), good(NEW, timedelta(minutes=5))])
    world = a_world(status=a_status(back), evidence={"sync-errors": evidence(new=11, good=0)})
    move = moved(world)
    assert move.rollout.phase is RolloutPhase.ROLLING_BACK
    assert [item.revision for item in move.rollout.good_revisions] == [GOOD], "a version that failed is not good"


def test_a_version_is_good_when_its_bake_is_over() -> None:
    baking = a_rollout(
        RolloutPhase.BAKING,
        step_start_time=NOW - timedelta(minutes=5),
        good_revisions=[good(GOOD, timedelta(minutes=5))],
    )
    world = a_world(
        status=a_status(baking), stable=a_workload(10, revision=NEW), evidence={"sync-errors": evidence(new=0)}
    )
    listed = moved(world).rollout.good_revisions
    assert listed == [good(GOOD, timedelta(minutes=5)), good(NEW)], "stopped when the bake began, not when it ended"


def test_a_first_version_is_good_when_it_runs() -> None:
    first = a_status(a_rollout(RolloutPhase.PROMOTING, stable_revision=None))
    assert moved(a_world(status=first, stable=a_workload(10, revision=NEW))).rollout.good_revisions == [good(NEW)]


def test_the_old_version_stops_serving_when_the_bake_begins_and_serves_again_after_a_rollback() -> None:
    promoting = a_rollout(RolloutPhase.PROMOTING, good_revisions=[good(GOOD)])
    baking = moved(a_world(status=a_status(promoting), stable=a_workload(10, revision=NEW))).rollout
    assert (baking.phase, baking.good_revisions) == (RolloutPhase.BAKING, [good(GOOD, timedelta())])
    failing = a_world(
        now=NOW + SECOND,
        status=a_status(baking),
        stable=a_workload(10, revision=NEW),
        evidence={"sync-errors": evidence(new=11)},
    )
    back = moved(failing).rollout
    assert (back.phase, back.good_revisions) == (RolloutPhase.ROLLING_BACK, [good(GOOD)])


def test_a_version_that_was_replaced_in_its_bake_is_not_good() -> None:
    baking = a_rollout(RolloutPhase.BAKING, good_revisions=[good(GOOD, timedelta(minutes=2))])
    warned = {"sync-errors": evidence(new=1, good=None)}
    world = a_world(status=a_status(baking), target=OTHER, stable=a_workload(10, revision=NEW), evidence=warned)
    move = moved(world)
    assert (move.rollout.phase, move.rollout.stable_revision) == (RolloutPhase.CANARY, GOOD)
    assert [item.revision for item in move.rollout.good_revisions] == [GOOD]


def test_an_abort_is_a_failure() -> None:
    after = remembered(
        a_rollout(RolloutPhase.BAKING, good_revisions=[good(GOOD, timedelta(minutes=2)), good(NEW)]),
        a_rollout(RolloutPhase.ROLLING_BACK),
        NOW,
    )
    assert after.good_revisions == [good(GOOD)]


REVISIONS = st.sampled_from(["a", "b", "c", "d", "e", "f", "g", "h"])
STATES = st.builds(
    RolloutStatus,
    phase=st.sampled_from(RolloutPhase),
    stable_revision=REVISIONS | st.none(),
    candidate_revision=REVISIONS | st.none(),
    failed_revision=REVISIONS | st.none(),
).filter(lambda state: state.failed_revision not in {state.stable_revision, state.candidate_revision} - {None})


@given(st.lists(STATES, max_size=30))
def test_the_list_stays_short_and_tells_who_serves(states: list[RolloutStatus]) -> None:
    """Whatever follows on whatever."""
    was = RolloutStatus(phase=RolloutPhase.STABLE)
    for minute, state in enumerate(states):
        now = NOW + timedelta(minutes=minute)
        following = remembered(was, state, now)
        names = [item.revision for item in following.good_revisions]
        assert len(names) == len(set(names)) <= KEPT
        assert state.failed_revision not in names
        serving = state.candidate_revision if state.phase is RolloutPhase.BAKING else state.stable_revision
        assert all((item.stopped_time is None) == (item.revision == serving) for item in following.good_revisions)
        assert remembered(following, following, now + SECOND) == following, "nothing happened, so nothing is written"
        was = following
