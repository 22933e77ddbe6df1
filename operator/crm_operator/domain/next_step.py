"""What comes next, and when: the last clause of every explanation. Derived from what was decided, decides nothing.

Called by decide for `status.next`, and for what each decision of the pass leads to.
"""

from collections.abc import Sequence

from crm_operator.api.duration import render
from crm_operator.api.v1alpha1 import AutomaticPauseState, Decision, GuardState, Mode, NextStep, RolloutPhase
from crm_operator.domain import health
from crm_operator.domain.blame import chance_ends
from crm_operator.domain.clearing import kept_for
from crm_operator.domain.health import Findings
from crm_operator.domain.respond import how_to_lift
from crm_operator.domain.rollout.objections import min_jobs
from crm_operator.domain.rollout.queued import comes_next, is_queued
from crm_operator.domain.verdict import Verdict, critical_since, evidence_of
from crm_operator.domain.world import JobsDone

_BREACHED = (GuardState.CRITICAL, GuardState.WARNING)
#: Characters of the status's sentence that what comes next leaves for what is.
_ROOM = 700


def next_step(found: Findings) -> NextStep:
    """One sentence in the future tense; the time when it is known."""
    if found.world.spec.mode is Mode.OBSERVE:
        return NextStep(what="nothing, since mode is Observe; Enforce lets the operator act")
    if found.sync.paused:
        return _paused(found)
    if found.response.create is not None:
        return NextStep(what=f"SyncPause {found.response.create.name} stops all workers")
    if (queued := comes_next(found.world, found.rollout)) is not None:
        return NextStep(what=queued)
    match found.rollout.phase:
        case RolloutPhase.STABLE:
            return _steady(found)
        case RolloutPhase.CANARY:
            return _canary(found)
        case RolloutPhase.PROMOTING:
            return _promoting(found)
        case RolloutPhase.BAKING:
            return _baking(found)
        case RolloutPhase.ROLLING_BACK:
            what = f"RolledBack when no worker of {found.rollout.failed_revision} is left and the stable ones are Ready"
            return NextStep(what=what)
        case RolloutPhase.ROLLED_BACK:
            return NextStep(
                what=f"{found.rollout.failed_revision} is not tried again until spec.workers.template changes, or: "
                f"kubectl crm retry {found.world.name} -n {found.world.namespace}"
            )


def explained(decision: Decision, verdicts: Sequence[Verdict], then: NextStep) -> Decision:
    """The decision with the guard that it rests on, and what it leads to. A guard's own words are in its `why`."""
    guard = next((v for v in verdicts if v.state in _BREACHED and v.message in decision.why), None)
    evidence = None if guard is None else evidence_of(guard)
    return decision.model_copy(update={"evidence": evidence, "next": then})


def in_words(then: NextStep) -> str:
    """`next at 03:05:00: all workers get the new version, if no guard objects`"""
    at = "" if then.time is None else f" at {then.time:%H:%M:%S}"
    return f"next{at}: {then.what}"


def message(found: Findings, then: NextStep) -> str:
    """The one sentence of the status: what is, and what comes next where that is not said already."""
    now = health.message(found)
    own = found.response.pause
    settled = found.rollout.phase is RolloutPhase.STABLE and comes_next(found.world, found.rollout) is None
    healthy = settled and not _worst(found)
    if found.sync.paused:
        said = own is not None and own.state is AutomaticPauseState.HOLDING
    else:
        said = healthy or found.rollout.phase is RolloutPhase.ROLLED_BACK
    return now if said else f"{now[:_ROOM]}; {in_words(then)}"


def _paused(found: Findings) -> NextStep:
    """The last pause decides, so one without an end is named rather than the next that ends."""
    own = found.response.pause
    if own is not None and own.state is AutomaticPauseState.HOLDING:
        return NextStep(
            what=f"workers start again when a person lifts it: {how_to_lift(found.world.namespace, own.name)}"
        )
    pauses = sorted(found.world.pauses, key=lambda pause: pause.name)
    endless = [pause.name for pause in pauses if pause.expires is None]
    if endless or not pauses:
        names = ", ".join(endless[:3]) or "no pause any more"
        return NextStep(what=f"workers start again when nobody holds them: {names}")
    return NextStep(
        what="workers start again when the last pause expires",
        time=max(pause.expires for pause in pauses if pause.expires is not None),
    )


def _steady(found: Findings) -> NextStep:
    worst = _worst(found)
    if worst is None:
        return NextStep(what="workers follow the queue; a new template starts a rollout")
    if worst.clear_since is not None and not _is_above(worst):
        lasts = kept_for(worst.guard)
        what = f"Healthy when guard {worst.name} was clear for {render(lasts)}"
        return NextStep(what=what, time=worst.clear_since + lasts)
    return NextStep(what=f"somebody looks at guard {worst.name}; Healthy when it is clear")


def _canary(found: Findings) -> NextStep:
    world, rollout = found.world, found.rollout
    steps = world.spec.rollout.steps
    step = min(rollout.step, len(steps) - 1) if steps else 0
    last = step + 1 >= len(steps)
    then = (
        "all workers get the new version" if last else f"step {step + 2} of {len(steps)} at {steps[step + 1].weight} %"
    )
    if rollout.waiting_since is not None:
        deadline = world.spec.rollout.progress_deadline
        return NextStep(
            what=f"rolled back, unless its workers are Ready before (rollout.progressDeadline {render(deadline)})",
            time=rollout.waiting_since + deadline,
        )
    started = rollout.step_start_time
    ends = world.now if started is None or not steps else started + steps[step].hold
    objecting = _objecting(found)
    if objecting is not None and ends > world.now:
        return NextStep(what=f"{then}, if by then guard {objecting} is OK{_or_back(found)}", time=ends)
    if objecting is not None:
        return NextStep(what=f"{then} when guard {objecting} is OK{_or_back(found)}")
    if started is None or not steps:
        return NextStep(what=then)
    done = world.jobs_done.get(rollout.candidate_revision or "")
    jobs = min_jobs(world)
    if ends <= world.now and isinstance(done, JobsDone) and done.count < jobs:
        return NextStep(what=f"{then} when the new version has done {jobs} jobs, if no guard objects")
    return NextStep(what=f"{then}, if no guard objects", time=ends if ends > world.now else None)


def _promoting(found: Findings) -> NextStep:
    world, rollout = found.world, found.rollout
    if rollout.stable_revision is None:
        return NextStep(what="Stable when all workers are Ready")
    bake = world.spec.rollout.bake
    then = f"watched for {render(bake)} (rollout.bake)" if bake else "Stable"
    if rollout.waiting_since is None:
        return NextStep(what=f"{then} when all workers have the new version")
    deadline = world.spec.rollout.progress_deadline
    return NextStep(
        what=f"{then} when all workers have the new version; rolled back, unless they have before",
        time=rollout.waiting_since + deadline,
    )


def _baking(found: Findings) -> NextStep:
    bake = found.world.spec.rollout.bake
    objecting = _objecting(found)
    chance = next((verdict for verdict in found.verdicts if verdict.by_chance), None)
    if chance is not None:
        return _by_chance(found, chance)
    breached = next(
        (verdict.name for verdict in found.verdicts if verdict.state in _BREACHED and verdict.objects), None
    )
    if breached is not None:
        return NextStep(what=f"Stable {render(bake)} after guard {breached} is OK{_or_back(found)}")
    world = found.world
    started = found.rollout.step_start_time
    ends = None if started is None or started + bake <= found.world.now else started + bake
    held = ""
    if is_queued(world, found.rollout):
        now = f"to begin now: kubectl crm promote {world.name} -n {world.namespace}"
        if world.image_failed_in is None:
            return NextStep(
                what=f"the bake ends and {world.target} begins, which it does at once if a guard objects; {now}",
                time=ends,
            )
        held = f"; then {world.target} is held, as its image was rolled back in {world.image_failed_in}; {now}"
    if objecting is None:
        return NextStep(what=f"Stable, if no guard objects{held}", time=ends)
    # While a guard cannot be read the bake's time runs on.
    when = "when" if ends is None else "if by then"
    return NextStep(what=f"Stable, {when} guard {objecting} is OK{_or_back(found)}{held}", time=ends)


def _by_chance(found: Findings, verdict: Verdict) -> NextStep:
    """Nobody is blamed, as the version before did this now and then: it ends when it clears, or has lasted too long."""
    world, then = found.world, f"Stable after the bake, when guard {verdict.name} is no longer Critical"
    abort = f"to go back now: kubectl crm abort {world.name} -n {world.namespace}"
    if verdict.clear_since is not None or not world.spec.on_critical.rollback:
        return NextStep(what=f"{then}; {abort}")
    ends = chance_ends(verdict.guard, critical_since(world, verdict.name))
    return NextStep(what=f"rolled back, unless guard {verdict.name} was clear before; {then}; {abort}", time=ends)


def _or_back(found: Findings) -> str:
    return "; rolled back if it blames the release" if found.world.spec.on_critical.rollback else ""


def _objecting(found: Findings) -> str | None:
    return next((verdict.name for verdict in found.verdicts if verdict.objects), None)


def _worst(found: Findings) -> Verdict | None:
    """The guard that makes it Degraded in steady state: what is above a limit now, before what only keeps its state."""
    bad = [verdict for verdict in found.verdicts if verdict.state in _BREACHED]
    return min(bad, key=lambda verdict: (not _is_above(verdict), _BREACHED.index(verdict.state)), default=None)


def _is_above(verdict: Verdict) -> bool:
    """Whether its value is above a limit now, if not above that of its state."""
    return verdict.clear_since is None or (verdict.value or 0) > (verdict.threshold or 0)
