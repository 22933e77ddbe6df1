"""The rollout's transitions: as docs/rollout.md tells them, and as the code makes them in worlds drawn at random."""

import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

from crm_operator.api.v1alpha1 import GoodRevision, RolloutPhase, RolloutStatus, Verb
from crm_operator.domain.guards import evaluate
from crm_operator.domain.rollout import Move, advance
from crm_operator.domain.world import TemplateRefused, Unknown, World
from tests.unit.domain.builders import (
    GOOD,
    NEW,
    NOW,
    a_pause,
    a_rollout,
    a_spec,
    a_status,
    a_workload,
    a_world,
    evidence,
    pods,
)

DOCUMENT = Path(__file__).parents[3] / "docs" / "rollout.md"
OTHER = "cccccccccccccccc"
_ROW = re.compile(r"^\| (\w+(?:, \w+)*) \| `(\w+)` \| (\w+(?:, \w+)*) \|", re.MULTILINE)
#: Answers to people, which say what did not happen.
_ANSWERS = ("VerbIgnored", "VerbRefused")


class Transition(NamedTuple):
    """A decision that changes the rollout's phase, or begins its step or itself anew."""

    before: str
    decision: str
    after: str


def documented() -> set[Transition]:
    """The rows of the table in docs/rollout.md."""
    return {
        Transition(before, decision, after)
        for befores, decision, afters in _ROW.findall(DOCUMENT.read_text())
        for before in befores.split(", ")
        for after in afters.split(", ")
    }


def of(before: RolloutStatus, move: Move) -> Transition | None:
    """What the move does. None: the rollout stays in its phase, and nothing is decided."""
    told = [decision.what for decision in move.decisions if decision.what not in _ANSWERS]
    if not told and move.rollout.phase is before.phase:
        return None
    assert len(told) == 1, f"a change of state is one decision: {told}, {before} -> {move.rollout}"
    return Transition(before.phase.value, told[0], move.rollout.phase.value)


def diagram(transitions: set[Transition]) -> str:
    """As Mermaid draws it; decisions that lead from and to the same phases share an arrow."""
    arrows: dict[tuple[str, str], list[str]] = {}
    for before, decision, after in sorted(transitions, key=_by_phase):
        arrows.setdefault((before, after), []).append(decision)
    lines = [f"    {before} --> {after}: {', '.join(told)}" for (before, after), told in arrows.items()]
    return "\n".join(["stateDiagram-v2", "    [*] --> Stable", *lines])


def _by_phase(transition: Transition) -> tuple[int, int, str]:
    order = [phase.value for phase in RolloutPhase]
    return order.index(transition.before), order.index(transition.after), transition.decision


def worlds(count: int, seed: int) -> Iterator[World]:
    """So many worlds in any state, with anything that could move it; the same ones for the same seed."""
    random = Random(seed)
    return (_world(random) for _ in range(count))


def _world(random: Random) -> World:
    phase = random.choice(list(RolloutPhase))
    workers = random.choice((_ready, _starting, _failing, _gone))
    return a_world(
        spec=_spec(random),
        status=a_status(_rollout(random, phase)),
        target=random.choice((GOOD, NEW, NEW, OTHER)),
        template=random.choice((None, None, None, TemplateRefused("no"), Unknown("away"))),
        evidence={"sync-errors": evidence(new=random.choice((0, 0, 1, 11, Unknown("stale", "Stale"))), good=0)},
        pauses=random.choice(((), (), (a_pause(),))),
        verbs=_verbs(random),
        image="worker:v2",
        image_failed_in=random.choice((None, None, "zoho")),
        **workers(phase),
    )


def _spec(random: Random) -> Any:
    steps = [{"weight": 20, "hold": "60s"}, {"weight": 50, "hold": "60s"}]
    bake = random.choice(("0s", "5m"))
    return a_spec(rollout={"steps": random.choice((steps, steps, [])), "bake": bake, "minJobs": 0})


def _rollout(random: Random, phase: RolloutPhase) -> RolloutStatus:
    long_ago = NOW - timedelta(hours=1)
    parts: dict[str, Any] = {
        "step_start_time": random.choice((None, NOW, long_ago)),
        "waiting_since": random.choice((None, NOW, long_ago)),
        "failing_since": random.choice((None, long_ago)),
        "good_revisions": random.choice(([], [GoodRevision(revision=NEW, stopped_time=NOW)])),
    }
    if phase is RolloutPhase.CANARY:
        parts |= {"step": random.choice((0, 1)), "steps_hash": random.choice(("682863302c32c922", "edited"))}
    if phase in (RolloutPhase.STABLE, RolloutPhase.PROMOTING) and random.random() < 0.2:
        parts["stable_revision"] = None
    if phase is RolloutPhase.STABLE:
        parts["held_revision"] = random.choice((None, NEW))
    return a_rollout(phase, **parts)


def _verbs(random: Random) -> dict[Verb, str]:
    asked: tuple[dict[Verb, str], ...] = (
        {},
        {},
        {Verb.ABORT: "1"},
        {Verb.RETRY: "1"},
        {Verb.PROMOTE: "step@1"},
        {Verb.PROMOTE: "full@1"},
    )
    return dict(random.choice(asked))


def _ready(phase: RolloutPhase) -> dict[str, Any]:
    """All that the phase waits for."""
    if phase is RolloutPhase.CANARY:
        return {"stable": a_workload(8), "canary": a_workload(2, role="canary", revision=NEW)}
    serves = NEW if phase in (RolloutPhase.PROMOTING, RolloutPhase.BAKING) else GOOD
    return {"stable": a_workload(10, revision=serves)}


def _starting(phase: RolloutPhase) -> dict[str, Any]:
    """Workers that are not Ready yet, old and new ones."""
    if phase is RolloutPhase.CANARY:
        return {"stable": a_workload(8), "canary": a_workload(2, role="canary", revision=NEW, ready=0)}
    serves = NEW if phase in (RolloutPhase.PROMOTING, RolloutPhase.BAKING) else GOOD
    return {"stable": a_workload(10, revision=serves, ready=5)}


def _failing(phase: RolloutPhase) -> dict[str, Any]:
    """New workers that cannot start."""
    role = "canary" if phase is RolloutPhase.CANARY else "stable"
    new = pods(2, role=role, revision=NEW, ready=False, waiting_reason="CreateContainerConfigError")
    if phase is RolloutPhase.CANARY:
        return {"stable": a_workload(8), "canary": a_workload(2, role="canary", revision=NEW, ready=0, pods=new)}
    return {"stable": a_workload(10, revision=NEW, ready=8, pods=pods(8) + new)}


def _gone(phase: RolloutPhase) -> dict[str, Any]:
    """Nobody knows the stable version's template any more."""
    return {"stable": a_workload(10, revision=NEW), "known_revisions": frozenset({NEW, OTHER})}


def made(count: int, seed: int) -> set[Transition]:
    """The transitions that the code makes in so many worlds."""
    found = set()
    for world in worlds(count, seed):
        assert world.status.rollout is not None
        if (transition := of(world.status.rollout, advance(world, evaluate(world)))) is not None:
            found.add(transition)
    return found
