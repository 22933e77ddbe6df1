"""An outage makes dead letters too: what both versions have, by a guard that can tell, blames no release by another."""

from dataclasses import replace
from datetime import timedelta

import pytest

from crm_operator.api.v1alpha1 import GuardState, GuardStatus, RolloutPhase
from crm_operator.domain.decide import decide
from crm_operator.domain.guards import evaluate
from crm_operator.domain.verdict import Verdict
from crm_operator.domain.world import Evidence, Neighbour, Reading, Recent, Unknown, World
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
    evidence,
    read,
)

DEAD = a_guard(name="dead", metric={"from": "queue", "name": "dead"}, warning=None, critical={"above": 0})
HITS = a_guard(name="hits", metric={"from": "pods", "name": "rate_limit_hits"}, warning={"above": 20}, critical=None)
UNREAD = Unknown("connection refused", "ConnectionRefused")


def of_jobs(errors: float, jobs: float) -> Reading:
    spans = (2 * SECOND, 300 * SECOND)
    return Reading(errors, samples=4, at=NOW, recent=tuple(Recent(span, errors, jobs) for span in spans))


def sides(new: Reading, good: Reading) -> Evidence:
    return Evidence(by_revision={NEW: new, GOOD: good}, overall=read(new.value + good.value))


def canary(errors: Evidence, *was: GuardStatus, first: str = "sync-errors", hits: Evidence | None = None) -> World:
    """Three dead letters, which came after the rollout began, and what the workers' errors and refusals say."""
    guards = sorted([a_guard(), HITS, DEAD], key=lambda guard: guard.name != first)
    return a_canary_world(
        spec=a_spec(guards=[guard.to_wire() for guard in guards]),
        status=a_status(a_rollout(RolloutPhase.CANARY), guards=list(was)),
        evidence={
            "sync-errors": errors,
            "hits": hits or evidence(new=0, good=0),
            "dead": Evidence(overall=read(3)),
        },
    )


def seen_since(seconds: float, blame: str = "undecided") -> GuardStatus:
    """The dead letters, as they stand in status."""
    since = NOW - timedelta(seconds=seconds)
    return GuardStatus(name="dead", state=GuardState.CRITICAL, since=since, blame=blame)


def dead_letters(world: World) -> Verdict:
    return next(verdict for verdict in evaluate(world) if verdict.name == "dead")


@pytest.mark.parametrize("first", ["sync-errors", "dead"])
@pytest.mark.parametrize(
    ("errors", "blame"),
    [
        pytest.param(evidence(new=12, good=12), "provider", id="both are above the limit"),
        pytest.param(evidence(new=0, good=12), "provider", id="stable is"),
        pytest.param(evidence(new=UNREAD, good=12), "provider", id="stable is, and the new version cannot be read"),
        pytest.param(evidence(new=3, good=3), "provider", id="both warn"),
        pytest.param(evidence(new=0, good=1), "provider", id="only stable has errors"),
        pytest.param(evidence(new=3, good=0), "revision", id="only the new version has errors"),
        pytest.param(evidence(new=12, good=0), "revision", id="the new version is above the limit"),
        pytest.param(evidence(new=0, good=0), "revision", id="nobody has errors"),
        pytest.param(evidence(new=UNREAD, good=UNREAD), "revision", id="nobody can be read"),
        pytest.param(evidence(new=0, good=UNREAD), "revision", id="stable cannot be read"),
        pytest.param(sides(of_jobs(20, 20), of_jobs(0, 80)), "undecided", id="stable is to be looked at once more"),
    ],
)
def test_dead_letters_beside_errors(errors: Evidence, blame: str, first: str) -> None:
    verdict = dead_letters(canary(errors, first=first))
    assert (verdict.state, verdict.blame) == (GuardState.CRITICAL, blame)


@pytest.mark.parametrize(
    ("errors", "waited", "blame"),
    [
        pytest.param((9, 9, 0, 80), 0, "undecided", id="stable is read once more"),
        pytest.param((9, 9, 0, 80), 1, "revision", id="stable is clean at that look"),
        pytest.param((2, 2, 0, 12), 1, "revision", id="few errors, beside ten clean jobs"),
        pytest.param((2, 2, 0, 3), 1, "undecided", id="few errors, and stable has hardly done anything"),
        pytest.param((2, 2, 0, 3), 3, "revision", id="nobody waits longer"),
        pytest.param((2, 2, 1, 9), 1, "provider", id="few errors, and one on stable"),
        pytest.param((2, 9, 1, 9), 1, "provider", id="half as often is as well"),
        pytest.param((9, 20, 1, 400), 1, "revision", id="stable fails clearly less"),
    ],
)
def test_the_first_errors_tell_as_those_above_a_limit_do(
    errors: tuple[float, float, float, float], waited: float, blame: str
) -> None:
    new, done, old, old_done = errors
    world = canary(sides(of_jobs(new, done), of_jobs(old, old_done)), seen_since(waited))
    assert dead_letters(world).blame == blame


def test_what_is_clear_counts_more_than_what_both_have() -> None:
    """The provider slows both versions down; errors has the new one alone."""
    hits = sides(of_jobs(15, 100), of_jobs(40, 200))
    bad = canary(sides(of_jobs(9, 100), of_jobs(0, 200)), seen_since(1), hits=hits)
    assert dead_letters(bad).blame == "revision"
    unclear = canary(sides(of_jobs(0, 100), of_jobs(0, 200)), seen_since(1), hits=hits)
    assert dead_letters(unclear).blame == "provider"


def test_what_chance_makes_of_stables_errors_blames_nobody() -> None:
    looked = GuardStatus(name="sync-errors", state=GuardState.CRITICAL, since=NOW - SECOND, blame="undecided")
    errors, _, dead = evaluate(canary(sides(of_jobs(30, 1000), of_jobs(4, 1000)), looked))
    assert errors.by_chance
    assert dead.blame == "provider"


def test_an_outage_with_dead_letters_rolls_nothing_back() -> None:
    plan = decide(canary(evidence(new=12, good=12)))
    assert plan.status.rollout is not None
    assert plan.status.rollout.phase is RolloutPhase.CANARY
    assert "stable has trouble as well, by guard sync-errors" in (plan.status.guards[2].message or "")


@pytest.mark.parametrize(("seconds", "blame"), [(5, "undecided"), (10, "revision")])
def test_a_guard_that_waits_for_another_integration_is_waited_for(seconds: float, blame: str) -> None:
    """It counts what the workers count, and begins to fail; nobody there counts dead letters."""
    since = NOW - timedelta(seconds=seconds)
    looked = GuardStatus(name="sync-errors", state=GuardState.CRITICAL, since=since, blame="undecided")
    was = [looked, seen_since(seconds)]
    beside = Neighbour(name="eu", metric="crm_sync_errors_total", state=GuardState.WARNING, since=NOW - SECOND)
    baking = a_status(a_rollout(RolloutPhase.BAKING), guards=was)
    world = replace(canary(evidence(new=12, good=None)), status=baking, neighbours=(beside,))
    assert [verdict.blame for verdict in evaluate(world) if verdict.name != "hits"] == [blame, blame]


@pytest.mark.parametrize(("blame", "then"), [("provider", "provider"), ("undecided", "revision")])
def test_the_end_of_an_outage_blames_nobody_else(blame: str, then: str) -> None:
    """Errors have left their window, and dead letters stay until somebody looks."""
    assert dead_letters(canary(evidence(new=0, good=0), seen_since(60, blame))).blame == then


def test_nor_does_that_of_another_integration() -> None:
    """In the bake its guard, which said that the provider is down, clears a moment before this one."""
    was = seen_since(60, "provider")
    world = canary(evidence(new=0, good=None), was)
    baking = replace(world, status=a_status(a_rollout(RolloutPhase.BAKING), guards=[was]))
    assert dead_letters(baking).blame == "provider"
