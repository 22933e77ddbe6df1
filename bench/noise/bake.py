"""Healthy releases in their bake, with no stable version beside them: how often chance alone rolls one back.

Each release is a course of its own: an hour of the old version, then all pods at the new one for a bake, which has
twice its time. The operator's own code takes the baseline from scrapes, judges every few seconds, and each second in
which the limit is crossed, and ends the bake.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from bench.noise.errors import Pod, crossings, pod
from bench.noise.judge import DAY, ERRORS, GUARD, JOBS_PER_SECOND, LIMIT, PODS, SPEC, WINDOW
from bench.recorder import Json
from crm_operator.api.v1alpha1 import CrmIntegrationStatus, GuardBaseline, RolloutPhase, RolloutStatus
from crm_operator.domain.baseline import BaselineMemory
from crm_operator.domain.fleet import JOBS_METRIC, PodFleet
from crm_operator.domain.guards import evaluate
from crm_operator.domain.rollout import advance
from crm_operator.domain.scraped import Sample
from crm_operator.domain.verdict import recorded
from crm_operator.domain.world import World
from tests.unit.domain.builders import NOW, a_rollout, a_status, a_workload, a_world

#: The old version is watched for so long before, then the new one bakes, and is watched for so long; seconds.
BEFORE, BAKE = 3600.0, 900.0
WATCHED = 2 * BAKE
#: A bake that ends so soon, one window after its time, ended in time.
IN_TIME = BAKE + WINDOW
#: A bad release fails so many times as often as the old version.
WORSE = 5.0
#: Scrapes, in seconds: while the old version works, while nothing happens in the bake, and while it is judged.
_SLOW, _IDLE, _EACH = 60.0, 5.0, 1.0
_SPEC = SPEC.model_copy(update={"rollout": SPEC.rollout.model_copy(update={"bake": timedelta(seconds=BAKE)})})


@dataclass(frozen=True, slots=True)
class Verdict:
    """Of one bake."""

    blamed_after: float | None  # seconds of the bake; None: it was never blamed
    crossings: int
    ended_after: float | None = None  # seconds; None: it did not end


def judge_bakes(share: float, *, days: float, seed: int) -> Json:
    """So many `days` of bakes at `share` of the limit, all pods together; and a tenth as many of bad releases."""
    dice = random.Random(f"bake {share} {seed}")
    count = max(1, round(days * DAY / BAKE))
    healthy = [_release(dice, share, worse=1.0) for _ in range(count)]
    bad = [_release(dice, share, worse=WORSE) for _ in range(max(1, count // 10))]
    told = {
        name: [bake(old, new, known=known) for old, new in releases]
        for name, known, releases in (("blind", False, healthy), ("known", True, healthy), ("bad", True, bad))
    }
    took = sorted(found.blamed_after for found in told["bad"] if found.blamed_after is not None)
    ended = sum(found.ended_after is not None and found.ended_after <= IN_TIME for found in told["known"])
    return {
        "share": share,
        "bakes": count,
        "crossings": sum(found.crossings for found in told["known"]),
        "rollbacks_without": sum(found.blamed_after is not None for found in told["blind"]),
        "rollbacks": sum(found.blamed_after is not None for found in told["known"]),
        "in_time": ended,
        "bad": len(bad),
        "bad_rolled_back": len(took),
        "bad_ended": sum(found.ended_after is not None for found in told["bad"]),
        "bad_seconds": took,
    }


def _release(dice: random.Random, share: float, *, worse: float) -> tuple[list[Pod], list[Pod]]:
    each = share * LIMIT / WINDOW / PODS
    old, new = (
        [
            pod(dice, errors_per_second=each * factor, jobs_per_second=JOBS_PER_SECOND / PODS, seconds=seconds)
            for _ in range(PODS)
        ]
        for factor, seconds in ((1.0, BEFORE), (worse, WATCHED))
    )
    return old, new


def bake(old: Sequence[Pod], new: Sequence[Pod], *, known: bool) -> Verdict:
    """The new version's bake; `known`: the operator has watched the old one."""
    baseline = _baseline(old) if known else []
    errors = sorted(at for each in new for at in each.errors)
    spans = crossings(errors, limit=LIMIT, window=WINDOW)
    fleet, status, at = _fleet("new", BEFORE), a_status(_rollout(RolloutPhase.BAKING, baseline)), 0.0
    while at <= WATCHED:
        world = _world(fleet, status, _scraped(fleet, new, at, since=BEFORE))
        verdicts = evaluate(world)
        rollout = advance(world, verdicts).rollout
        if rollout.phase is RolloutPhase.ROLLING_BACK:
            return Verdict(at, len(spans))
        if rollout.phase is RolloutPhase.STABLE:
            return Verdict(None, len(spans), at)
        status = status.model_copy(update={"guards": recorded(verdicts, world, {}), "rollout": rollout})
        close = any(begin - _IDLE <= at <= end for begin, end in spans)
        at += _EACH if close else _IDLE
    return Verdict(None, len(spans))


def _baseline(old: Sequence[Pod]) -> list[GuardBaseline]:
    """What the operator remembers of the old version at the end of its hour."""
    fleet, memory, status, at = _fleet("old", 0), BaselineMemory(), a_status(_rollout(RolloutPhase.STABLE, [])), 0.0
    seen: list[GuardBaseline] = []
    while at <= BEFORE:
        now = _scraped(fleet, old, at, since=0)
        seen = list(memory.notice(_world(fleet, status, now)).values())
        at += _SLOW
    return seen


def _rollout(phase: RolloutPhase, baseline: list[GuardBaseline]) -> RolloutStatus:
    # By name, as the fleet calls its pods' versions.
    versions = {"stable_revision": "old", "candidate_revision": "new" if phase is RolloutPhase.BAKING else None}
    began = NOW + timedelta(seconds=BEFORE)
    return a_rollout(phase, start_time=began, step_start_time=began, baseline=baseline, **versions)


def _world(fleet: PodFleet, status: CrmIntegrationStatus, now: datetime) -> World:
    stable = a_workload(PODS, revision="new")
    evidence = {GUARD.name: fleet.evidence(GUARD, now)}
    return a_world(now=now, spec=_SPEC, status=status, stable=stable, target="new", evidence=evidence)


def _fleet(version: str, begins: float) -> PodFleet:
    fleet = PodFleet(keep=timedelta(seconds=WINDOW + 60), stale_after=timedelta(seconds=3 * _SLOW))
    now = NOW + timedelta(seconds=begins)
    fleet.targets([(f"{version}-{number}", version, now) for number in range(PODS)], now)
    return fleet


def _scraped(fleet: PodFleet, pods: Sequence[Pod], at: float, *, since: float) -> datetime:
    now = NOW + timedelta(seconds=since + at)
    for uid, each in zip(fleet.pods, pods, strict=True):
        errors, jobs = each.counted(at)
        fleet.record(uid, {ERRORS: Sample(errors, errors), JOBS_METRIC: Sample(jobs, jobs)}, now)
    return now
