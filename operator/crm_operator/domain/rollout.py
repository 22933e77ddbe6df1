"""Where a rollout stands and what moves it on. The states and edges are drawn in docs/rollout.md.

`advance` takes the recorded state and the world and gives the next state; it is asked on every pass, so nothing here
depends on having seen an event. One pass takes at most one step. Timers are differences to stored times.

Stable and candidate: `stable_revision` is the last revision that finished its bake, and where a rollback goes;
`candidate_revision` is on trial. In Canary the candidate runs in Deployment NAME-canary; in Promoting and Baking it is
the template of Deployment NAME.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from crm_operator.api.duration import render
from crm_operator.api.v1alpha1 import Decision, GuardState, RolloutPhase, RolloutStatus, RolloutStep
from crm_operator.domain.guards import Verdict
from crm_operator.domain.objections import MAY_ADVANCE, pods_of, rolling, says, unseen
from crm_operator.domain.world import Workload, World

#: Restarts of a canary worker that end the rollout: a version that cannot start needs no metric and no deadline.
START_FAILURES = 3

_ON_TRIAL = (RolloutPhase.CANARY, RolloutPhase.PROMOTING, RolloutPhase.BAKING)


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """The next state, what was decided on the way, and when time alone can change it."""

    rollout: RolloutStatus
    decisions: tuple[Decision, ...] = ()
    look_again: datetime | None = None


def advance(world: World, verdicts: Sequence[Verdict]) -> Move:
    """One pass of the state machine."""
    was = world.status.rollout or _first_state(world)
    if world.template is not None:
        return _without_target(world, was, verdicts)
    return _on_target(world, was) or _on_trial(world, was, verdicts)


def steps_hash(steps: Sequence[RolloutStep]) -> str:
    """Tells whether the steps were edited; 16 hex digits."""
    text = ";".join(f"{step.weight}:{render(step.hold)}" for step in steps)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _first_state(world: World) -> RolloutStatus:
    """No memory: a new integration, or a status that was lost. What runs is then what we trust."""
    if world.stable is not None and world.stable.revision:
        return RolloutStatus(phase=RolloutPhase.STABLE, stable_revision=world.stable.revision)
    return RolloutStatus(phase=RolloutPhase.STABLE)


def _without_target(world: World, was: RolloutStatus, verdicts: Sequence[Verdict]) -> Move:
    """The spec's template cannot be used, so the running versions stay; damage is still stopped."""
    if was.phase in _ON_TRIAL and (verdict := _blames_release(world, verdicts)) is not None:
        return _roll_back(world, was, verdict.message)
    if was.phase is RolloutPhase.ROLLING_BACK:
        return _rolling_back(world, was)
    return Move(rollout=was)


def _on_target(world: World, was: RolloutStatus) -> Move | None:
    """What a changed template does in each phase. None: the template is what the recorded state is about."""
    target = world.target
    if was.stable_revision is None and was.candidate_revision != target:
        return _start(world, was, stable=None, why="first deployment")
    if was.phase is RolloutPhase.STABLE:
        return None if target == was.stable_revision else _start(world, was, stable=was.stable_revision)
    if was.phase in (RolloutPhase.ROLLING_BACK, RolloutPhase.ROLLED_BACK):
        if target == was.failed_revision:
            return None
        if target == was.stable_revision:
            return _settle(world, was, "Reverted", "the template is the stable one again")
        return _start(world, was, stable=was.stable_revision)
    if target == was.candidate_revision:
        return None
    if target == was.stable_revision:
        return _settle(world, was, "Abandoned", "the template is the stable one again")
    if was.phase is RolloutPhase.BAKING:
        # It serves everything and no guard rolled it back: a newer version is judged against it, not against an
        # older one that nobody wants back.
        return _start(world, was, stable=was.candidate_revision, why="new template while baking")
    return _start(world, was, stable=was.stable_revision, why="new template in mid-rollout")


def _on_trial(world: World, was: RolloutStatus, verdicts: Sequence[Verdict]) -> Move:
    match was.phase:
        case RolloutPhase.CANARY | RolloutPhase.PROMOTING | RolloutPhase.BAKING:
            if (verdict := _blames_release(world, verdicts)) is not None and was.stable_revision is not None:
                return _roll_back(world, was, verdict.message)
            if world.pauses:
                return Move(rollout=was.model_copy(update={"step_start_time": None, "waiting_since": None}))
            if was.phase is RolloutPhase.CANARY:
                return _canary(world, was, verdicts)
            if was.phase is RolloutPhase.PROMOTING:
                return _promoting(world, was)
            return _baking(world, was, verdicts)
        case RolloutPhase.ROLLING_BACK:
            return _rolling_back(world, was)
        case RolloutPhase.STABLE | RolloutPhase.ROLLED_BACK:
            return Move(rollout=was)


# --- what may happen in each phase -----------------------------------------------------------------------------------


def _canary(world: World, was: RolloutStatus, verdicts: Sequence[Verdict]) -> Move:
    steps = world.spec.rollout.steps
    if was.steps_hash != steps_hash(steps):
        return _start(world, was, stable=was.stable_revision, why="rollout.steps were edited")
    if (failure := _start_failure(world)) is not None:
        return _roll_back(world, was, failure)
    ready = _canary_is_up(world, was)
    now = was.model_copy(update=_clocks(world, was, running=ready))
    if (late := _deadline(world, now)) is not None and world.now >= late:
        return _roll_back(world, was, _overdue(world, world.canary))
    for check in MAY_ADVANCE:
        objection = check(world, now, verdicts)
        if objection is not None:
            now = now.model_copy(update={"reason": objection.why})
            return Move(rollout=now, look_again=_soonest(objection.until, late))
    step = steps[was.step]
    if was.step + 1 < len(steps):
        nxt = steps[was.step + 1]
        why = f"step {was.step + 1} of {len(steps)} held {render(step.hold)} at {step.weight} %"
        return Move(
            rollout=now.model_copy(
                update={
                    "step": was.step + 1,
                    "weight": nxt.weight,
                    "step_start_time": None,
                    "waiting_since": world.now,
                    "reason": f"moving to {nxt.weight} %",
                }
            ),
            decisions=(_decision(world, "Advanced", why, f"{step.weight} %", f"{nxt.weight} %"),),
        )
    return Move(
        rollout=now.model_copy(
            update={
                "phase": RolloutPhase.PROMOTING,
                "step": 0,
                "step_start_time": None,
                "waiting_since": world.now,
                "reason": "all steps are done; updating the stable workers",
            }
        ),
        decisions=(_decision(world, "Promoted", "all steps are done", was.stable_revision, was.candidate_revision),),
    )


def _promoting(world: World, was: RolloutStatus) -> Move:
    stable = world.stable
    done = stable is not None and stable.revision == was.candidate_revision and stable.intact and stable.complete
    if not done:
        now = was.model_copy(update=_clocks(world, was, running=False) | {"reason": rolling(stable)})
        late = _deadline(world, now)
        if late is not None and world.now >= late and was.stable_revision is not None:
            return _roll_back(world, was, _overdue(world, stable))
        return Move(rollout=now, look_again=late if late is not None and late > world.now else None)
    if was.stable_revision is None or not world.spec.rollout.bake:
        return _settle(world, was, "Completed", "the new version runs in all workers", stable=was.candidate_revision)
    return Move(
        rollout=was.model_copy(
            update={
                "phase": RolloutPhase.BAKING,
                "weight": 0,
                "step_start_time": world.now,
                "waiting_since": None,
                "reason": f"watching the new version for {render(world.spec.rollout.bake)}",
            }
        ),
        decisions=(_decision(world, "Baking", "the new version runs in all workers", None, was.candidate_revision),),
    )


def _baking(world: World, was: RolloutStatus, verdicts: Sequence[Verdict]) -> Move:
    worried = next((v for v in verdicts if v.state in (GuardState.WARNING, GuardState.CRITICAL)), None)
    if worried is not None:
        # The bake starts again once the guard is quiet, so its clock does not run now.
        return Move(rollout=was.model_copy(update={"step_start_time": None, "reason": says(worried)}))
    started = was.step_start_time or world.now
    ends = started + world.spec.rollout.bake
    now = was.model_copy(update={"step_start_time": started})
    if world.now < ends:
        return Move(rollout=now.model_copy(update={"reason": f"baking until {ends:%H:%M:%S}"}), look_again=ends)
    unknown = next((v for v in verdicts if v.state is GuardState.UNKNOWN), None)
    if unknown is not None:
        return Move(rollout=now.model_copy(update={"reason": says(unknown)}))
    if (objection := unseen(world.stable, verdicts)) is not None:
        return Move(rollout=now.model_copy(update={"reason": objection.why}))
    why = f"no guard objected for {render(world.spec.rollout.bake)}"
    return _settle(world, was, "Completed", why, stable=was.candidate_revision)


def _rolling_back(world: World, was: RolloutStatus) -> Move:
    stable, canary = world.stable, world.canary
    if was.stable_revision not in world.known_revisions and (stable is None or stable.revision != was.stable_revision):
        return Move(
            rollout=was.model_copy(
                update={"reason": f"RollbackBlocked: the template of {was.stable_revision} is gone; apply a good one"}
            )
        )
    canary_gone = canary is None or canary.replicas == 0
    # A rollback is over when the bad version has no pod left that could take a job; stable may still be starting.
    bad_pods = [p for w in (stable, canary) if w is not None for p in w.pods if p.revision != was.stable_revision]
    if stable is None or stable.revision != was.stable_revision or not canary_gone or bad_pods:
        return Move(rollout=was)
    if not stable.complete and not world.pauses:
        return Move(rollout=was)
    took = (world.now - was.step_start_time).total_seconds() if was.step_start_time is not None else None
    why = "the stable version is back in full" + ("" if took is None else f", {took:.1f} s after the decision")
    return Move(
        rollout=was.model_copy(update={"phase": RolloutPhase.ROLLED_BACK, "step_start_time": None}),
        decisions=(_decision(world, "Restored", why, was.failed_revision, was.stable_revision),),
    )


# --- edges -----------------------------------------------------------------------------------------------------------


def _start(world: World, was: RolloutStatus, *, stable: str | None, why: str = "new template") -> Move:
    steps = world.spec.rollout.steps
    straight = stable is None or not steps
    phase = RolloutPhase.PROMOTING if straight else RolloutPhase.CANARY
    rollout = RolloutStatus(
        phase=phase,
        weight=0 if straight else steps[0].weight,
        stable_revision=stable,
        candidate_revision=world.target,
        start_time=world.now,
        waiting_since=world.now,
        steps_hash=steps_hash(steps),
        reason=why,
    )
    what = "Deployed" if stable is None else "RolloutStarted"
    same = was.candidate_revision == world.target and was.stable_revision == stable
    return Move(
        rollout=rollout,
        decisions=(_decision(world, "RolloutRestarted" if same else what, why, stable, world.target),),
    )


def _settle(world: World, was: RolloutStatus, what: str, why: str, *, stable: str | None = None) -> Move:
    left = was.stable_revision if stable is not None else was.candidate_revision or was.failed_revision
    stable = stable or was.stable_revision
    return Move(
        rollout=RolloutStatus(phase=RolloutPhase.STABLE, stable_revision=stable),
        decisions=(_decision(world, what, why, left, stable),),
    )


def _roll_back(world: World, was: RolloutStatus, why: str) -> Move:
    if was.stable_revision is None:
        return Move(rollout=was.model_copy(update={"reason": f"{why}; there is no earlier version to go back to"}))
    return Move(
        rollout=RolloutStatus(
            phase=RolloutPhase.ROLLING_BACK,
            stable_revision=was.stable_revision,
            failed_revision=was.candidate_revision,
            start_time=was.start_time,
            step_start_time=world.now,
            reason=why[:1000],
        ),
        decisions=(_decision(world, "RolledBack", why, was.candidate_revision, was.stable_revision),),
    )


# --- what is seen -----------------------------------------------------------------------------------------------------


def _blames_release(world: World, verdicts: Sequence[Verdict]) -> Verdict | None:
    if not world.spec.on_critical.rollback:
        return None
    return next((v for v in verdicts if v.state is GuardState.CRITICAL and v.blame == "revision"), None)


def _canary_is_up(world: World, was: RolloutStatus) -> bool:
    """The canary's pods of this revision are all Ready, and the step's share has been asked for."""
    canary = world.canary
    return (
        canary is not None
        and canary.revision == was.candidate_revision
        and canary.intact
        and canary.replicas > 0
        and canary.complete
        and canary.ready >= canary.replicas
    )


def _start_failure(world: World) -> str | None:
    """A canary worker that keeps dying, while stable's do not."""
    worst = max(pods_of(world.canary), key=lambda pod: pod.restarts, default=None)
    if worst is None or worst.restarts < START_FAILURES:
        return None
    if any(pod.restarts >= START_FAILURES for pod in pods_of(world.stable)):
        return None
    why = f" ({worst.waiting_reason})" if worst.waiting_reason else ""
    return f"worker {worst.name} of the new version restarted {worst.restarts} times{why}"


def _clocks(world: World, was: RolloutStatus, *, running: bool) -> dict[str, datetime | None]:
    """The hold's clock runs from the first time all pods are Ready; the deadline's while they are not."""
    if running:
        return {"step_start_time": was.step_start_time or world.now, "waiting_since": None}
    return {"waiting_since": was.waiting_since or world.now}


def _deadline(world: World, now: RolloutStatus) -> datetime | None:
    if now.waiting_since is None:
        return None
    deadline: timedelta = world.spec.rollout.progress_deadline
    return now.waiting_since + deadline


def _overdue(world: World, workload: Workload | None) -> str:
    limit = render(world.spec.rollout.progress_deadline)
    return f"no progress in {limit} (rollout.progressDeadline): {rolling(workload)}"


def _soonest(*times: datetime | None) -> datetime | None:
    return min((time for time in times if time is not None), default=None)


def _decision(world: World, what: str, why: str, from_: str | None, to: str | None) -> Decision:
    return Decision(time=world.now, what=what, why=why[:1000], from_=from_, to=to)
