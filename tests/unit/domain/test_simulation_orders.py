"""Whole rollouts in virtual time, in random orders, with the invariants after every step."""

from collections.abc import Callable
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from crm_operator.api.v1alpha1 import RolloutPhase, Verb
from tests.unit.domain.builders import a_pause
from tests.unit.domain.scenarios import running
from tests.unit.domain.simulation import Simulation
from tests.unit.domain.transitions import documented


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), freezes=st.booleans())
def test_any_order_of_events_keeps_the_promises(seed: int, *, freezes: bool) -> None:
    """Late, doubled and lost looks, crashes between any two writes, edits, faults and pauses in every phase.

    `freezes`: now and then no size can be changed; then a third version's canary may be left.
    """
    random = Random(seed)
    sim = running()
    versions, good, bad = ["v1"], sim.status.rollout, set[str]()
    assert good is not None
    before, size = good, sim.deployments["stable"].replicas
    edges = {(known.before, known.after) for known in documented()}
    for step in range(200):
        begun = sim.is_unstored
        random.choice(_happenings(sim, random, versions, bad, freezes=freezes))()
        rollout = sim.status.rollout
        assert rollout is not None
        context = f"seed {seed}, step {step}:\n{sim.log()}"
        if rollout.stable_revision != before.stable_revision:
            assert (before.phase, rollout.phase) == (RolloutPhase.BAKING, RolloutPhase.STABLE), f"unjudged; {context}"
            assert rollout.stable_revision == before.candidate_revision, context
        if rollout.phase is not before.phase:
            edge = (before.phase.value, rollout.phase.value)
            assert edge in edges, f"{edge}; {context}"
            if rollout.phase is RolloutPhase.ROLLING_BACK:
                assert rollout.failed_revision is not None
                blind = sim.blind and rollout.failed_revision not in sim.broken | sim.misconfigured
                assert not blind or begun or "aborted" in (rollout.reason or ""), f"rolled back blindly; {context}"
        main = sim.deployments["stable"]
        if rollout.phase is RolloutPhase.ROLLING_BACK and main.revision == rollout.failed_revision:
            assert main.replicas <= size, f"a failed version grew; {context}"
        size, before = main.replicas, rollout
        assert rollout.stable_revision not in bad, f"a bad version became stable; {context}"
        canary = sim.deployments.get("canary")
        total = sum(deployment.replicas for deployment in sim.deployments.values())
        assert total <= sim.spec.scaling.max_replicas + 1, context
        if rollout.phase in (RolloutPhase.ROLLING_BACK, RolloutPhase.ROLLED_BACK) and not freezes:
            assert canary is None or canary.revision == rollout.failed_revision or canary.replicas == 0, context
    # Left alone, it settles: no bad version works, and everything that was asked for runs.
    sim.pauses, sim.blind, sim.failed_elsewhere = (), False, None
    sim.denied = sim.frozen = sim.unrecorded = False
    if sim.outage:
        sim.find_queue()
    sim.run(120)
    assert sim.phase in (RolloutPhase.STABLE, RolloutPhase.ROLLED_BACK), f"seed {seed}:\n{sim.log()}"
    assert sim.operate().actions == (), f"seed {seed}"
    rollout = sim.status.rollout
    assert rollout is not None
    assert rollout.stable_revision is not None
    assert sim.working(rollout.stable_revision) == 10
    assert all(sim.working(revision) == 0 for revision in bad), f"seed {seed}:\n{sim.log()}"


def _happenings(
    sim: Simulation, random: Random, versions: list[str], bad: set[str], *, freezes: bool
) -> list[Callable[[], object]]:
    def ship() -> None:
        version = f"v{len(versions) + 1}"
        versions.append(version)
        revision = sim.ship(version)
        fate = random.random()
        if fate < 0.3:
            bad.add(revision)
            sim.failing.add(revision)
        elif fate < 0.4:
            bad.add(revision)
            sim.broken.add(revision)
        elif fate < 0.5:
            bad.add(revision)
            sim.misconfigured.add(revision)

    def pause() -> None:
        sim.pauses = () if sim.pauses else (a_pause(),)

    def blink() -> None:
        sim.blind = not sim.blind

    def elsewhere() -> None:
        sim.failed_elsewhere = None if sim.failed_elsewhere else "zoho"

    def policy() -> None:
        sim.denied = not sim.denied

    def sizes() -> None:
        sim.frozen = not sim.frozen

    def record() -> None:
        sim.unrecorded = not sim.unrecorded

    def queue() -> None:
        (sim.find_queue if sim.outage else sim.lose_queue)()

    def ask() -> None:
        verb = random.choice(list(Verb))
        word = f"{random.choice(['step', 'full'])}@{random.random()}"
        sim.ask(verb, word)

    rare: list[Callable[[], object]] = [
        ship,
        ask,
        pause,
        blink,
        elsewhere,
        policy,
        record,
        *([sizes] if freezes else []),
        queue,
        lambda: sim.operate(random.randrange(5)),
    ]
    return sim.runnable() * 8 + rare
