"""Whole rollouts over the operator's own memories of pods, queue and backend: what leads back, and what must not.

`test_any_rollout.py` asks whether the rollout moves as it may; here it is whether the right version is blamed, while
what each did is still in windows and lists, and told late, twice or never.

All chance of a test is its seed's; CRM_EXAMPLES=200 tries so many seeds of each.
"""

import os
from collections.abc import Callable
from random import Random
from typing import Any

import pytest

from crm_operator.api.v1alpha1 import RolloutPhase
from crm_operator.controller.cache import Cache
from crm_operator.controller.neighbours import neighbours
from crm_operator.controller.resources import CRMINTEGRATIONS
from crm_operator.domain.key import Key
from crm_operator.domain.revision import revision_of
from tests.unit.domain.builders import SECOND, a_pause, a_spec
from tests.unit.domain.living_workers import BACKEND_READS, ERRORS, FAILED_JOBS, LATENCY, LivingWorkers

#: Seconds.
WINDOW, HOLD, BAKE = 20, 20, 40
#: A bad version has so long until it is rolled back, in seconds: for eleven errors, a look at stable's later jobs, and
#: a restart of the operator.
STOPPED_WITHIN = 30
#: Seconds from a template to the end of its bake, with what holds it meanwhile.
SETTLES_WITHIN = 400

#: Each list is a choice.
GUARDS: list[list[dict[str, Any]]] = [
    [
        {
            "name": "errors",
            "metric": {"from": "pods", "name": ERRORS},
            "reduce": "Increase",
            "window": f"{WINDOW}s",
            "warning": {"above": 0},
            "critical": {"above": 10},
        }
    ],
    [
        {},
        {
            "name": "latency",
            "metric": {"from": "pods", "name": LATENCY},
            "reduce": "Max",
            "window": f"{WINDOW}s",
            "warning": {"above": 2},
            "critical": {"above": 5},
        },
    ],
    [
        {},
        {"name": "dead", "metric": {"from": "queue", "name": "dead"}, "reduce": "Last", "critical": {"above": 5}},
        {
            "name": "dead",
            "metric": {"from": "queue", "name": "dead"},
            "reduce": "Increase",
            "window": f"{WINDOW}s",
            "critical": {"above": 5},
        },
    ],
    [
        {},
        {
            "name": "backend",
            "metric": {"from": "backend", "name": FAILED_JOBS},
            "reduce": "Increase",
            "window": f"{WINDOW}s",
            "critical": {"above": 20},
        },
    ],
]


def seeds(count: int) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("seed", range(int(os.environ.get("CRM_EXAMPLES", count))))


def an_integration(random: Random, *, pauses: bool) -> LivingWorkers:
    """v1 in all workers, its windows filled. `pauses`: what is the provider's pauses it."""
    guards = [random.choice(choice) for choice in GUARDS]
    spec = a_spec(
        guards=[guard for guard in guards if guard],
        metrics={"pods": {"port": 9191}, "backend": {"url": "http://api:8000"}},
        onCritical={"pause": pauses},
        rollout={
            "steps": [{"weight": weight, "hold": f"{HOLD}s"} for weight in random.choice([[30], [20, 50]])],
            "bake": f"{BAKE}s",
            "progressDeadline": "2m",
            "minJobs": 20,
        },
        scaling={"maxReplicas": 10, "backlogPerReplica": 10, "scaleDownAfter": "20s"},
    )
    sim = LivingWorkers(spec, random)
    sim.dies = random.choice([0.1, 0.5, 1.0])
    sim.backlog = random.choice([25, 45, 75])
    sim.ship("v1")
    sim.live_until(lambda: sim.phase is RolloutPhase.STABLE, within=60)
    sim.live(WINDOW + BACKEND_READS)
    return sim


def a_rolled_back_version(random: Random) -> LivingWorkers:
    """v2 began to fail, or to be slow, at any time; now and then the operator was started anew meanwhile."""
    sim = an_integration(random, pauses=True)
    bad = sim.ship("v2")
    phase = random.choice([RolloutPhase.CANARY, RolloutPhase.PROMOTING, RolloutPhase.BAKING])
    sim.live_until(lambda: sim.phase is phase and sim.up(bad) > 0, within=SETTLES_WITHIN)
    sim.live(random.uniform(0, HOLD - 5))
    if "latency" in names(sim) and random.random() < 0.3:
        sim.slow[bad] = 8.0
    else:
        sim.fails[bad] = random.choice([0.3, 1.0])
    if random.random() < 0.3:
        sim.live(2)
        sim.restart()
    sim.live_until(lambda: bad in sim.rolled_back, within=STOPPED_WITHIN)
    return sim


def names(sim: LivingWorkers) -> set[str]:
    return {guard.name for guard in sim.spec.guards or ()}


@seeds(10)
def test_a_bad_version_is_rolled_back_once_and_its_fix_is_trusted(seed: int) -> None:
    random = Random(seed)
    sim = a_rolled_back_version(random)
    [bad] = sim.rolled_back
    sim.live(random.uniform(0, 40))
    if names(sim) & {"dead", "backend"}:
        # What cannot tell versions apart tells late: of the last jobs of v2 when v3 works, and v3 is blamed.
        sim.live_until(lambda: not sim.up(bad), within=10)
        sim.live(BACKEND_READS)
    fixed = sim.ship("v3")
    sim.live(HOLD)
    sim.purge()
    sim.live_until(lambda: sim.phase is RolloutPhase.STABLE, within=SETTLES_WITHIN)
    assert sim.stable == fixed, sim.log()
    assert sim.rolled_back == [bad], sim.log()
    assert not sim.made, f"paused:\n{sim.log()}"
    assert_calm(sim)


@seeds(10)
def test_what_a_bad_version_leaves_pauses_nothing_though_its_fix_comes_at_once(seed: int) -> None:
    random = Random(seed)
    sim = a_rolled_back_version(random)
    sim.live(random.choice([0, 0, 1, 3]))
    sim.ship("v3")
    sim.live(HOLD)
    assert not sim.made, f"paused:\n{sim.log()}"


TROUBLES: dict[str, Callable[[LivingWorkers], object]] = {
    "outage": lambda sim: setattr(sim, "provider_fails", 1.0),
    "part of an outage": lambda sim: setattr(sim, "provider_fails", 0.3),
    "slow provider": lambda sim: setattr(sim, "provider_slow", 8.0),
    "no metrics": lambda sim: setattr(sim, "blind", True),
    "no metrics of stable": lambda sim: sim.silent.add(sim.stable),
    "no metrics of the canary": lambda sim: sim.silent.add(revision_of(sim.spec.workers.template)),
    "no queue": LivingWorkers.lose_queue,
    "restart": LivingWorkers.restart,
    "crash": LivingWorkers.crash,
    "no work": lambda sim: setattr(sim, "backlog", 0),
    "pause": lambda sim: setattr(sim, "pauses", (a_pause(),)),
}
#: In the bake they are a release's, where there is nobody to compare with.
OUTAGES = {"outage", "part of an outage", "slow provider"}


@seeds(14)
def test_a_good_version_outlives_what_is_not_its_own(seed: int) -> None:
    """One trouble after the other, while now and then a job fails or a worker is started anew."""
    random = Random(seed)
    sim = an_integration(random, pauses=random.random() < 0.3)
    # Dead letters that come now and then are a release's: nothing is usual of a guard that has no version.
    usual = 0.0 if "dead" in names(sim) else random.choice([0.0, 0.002])
    backlog, sim.provider_fails, sim.restarts = sim.backlog, usual, 0.01
    good = sim.ship("v2")
    for trouble in random.choices(sorted(TROUBLES), k=random.choice([1, 2, 3])):
        sim.live(random.uniform(0, HOLD - 5))
        if trouble not in OUTAGES or sim.phase is RolloutPhase.CANARY:
            TROUBLES[trouble](sim)
        sim.live(random.uniform(1, 45))
        sim.provider_fails, sim.provider_slow, sim.backlog, sim.blind = usual, 0.1, backlog, False
        sim.silent.clear()
        sim.pauses = ()
        if sim.outage:
            sim.find_queue()
        someone_looks(sim)
    sim.restarts = sim.provider_fails = 0.0
    for _ in range(3):  # late letters, and what they lead to
        sim.live(5)
        someone_looks(sim)
    sim.live_until(lambda: sim.phase is RolloutPhase.STABLE, within=SETTLES_WITHIN)
    assert not sim.rolled_back, sim.log()
    assert sim.stable == good, sim.log()
    assert_calm(sim)


def someone_looks(sim: LivingWorkers) -> None:
    """Dead letters are dealt with, and a pause that an outage led to is lifted, at once or a little later."""
    sim.purge()
    if any(sim.made.values()):
        sim.live(sim.random.choice([0, 3, 10, WINDOW]))
    sim.lift()


@seeds(3)
@pytest.mark.parametrize("whose", ["the provider's", "its own"])
def test_in_the_bake_the_other_integration_tells_whose_trouble_it_is(whose: str, seed: int) -> None:
    random = Random(seed)
    sim, other = (an_integration(random, pauses=random.random() < 0.5) for _ in range(2))
    new = sim.ship("v2")
    sim.live_until(lambda: sim.phase is RolloutPhase.BAKING, within=SETTLES_WITHIN)
    other.live((sim.now - other.now).total_seconds())
    beside(sim, other, random.randrange(BAKE // 2))
    share = random.choice([0.5, 1.0])
    if whose == "its own":
        sim.fails[new] = share
    else:
        sim.provider_fails = other.provider_fails = share
    beside(sim, other, 30)
    assert sim.rolled_back == ([new] if whose == "its own" else []), sim.log()


def beside(sim: LivingWorkers, other: LivingWorkers, seconds: int) -> None:
    """Both live, and `sim` is told what the other's status says."""
    ends = sim.now + seconds * SECOND
    while sim.now < ends:
        other.step()
        metadata = {"namespace": "crm", "name": "hubspot-eu", "uid": "eu", "resourceVersion": "1"}
        said = {"metadata": metadata, "spec": other.spec.to_wire(), "status": other.status.to_wire()}
        cache = Cache()
        cache.upsert(CRMINTEGRATIONS.kind, said)
        sim.neighbours = neighbours(cache, Key("crm", "hubspot"), other.spec.provider)
        sim.step()


def assert_calm(sim: LivingWorkers) -> None:
    """Nothing but live numbers is written for two minutes."""
    sim.live(3 * WINDOW)  # until no guard remembers, nor a pause that was lifted
    began = sim.now
    sim.live(120)
    assert sim.acted_at <= began, sim.log()
