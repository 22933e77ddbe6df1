"""How a promoted canary hands over to the stable workers: nobody leaves before somebody is Ready in its place."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crm_operator.api.v1alpha1 import RolloutPhase
from crm_operator.domain.allocation import SURGE, Allocation, allocate
from crm_operator.domain.world import Workload
from tests.unit.domain.builders import GOOD, NEW, a_rollout, a_workload, a_world, pods


def handed_over(*, total: int, stable: int, ready: int, canary: int, canary_of: str = NEW) -> Allocation:
    world = a_world(
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


@given(total=workers, stable=workers, ready=workers, canary=workers)
def test_capacity_never_falls_below_the_total_nor_far_above(total: int, stable: int, ready: int, canary: int) -> None:
    ready = min(ready, stable)
    main, rest = sizes(handed_over(total=total, stable=stable, ready=ready, canary=canary))
    assert rest <= canary, "it never grows again"
    assert main + rest <= total + max(1, SURGE * total + 1)
    assert min(ready, main) + rest >= min(total, ready + canary) or main + rest >= total


@given(total=st.integers(1, 50), share=st.integers(1, 49))
def test_it_ends(total: int, share: int) -> None:
    """Each round all pods that were asked for become Ready."""
    canary = min(share, max(total - 1, 1))
    stable = max(total - canary, 1)
    for _ in range(20):
        stable, canary = sizes(handed_over(total=total, stable=stable, ready=stable, canary=canary))
    assert (stable, canary) == (total, 0)
