"""Whole rollouts as golden logs, once more in seeded orders of events: late, doubled and lost looks, and crashes.

Beside the logs of the usual order they show a reader what an odd one changes: when, and never what.
"""

from random import Random

import pytest

from crm_operator.api.v1alpha1 import RolloutPhase
from tests.unit.domain.scenarios import assert_reads_as_golden, running
from tests.unit.domain.simulation import Simulation

#: When a version begins to fail, and where its rollout ends.
STORIES = {
    "good": (None, RolloutPhase.STABLE),
    "bad_in_the_canary": (RolloutPhase.CANARY, RolloutPhase.ROLLED_BACK),
    "bad_in_the_bake": (RolloutPhase.BAKING, RolloutPhase.ROLLED_BACK),
}


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("story", STORIES)
def test_a_rollout_in_a_seeded_order_reads_as_its_golden_log(story: str, seed: int) -> None:
    fails_in, ends_in = STORIES[story]
    sim = running()
    new = sim.ship("v2")
    _shuffle(sim, Random(seed), new, fails_in, ends_in)
    assert sim.phase is ends_in, sim.log()
    assert sim.working(sim.stable) == 10
    assert (sim.stable == new) is (fails_in is None)
    assert_reads_as_golden(f"shuffled_{story}_{seed}", sim.log())


def _shuffle(sim: Simulation, random: Random, new: str, fails_in: RolloutPhase | None, ends_in: RolloutPhase) -> None:
    """Happenings that are drawn one by one: nothing follows on anything. In the end everybody looks once more."""
    begun = False
    for _ in range(500):
        random.choice([*sim.runnable() * 6, lambda: sim.operate(crash_after=random.randrange(5)), sim.restart])()
        begun = begun or sim.phase is RolloutPhase.CANARY
        if sim.phase is fails_in:
            sim.failing.add(new)
        if begun and sim.phase is ends_in:
            break
    sim.run(3)
