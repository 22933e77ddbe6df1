"""What the guards of this operator say, second by second, while a healthy canary crosses its limit by chance."""

import random
from collections import Counter
from collections.abc import Sequence
from datetime import timedelta

from bench.noise.errors import Pod, crossings, pod
from bench.recorder import Json
from crm_operator.api.v1alpha1 import RolloutPhase, RolloutStatus
from crm_operator.domain.fleet import JOBS_METRIC, PodFleet
from crm_operator.domain.guards import evaluate
from crm_operator.domain.scraped import Sample
from crm_operator.domain.verdict import recorded
from tests.unit.domain.builders import NOW, a_guard, a_spec, a_status, a_world

#: The runbook's guard on sync errors: critical above 10 in 5 minutes.
LIMIT, WINDOW = 10, 300.0
#: One of five pods is the canary's, at 50 jobs/s in all.
PODS, JOBS_PER_SECOND = 5, 50.0
DAY = 86_400.0
#: Scrapes, in seconds: at first and while little happens, while it is judged, and while nobody is blamed yet.
_SLOW, _EACH, _FAST = 5.0, 1.0, 0.25
#: Every second is judged for so long after an error of the canary.
_LOOK = 6.0

ERRORS = "crm_sync_errors_total"
GUARD = a_guard(critical={"above": LIMIT}, window=f"{WINDOW:g}s", metric={"from": "pods", "name": ERRORS})
SPEC = a_spec(metrics={"pods": {}}, guards=[GUARD.model_dump(mode="json", by_alias=True, exclude_none=True)])
_ROLLOUT = RolloutStatus(
    phase=RolloutPhase.CANARY, stable_revision="old", candidate_revision="new", weight=20, start_time=NOW
)


def judge(share: float, *, days: float, seed: int) -> Json:
    """A canary that is on trial for `days`; all pods make `share` of the limit on average (> 0) in each window."""
    dice = random.Random(f"noise {share} {seed}")
    per_second = share * LIMIT / WINDOW
    pods = [
        pod(dice, errors_per_second=per_second, jobs_per_second=JOBS_PER_SECOND / PODS, seconds=days * DAY)
        for _ in range(PODS)
    ]
    spans = crossings(pods[0].errors, limit=LIMIT, window=WINDOW)
    told, blamed = Counter[str](), 0
    for begin, end in spans:
        found = crossing(pods, begin, end)
        told += found
        blamed += found["revision"]
    return {
        "share": share,
        "days": days,
        "canary_errors": len(pods[0].errors),
        "crossings": len(spans),
        "judged": sum(told.values()),
        "provider": told["provider"],
        "undecided": told["undecided"],
        "rollbacks": blamed,
    }


def crossing(pods: Sequence[Pod], begin: float, end: float) -> Counter[str]:
    """Whom the guard blames at each look from `begin` to `end`, or until it blames the release."""
    fleet = PodFleet(keep=timedelta(seconds=WINDOW + 60), stale_after=timedelta(seconds=3 * _SLOW))
    names = ["new", *[f"old-{number}" for number in range(1, len(pods))]]
    at = begin - WINDOW - 60
    fleet.targets([(name, name.partition("-")[0], NOW) for name in names], NOW + timedelta(seconds=at))
    status, told, last = a_status(rollout=_ROLLOUT), Counter[str](), 0.0
    while at <= end:
        now = NOW + timedelta(seconds=at)
        for name, each in zip(names, pods, strict=True):
            errors, jobs = each.counted(at)
            counters = {ERRORS: Sample(errors, errors), JOBS_METRIC: Sample(jobs, jobs)}
            fleet.record(name, counters, now)
        blame = None
        if at >= begin - _EACH:
            world = a_world(now=now, spec=SPEC, status=status, evidence={GUARD.name: fleet.evidence(GUARD, now)})
            (verdict,) = evaluate(world)
            status = status.model_copy(update={"guards": recorded((verdict,), world, {})})
            blame = verdict.blame
            if blame is not None:
                told[blame] += 1
            if blame == "revision":
                break
        count = pods[0].counted(at)[0]
        if count and at - pods[0].errors[int(count) - 1] <= _LOOK:
            last = at
        close = begin - 2 * _SLOW <= at <= begin + _LOOK or at - last <= _LOOK
        at += _FAST if blame == "undecided" else _EACH if close else _SLOW
    return told
