"""Judges each guard: OK, Warning, Critical, Unknown or Inactive, and whom a critical one blames.

Only a real value can breach. Called by decide on every pass; rollout.py and health.py use the verdicts.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from crm_operator.api.duration import render
from crm_operator.api.v1alpha1 import (
    REVISION,
    Answer,
    CrmIntegrationStatus,
    Guard,
    GuardState,
    MetricOrigin,
    Reduce,
    RolloutPhase,
    Threshold,
)
from crm_operator.domain import baseline, both_versions, breaches, breadth, clearing, traces, usual
from crm_operator.domain import blame as blame_of
from crm_operator.domain.blame import Blame, Finding, Past
from crm_operator.domain.default_guards import NO_PODS, guards_of, lacks_metric, readings_of
from crm_operator.domain.lasting import lasting_breach, lasting_outage
from crm_operator.domain.likeness import Likeness, compare
from crm_operator.domain.min_jobs import TOO_FEW_JOBS
from crm_operator.domain.verdict import Verdict, critical_since, number, said_before
from crm_operator.domain.world import Evidence, Reading, Unknown, World

_A_MOMENT = timedelta(seconds=1)
#: A gauge can flicker, so it must be over the limit twice running; what counters say cannot.
_GAUGES = (Reduce.LAST, Reduce.AVERAGE, Reduce.MAX)
_BLAME_AGAIN = timedelta(seconds=1)


def evaluate(world: World) -> tuple[Verdict, ...]:
    """One verdict per guard in force, in the spec's order."""
    verdicts = [_judge(world, guard, is_default=is_default) for guard, is_default in guards_of(world.spec.guards)]
    return both_versions.heeded(world, verdicts, candidate_of(world))


def candidate_of(world: World) -> str | None:
    """The revision on trial, if one is."""
    rollout = world.status.rollout
    return rollout.candidate_revision if rollout is not None and is_on_trial(world.status) else None


def is_on_trial(status: CrmIntegrationStatus) -> bool:
    """Whether a release is being tried."""
    rollout = status.rollout
    return rollout is not None and rollout.phase in (RolloutPhase.CANARY, RolloutPhase.PROMOTING, RolloutPhase.BAKING)


def _judge(world: World, guard: Guard, *, is_default: bool) -> Verdict:
    if is_default and not readings_of(guard, world.spec, namespace=world.namespace, name=world.name):
        return Verdict(
            guard=guard,
            state=GuardState.INACTIVE,
            message="reads the workers' metrics; set spec.metrics to use it",
        )
    evidence = world.evidence.get(guard.name) or Evidence(overall=Unknown("not read yet", "Starting"))
    if is_default and lacks_metric(evidence):
        return Verdict(guard=guard, state=GuardState.INACTIVE, message=f"no source has the metric {guard.metric.shown}")
    guard = evidence.asked or guard
    candidate = candidate_of(world)
    if _tells_versions(guard) and candidate is not None:
        return replace(_judge_candidate(world, guard, evidence, candidate), revision=candidate)
    # On trial, a guard that cannot tell versions apart has one value for both.
    revision = None if candidate is not None else _who_works(world, evidence)
    verdict = _judge_overall(world, guard, evidence, revision=revision, on_trial=candidate is not None)
    return replace(verdict, revision=revision)


def _tells_versions(guard: Guard) -> bool:
    return guard.metric.from_ is MetricOrigin.PODS or REVISION in (guard.metric.query or "")


def _judge_candidate(world: World, guard: Guard, evidence: Evidence, candidate: str) -> Verdict:
    """Per-version data: judge the canary, and compare it with stable before blaming the release."""
    rollout, was = world.status.rollout, said_before(world, guard.name)
    assert rollout is not None
    mine = evidence.by_revision.get(candidate) or Unknown("no pod of the new version was read yet", NO_PODS)
    other = evidence.by_revision.get(rollout.stable_revision or "")
    if rollout.phase is RolloutPhase.BAKING and blame_of.is_lost(other, mine, was, world.now):
        other = None
    if isinstance(mine, Unknown):
        if isinstance(other, Reading) and _state(guard, other) is GuardState.CRITICAL:
            return _verdict(guard, other, GuardState.CRITICAL, blame="provider", where="on stable")
        if rollout.phase is RolloutPhase.BAKING and mine.reason == NO_PODS:
            return Verdict(
                guard=guard, state=GuardState.INACTIVE, message="no worker runs, so there is nothing to judge"
            )
        return _unknown(guard, mine)
    state = _state(guard, mine)
    match other:
        case Reading():
            beside = f", {_shown(guard, other)} on stable"
        case Unknown():
            beside = ", stable not read"
        case None:
            beside = ", no stable worker beside it"
    good = other.value if isinstance(other, Reading) else None
    if other is None and rollout.phase is RolloutPhase.CANARY:
        # Not yet, after a time without work: the canary is up, takes the first job, and meets an outage with it.
        other = Unknown("no stable worker runs", NO_PODS)
    if state is GuardState.CRITICAL:
        past = _past(world, guard, whole_window=False)
        in_canary = rollout.phase is RolloutPhase.CANARY
        found = blame_of.find(guard, mine, other, was, world.now, world.neighbours, past, beside=in_canary)
        where = f"on the new version{beside}" + (f", {found.why}" if found.why else "")
        return replace(_blamed(guard, mine, found, where), stable_value=good)
    stable_fails = isinstance(other, Reading) and _state(guard, other) is GuardState.CRITICAL
    # The new version is below the limit only because it does less: the provider is down for both. When it clearly does
    # better, it is the cure, and holding it would keep the trouble.
    if isinstance(other, Reading) and stable_fails and compare(guard, other, mine) is Likeness.ALIKE:
        return _verdict(guard, other, GuardState.CRITICAL, blame="provider", where="on stable, and as often on both")
    verdict = replace(_verdict(guard, mine, state, where=f"on the new version{beside}"), stable_value=good)
    verdict = clearing.kept(verdict, was, world.now, revision=candidate)
    past = _past(world, guard, whole_window=False) if rollout.phase is not RolloutPhase.CANARY else None
    return _maybe_usual(world, verdict, mine, other, past)


def _maybe_usual(
    world: World, verdict: Verdict, mine: Reading, other: Reading | Unknown | None, past: Past | None
) -> Verdict:
    """A Warning of the version on trial says whether the stable version has as much; beside it, or else before.

    So does a Critical state that is only kept, where nobody was blamed: what chance explains does so when it is over.
    """
    if verdict.state is GuardState.CRITICAL and verdict.blame is None and not isinstance(other, Reading):
        return replace(verdict, by_chance=past is not None and past.explains(verdict.guard, mine))
    if verdict.state is not GuardState.WARNING:
        return verdict
    if isinstance(other, Reading):
        like = "stable has as well" if usual.beside(verdict.guard, mine, other, ran=_ran(world)) else None
    else:
        like = past.shown if past is not None and usual.before(verdict.guard, mine, past) else None
    if like is None:
        return verdict
    return replace(verdict, usual=True, message=f"{verdict.message}, no more than {like}")


def _judge_overall(world: World, guard: Guard, evidence: Evidence, *, revision: str | None, on_trial: bool) -> Verdict:
    """One value for both versions: what began after the rollout began is the release's, if nobody else has it.

    Without a release on trial: the value of `revision`, if there is one.
    """
    reading, was = _value_of(evidence, revision), said_before(world, guard.name)
    if isinstance(reading, Unknown):
        if reading.reason == NO_PODS and not on_trial:
            which = " of the stable version" if evidence.by_revision else ""
            return Verdict(
                guard=guard, state=GuardState.INACTIVE, message=f"no worker{which} runs, so there is nothing to judge"
            )
        return _unknown(guard, reading)
    state = _state(guard, reading)
    if state is not GuardState.CRITICAL:
        past = _past(world, guard, whole_window=True) if on_trial else None
        verdict = clearing.kept(_verdict(guard, reading, state), was, world.now, revision=revision)
        return _maybe_usual(world, verdict, reading, None, past)
    if not on_trial:
        if not evidence.by_revision and traces.is_left_behind(world, guard):
            return _verdict(guard, reading, state, blame="revision", where="left by the version that was rolled back")
        verdict = _verdict(guard, reading, state, blame="provider")
        return replace(verdict, of_pause=not evidence.by_revision and traces.is_of_pause(world, guard))
    began = critical_since(world, guard.name)
    breach, outage = lasting_breach(was), lasting_outage(was)
    started = world.status.rollout.start_time if world.status.rollout else None
    # At the same time as well: the pass that saw it began the rollout, which had no worker yet.
    if started is None or began <= started:
        where = f"since {began:%H:%M:%S}, before the rollout began"
        if was is not None and was.answer is Answer.ROLLBACK:
            where += "; left by the version that was rolled back"
        return _verdict(guard, reading, state, blame="provider", where=where)
    # Asked when it begins: workers come and go, and a breach may be looked into for long.
    if (breach is None or outage is not None) and not _had_started(world, began):
        where = f"since {began:%H:%M:%S}, before a worker of the new version had started"
        left = traces.follows_a_rollback(world, guard)
        return replace(_verdict(guard, reading, state, blame="provider", where=where), left_behind=left)
    if outage is not None:
        # When the outage ends, its traces leave each guard's window at another moment.
        where = f"since {began:%H:%M:%S}, in an outage of both"
        return _verdict(guard, reading, state, blame="provider", where=where)
    if (breach is None or breach.blame == "undecided") and traces.is_of_pause(world, guard):
        where = f"since {began:%H:%M:%S}, of what the workers were paused for"
        return replace(_verdict(guard, reading, state, blame="provider", where=where), of_pause=True)
    past = _past(world, guard, whole_window=True)
    found = blame_of.alone(guard, reading, world.neighbours, past, began=began, now=world.now)
    where = f"since {began:%H:%M:%S}, after the rollout began" + (f", {found.why}" if found.why else "")
    return _blamed(guard, reading, found, where)


def _value_of(evidence: Evidence, revision: str | None) -> Reading | Unknown:
    """Of one version, or of all for None.

    When a rollback after promotion begins, only workers of the failed version are there: what they do says nothing of
    the stable one, which comes up, and must not be paused for it.
    """
    if revision is None:
        return evidence.overall
    return evidence.by_revision.get(revision) or Unknown("no worker of this version runs", NO_PODS)


def _blamed(guard: Guard, reading: Reading, found: Finding, where: str) -> Verdict:
    verdict = _verdict(guard, reading, GuardState.CRITICAL, blame=found.blame, where=where)
    return replace(verdict, stable_clear=found.stable_clear, by_chance=found.by_chance)


def _past(world: World, guard: Guard, *, whole_window: bool) -> Past | None:
    """What the trusted version did before. None: it is not known, or too long ago.

    `whole_window`: the guard's value is of all versions, so its window began before the rollout.
    """
    rollout = world.status.rollout
    did = None if rollout is None else baseline.of(guard.name, rollout.baseline, world.now)
    if rollout is None or did is None:
        return None
    return Past(did, timedelta.max if whole_window else _ran(world))


def _ran(world: World) -> timedelta:
    """How long the version on trial can have run."""
    started = None if world.status.rollout is None else world.status.rollout.start_time
    return timedelta.max if started is None else max(world.now - started, _A_MOMENT)


def _had_started(world: World, time: datetime) -> bool:
    """Whether a worker of the version on trial ran before `time`, of those that are there.

    What is read every second and must be above its limit twice shows what happened seconds ago.
    """
    candidate, sides = candidate_of(world), (world.stable, world.canary)
    pods = [pod for side in sides if side is not None for pod in side.pods if pod.revision == candidate]
    return any(pod.started_at is not None and pod.started_at < time for pod in pods)


def _who_works(world: World, evidence: Evidence) -> str | None:
    """Without a release on trial: the stable version, where versions can be told apart.

    What a version did that was rolled back, or replaced, stays in the window and says nothing of the one that works.
    """
    rollout = world.status.rollout
    return None if rollout is None or not evidence.by_revision else rollout.stable_revision


def _state(guard: Guard, reading: Reading) -> GuardState:
    pending = False
    for threshold, state in ((guard.critical, GuardState.CRITICAL), (guard.warning, GuardState.WARNING)):
        if threshold is None or not reading.value > threshold.above:
            continue
        if not _is_settled(guard, reading, threshold, state):
            pending = guard.breaches is not None
            continue
        if state is GuardState.CRITICAL and not breadth.is_broad(guard, reading):
            return GuardState.WARNING
        return state
    return GuardState.UNKNOWN if pending else GuardState.OK


def _is_settled(guard: Guard, reading: Reading, threshold: Threshold, state: GuardState) -> bool:
    """Whether a value above `threshold` was so often enough."""
    if guard.breaches is not None:
        return breaches.stands(guard, reading, state)
    return guard.reduce not in _GAUGES or (reading.previous is not None and reading.previous > threshold.above)


def _verdict(
    guard: Guard,
    reading: Reading,
    state: GuardState,
    *,
    blame: Blame | None = None,
    where: str = "",
) -> Verdict:
    if state is GuardState.OK and (unsure := _unsure(reading)) is not None:
        return _unknown(guard, unsure)
    threshold = _crossed(guard, reading, state)
    sign = ">" if threshold is not None and reading.value > threshold else "<="
    parts = [f"{_shown(guard, reading)} {sign} {number(threshold)}"]
    if guard.window is not None:
        parts.append(f"in {render(guard.window)}")
    parts += [breaches.shown(guard, reading, state), breadth.shown(guard, reading), where]
    return Verdict(
        guard=guard,
        state=state,
        value=reading.value,
        threshold=threshold,
        samples=reading.samples,
        blame=blame,
        message=f"{_metric(guard)} " + " ".join(part for part in parts if part),
    )


def _unknown(guard: Guard, why: Unknown) -> Verdict:
    return Verdict(
        guard=guard,
        state=GuardState.UNKNOWN,
        threshold=_lowest(guard),
        message=why.why,
        needs_news=why.reason == TOO_FEW_JOBS,
    )


def _unsure(reading: Reading) -> Unknown | None:
    """Why a value below the limits does not prove that all is well."""
    if reading.lower_bound is not None:
        return reading.lower_bound
    return None if reading.breadth is None else reading.breadth.unsure


def _crossed(guard: Guard, reading: Reading, state: GuardState) -> float | None:
    """The limit that `state` speaks of, else the lowest there is. One workspace's trouble may be over the critical."""
    narrow = state is GuardState.WARNING and not breadth.is_broad(guard, reading)
    limits = [guard.critical] if state is GuardState.CRITICAL or narrow else []
    limits += [guard.warning] if state is GuardState.WARNING else []
    above = (limit.above for limit in limits if limit is not None and reading.value > limit.above)
    return next(above, _lowest(guard))


def _metric(guard: Guard) -> str:
    if guard.metric.quantile is not None:
        return f"{guard.metric.shown} quantile {number(guard.metric.quantile)}"
    per = guard.metric.per_shown
    return f"{guard.metric.shown}/{per}" if per else guard.metric.shown


def _shown(guard: Guard, reading: Reading) -> str:
    sign = "+" if guard.reduce is Reduce.INCREASE else ""
    return f"{sign}{number(reading.value)}" + ("/s" if guard.reduce is Reduce.RATE else "")


def _lowest(guard: Guard) -> float | None:
    limits = [limit.above for limit in (guard.warning, guard.critical) if limit is not None]
    return min(limits, default=None)


def look_for_blame(verdicts: Sequence[Verdict], now: datetime) -> datetime | None:
    """When to look again although nothing is read: time decides, too, while nobody is blamed yet."""
    undecided = any(verdict.blame == "undecided" and not verdict.by_chance for verdict in verdicts)
    return now + _BLAME_AGAIN if undecided else None
