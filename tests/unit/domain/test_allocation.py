"""How a promoted canary hands over to the stable workers: nobody leaves before somebody is Ready in its place."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crm_operator.api.v1alpha1 import RolloutPhase, Strategy
from crm_operator.domain.allocation import Allocation, allocate
from crm_operator.domain.rolling_update import room
from crm_operator.domain.world import Workload
from tests.unit.domain.builders import GOOD, NEW, a_rollout, a_spec, a_template, a_workload, a_world, pods

USUAL = Strategy()
ONE_BY_ONE = Strategy(max_surge=0, max_unavailable=1)
STRATEGIES = st.builds(
    Strategy,
    max_surge=st.sampled_from([0, 1, 3, "25%", "100%"]),
    max_unavailable=st.sampled_from([0, 1, 2, "25%", "100%"]),
)


def handed_over(
    *, total: int, stable: int, ready: int, canary: int, canary_of: str = NEW, strategy: Strategy = USUAL
) -> Allocation:
    world = a_world(
        spec=a_spec(workers={"template": a_template(), "strategy": strategy.to_wire()}),
        stable=a_workload(stable, revision=NEW, ready=ready),
        canary=a_workload(canary, role="canary", revision=canary_of),
    )
    return allocate(world, a_rollout(RolloutPhase.BAKING), total=total, paused=False)


def sizes(found: Allocation) -> tuple[int, int]:
    return found.stable.replicas if found.stable else 0, found.canary.replicas if found.canary else 0


@pytest.mark.parametrize(
    ("total", "stable", "ready", "canary", "expected"),
    [
        pytest.param(10, 5, 5, 5, (8, 5), id="grow by the surge first"),
        pytest.param(10, 8, 5, 5, (8, 5), id="new pods start"),
        pytest.param(10, 8, 7, 5, (10, 3), id="two are Ready, two leave, two more start"),
        pytest.param(10, 10, 10, 3, (10, 0), id="all are Ready"),
        pytest.param(1, 1, 1, 1, (1, 0), id="one worker and its canary"),
        pytest.param(2, 1, 1, 1, (2, 1), id="at least one more"),
        pytest.param(4, 5, 5, 5, (4, 0), id="fewer are wanted meanwhile"),
        pytest.param(10, 8, 0, 2, (10, 2), id="stable pods that died are waited for"),
    ],
)
def test_a_promoted_canary_hands_over(
    total: int, stable: int, ready: int, canary: int, expected: tuple[int, int]
) -> None:
    assert sizes(handed_over(total=total, stable=stable, ready=ready, canary=canary)) == expected


@pytest.mark.parametrize(
    ("strategy", "stable", "ready", "canary", "expected"),
    [
        pytest.param(ONE_BY_ONE, 5, 5, 5, (6, 4), id="one leaves, one starts"),
        pytest.param(ONE_BY_ONE, 6, 5, 4, (6, 4), id="it starts"),
        pytest.param(ONE_BY_ONE, 6, 6, 4, (7, 3), id="it is Ready"),
        pytest.param(ONE_BY_ONE, 9, 9, 1, (10, 0), id="the last one"),
        pytest.param(Strategy(max_surge="100%"), 5, 5, 5, (10, 5), id="all beside the canary"),
        pytest.param(Strategy(max_surge=1, max_unavailable=2), 5, 5, 5, (8, 3), id="both"),
        pytest.param(Strategy(max_surge=0, max_unavailable="100%"), 5, 5, 5, (10, 0), id="all at once"),
    ],
)
def test_a_promoted_canary_hands_over_as_the_strategy_says(
    strategy: Strategy, stable: int, ready: int, canary: int, expected: tuple[int, int]
) -> None:
    assert sizes(handed_over(total=10, stable=stable, ready=ready, canary=canary, strategy=strategy)) == expected


def test_a_canary_of_another_version_goes_at_once() -> None:
    assert sizes(handed_over(total=10, stable=8, ready=0, canary=2, canary_of=GOOD)) == (10, 0)


@pytest.mark.parametrize("phase", [RolloutPhase.CANARY, RolloutPhase.PROMOTING, RolloutPhase.STABLE])
def test_bad_pods_go_at_once_although_another_template_came(phase: RolloutPhase) -> None:
    """It came while a rollback was under way, whose pods of NEW were told to go and have not yet."""
    newest = None if phase is RolloutPhase.STABLE else "c" * 16
    rollout = a_rollout(phase, candidate_revision=newest)
    bad = a_workload(10, urgent_strategy=True, pods=pods(10, revision=NEW))
    runs = newest if newest is not None and phase is RolloutPhase.PROMOTING else GOOD
    gone = a_workload(10, urgent_strategy=True, revision=runs)
    usual = a_workload(10, pods=pods(10, revision=NEW))

    def is_urgent(stable: Workload) -> bool:
        found = allocate(a_world(stable=stable), rollout, total=10, paused=False).stable
        assert found is not None
        return found.urgent

    assert is_urgent(bad)
    assert not is_urgent(gone), "they are gone"
    assert not is_urgent(usual), "nothing of that kind begins here"


workers = st.integers(0, 50)


@given(strategy=STRATEGIES, total=workers, stable=workers, ready=workers, canary=workers)
def test_capacity_stays_within_the_strategy(
    strategy: Strategy, total: int, stable: int, ready: int, canary: int
) -> None:
    ready, may = min(ready, stable), room(strategy, total)
    main, rest = sizes(handed_over(total=total, stable=stable, ready=ready, canary=canary, strategy=strategy))
    assert rest <= canary, "it never grows again"
    assert main + rest <= total + may.surge
    assert rest == canary or ready + rest >= total - may.unavailable, "nobody leaves who is needed"


@given(strategy=STRATEGIES, total=st.integers(1, 50), share=st.integers(1, 49))
def test_it_ends(strategy: Strategy, total: int, share: int) -> None:
    """Each round all pods that were asked for become Ready."""
    canary = min(share, max(total - 1, 1))
    stable = max(total - canary, 1)
    for _ in range(50):
        stable, canary = sizes(handed_over(total=total, stable=stable, ready=stable, canary=canary, strategy=strategy))
    assert (stable, canary) == (total, 0)
