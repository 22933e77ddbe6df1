"""Workers that claim any number keep nobody from deciding: nonsense on one side must not save a bad version."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crm_operator.api.v1alpha1 import Guard, RolloutPhase
from crm_operator.domain.baseline import BaselineMemory
from crm_operator.domain.blame import IDLE_PATIENCE
from crm_operator.domain.decide import decide
from crm_operator.domain.fleet import JOBS_METRIC, PodFleet
from crm_operator.domain.scraped import Sample
from crm_operator.domain.world import World
from tests.unit.domain.builders import (
    GOOD,
    NEW,
    NOW,
    SECOND,
    a_canary_world,
    a_guard,
    a_rollout,
    a_spec,
    a_status,
    a_workload,
    a_world,
)

ERRORS, CALLS, LATENCY = "crm_sync_errors_total", "calls_total", "latency"
LIMITS: dict[str, Any] = {"warning": {"above": 0}, "critical": {"above": 10}}
GUARDS = [
    a_guard(name="errors", window="1m", **LIMITS),
    a_guard(name="rate", reduce="Rate", window="1m", **LIMITS),
    a_guard(
        name="ratio",
        reduce="Ratio",
        window="1m",
        metric={"from": "pods", "name": ERRORS, "per": CALLS},
        warning=None,
        critical={"above": 0},
    ),
    *(
        a_guard(name=f"latency-{reduce.lower()}", metric={"from": "pods", "name": LATENCY}, **LIMITS, **parts)
        for reduce, parts in (
            ("Last", {"reduce": "Last", "window": None}),
            ("Average", {"reduce": "Average", "window": "1m"}),
            ("Max", {"reduce": "Max", "window": "1m"}),
        )
    ),
]
PODS = (("n1", NEW), ("n2", NEW), ("g1", GOOD), ("g2", GOOD))
COUNTERS = (ERRORS, CALLS, JOBS_METRIC)

#: What counters show: the usual, the vanishing and the huge, of which two have no finite sum.
counts = st.sampled_from([0.0, 1.0, 20.0, 20.0, 200.0, 5e-324, 1e-300, 2.0**53, 1e18, 1e300, 1.7e308])
a_scrape = st.fixed_dictionaries(dict.fromkeys(COUNTERS, counts) | {LATENCY: st.one_of(counts, st.just(-1e300))})
scrapes = st.lists(st.fixed_dictionaries({name: a_scrape for name, _ in PODS}), min_size=2, max_size=6)


def began(phase: RolloutPhase) -> World:
    """All pods of both versions are there; the rollout began just now."""
    spec = a_spec(guards=[guard.to_wire() for guard in GUARDS], onCritical={"pause": True})
    status = a_status(a_rollout(phase, start_time=NOW))
    if phase is RolloutPhase.CANARY:
        return a_canary_world(spec=spec, status=status)
    return a_world(spec=spec, status=status, stable=a_workload(2, revision=NEW))


@pytest.mark.parametrize("phase", [RolloutPhase.CANARY, RolloutPhase.PROMOTING, RolloutPhase.BAKING])
@settings(max_examples=40)
@given(said=scrapes)
def test_whatever_workers_claim_there_is_a_decision(phase: RolloutPhase, said: list[dict[str, Any]]) -> None:
    fleet = PodFleet(keep=timedelta(minutes=5), stale_after=3 * SECOND, levels=frozenset({LATENCY}))
    world, memory = began(phase), BaselineMemory()
    for n, scraped in enumerate(said):
        now = NOW + n * SECOND
        fleet.targets([(uid, revision, NOW - SECOND) for uid, revision in PODS], now)
        for uid, values in scraped.items():
            fleet.record(uid, {name: Sample(value, value) for name, value in values.items()}, now)
        world = replace(world, now=now, evidence=read(fleet, world, GUARDS), jobs_done=fleet.jobs_done(now))
        world = replace(world, baseline=memory.notice(world))
        world = replace(world, status=decide(world).status)


def read(fleet: PodFleet, world: World, guards: list[Guard]) -> dict[str, Any]:
    return {guard.name: fleet.evidence(guard, world.now) for guard in guards}


@pytest.mark.parametrize("jobs", [200.0, 1e18, 1.7e308])
def test_a_bad_version_is_rolled_back_whatever_stable_claims(jobs: float) -> None:
    """Once, and nothing more: after the time in which one that ends no job is waited for."""
    spec = a_spec(guards=[GUARDS[0].to_wire()])
    fleet = PodFleet(keep=timedelta(minutes=5), stale_after=3 * SECOND)
    world = a_canary_world(spec=spec, status=a_status(a_rollout(RolloutPhase.CANARY, start_time=NOW)))
    for n in range(2 + IDLE_PATIENCE // SECOND):
        now = NOW + n * SECOND
        fleet.targets([("n", NEW, NOW - SECOND), ("g", GOOD, NOW - SECOND)], now)
        for uid, errors, done in (("n", 200.0, 200.0), ("g", 1.0, jobs)):
            fleet.record(uid, {ERRORS: Sample(errors, errors), JOBS_METRIC: Sample(done, done)}, now)
        world = replace(world, now=now, evidence=read(fleet, world, GUARDS[:1]))
        world = replace(world, status=decide(world).status)
    rollout = world.status.rollout
    assert rollout is not None
    assert rollout.phase is RolloutPhase.ROLLING_BACK
