"""What a change of the rollout's state does: the next state, and the decision that tells of it.

Nothing here asks whether it should be done; `machine` and `phases` do.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from crm_operator.api.duration import render
from crm_operator.api.names import annotation
from crm_operator.api.v1alpha1 import (
    Decision,
    GuardBaseline,
    RolloutPhase,
    RolloutStatus,
    RolloutStep,
    Verb,
    VerbStatus,
)
from crm_operator.domain import baseline
from crm_operator.domain.default_guards import guards_of
from crm_operator.domain.rollout import history
from crm_operator.domain.rollout.blocked import is_gone, is_kept_out
from crm_operator.domain.world import World

#: Nobody tells when another integration gets along with an image after all.
HELD_AGAIN = timedelta(seconds=30)


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """The next state, what was decided on the way, and when time alone can change it."""

    rollout: RolloutStatus
    decisions: tuple[Decision, ...] = ()
    look_again: datetime | None = None
    verbs: tuple[VerbStatus, ...] = ()  # answered on this pass


def steps_hash(steps: Sequence[RolloutStep]) -> str:
    """Tells whether the steps were edited; 16 hex digits."""
    text = ";".join(f"{step.weight}:{render(step.hold)}" for step in steps)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def start(
    world: World,
    was: RolloutStatus,
    *,
    stable: str | None,
    why: str = "new template",
    by_hand: bool = False,
    straight: bool = False,
) -> Move:
    """The spec's template is on trial, beside `stable`.

    In all workers at once when it is asked for (`straight`), without `stable` or steps, when `stable` is kept out, and
    when it is a good version that served a short time ago: what is put back in an incident must not wait for a canary.
    A version whose image
    another integration rolled back does not begin at all, but `by_hand`.
    """
    if stable is not None and is_gone(world, stable):
        # Nothing to compare with, nor to go back to.
        why, stable = f"{why}; the template of {stable} is gone, so it goes into all workers", None
    steps = world.spec.rollout.steps
    ago = history.stopped_ago(was, world.target, world.now)
    if ago is not None:
        seconds = timedelta(seconds=int(ago.total_seconds()))
        why = f"back to a good version, which served until {render(seconds)} ago: no canary"
    elif stable is not None and world.image_failed_in is not None and not by_hand:
        return _hold(world, was, stable, world.image_failed_in)
    elif stable is not None and is_kept_out(world, was):
        why, straight = f"{why}; the template of {stable} is refused, so it goes into all workers", True
    straight = straight or stable is None or not steps or ago is not None
    phase = RolloutPhase.PROMOTING if straight else RolloutPhase.CANARY
    rollout = RolloutStatus(
        phase=phase,
        weight=0 if straight else steps[0].weight,
        stable_revision=stable,
        candidate_revision=world.target,
        candidate_image=world.image,
        start_time=world.now,
        waiting_since=world.now,
        steps_hash=steps_hash(steps),
        baseline=_baseline(world, was, stable),
        reason=why,
    )
    what = "Deployed" if stable is None else "RolloutStarted"
    same = was.candidate_revision == world.target and was.stable_revision == stable
    return Move(
        rollout=rollout,
        decisions=(decision(world, "RolloutRestarted" if same else what, why, stable, world.target),),
    )


def _baseline(world: World, was: RolloutStatus, stable: str | None) -> list[GuardBaseline]:
    """What is known of `stable`: seen by now, or recorded when another version was tried beside it.

    Of guards that are still there: a status holds no more than a spec may have.
    """
    if stable is None or stable != was.stable_revision:
        return []
    names = {guard.name for guard, _ in guards_of(world.spec.guards)}
    return [item for item in baseline.joined(was.baseline, world.baseline) if item.guard in names]


def _hold(world: World, was: RolloutStatus, stable: str, failed_in: str) -> Move:
    """The spec's template is not begun."""
    why = (
        f"image {world.image} was rolled back in integration {failed_in}, so {world.target} does not begin by itself; "
        f"set {annotation(Verb.RETRY)} or {annotation(Verb.PROMOTE)} to let it go ahead, or apply another template"
    )
    rollout = RolloutStatus(phase=RolloutPhase.STABLE, stable_revision=stable, held_revision=world.target, reason=why)
    told = was.phase is RolloutPhase.STABLE and was.held_revision == world.target
    return Move(
        rollout=rollout,
        decisions=() if told else (decision(world, "RolloutHeld", why, stable, world.target),),
        look_again=world.now + HELD_AGAIN,
    )


def end_step(world: World, was: RolloutStatus, why: str | None = None) -> Move:
    """The canary's next step, or after the last one its promotion."""
    steps = world.spec.rollout.steps
    step = steps[was.step]
    if was.step + 1 >= len(steps):
        return promote(world, was, why or "all steps are done")
    following = steps[was.step + 1]
    why = why or f"step {was.step + 1} of {len(steps)} held {render(step.hold)} at {step.weight} %"
    return Move(
        rollout=was.model_copy(
            update={
                "step": was.step + 1,
                "weight": following.weight,
                "step_start_time": None,
                "waiting_since": world.now,
                "reason": f"moving to {following.weight} %",
            }
        ),
        decisions=(decision(world, "Advanced", why, f"{step.weight} %", f"{following.weight} %"),),
    )


def promote(world: World, was: RolloutStatus, why: str) -> Move:
    """The candidate goes into all workers; the canary stays until they can take over."""
    return Move(
        rollout=was.model_copy(
            update={
                "phase": RolloutPhase.PROMOTING,
                "step": 0,
                "step_start_time": None,
                "waiting_since": world.now,
                "baseline": _baseline(world, was, was.stable_revision),
                "reason": f"{why}; updating the stable workers",
            }
        ),
        decisions=(decision(world, "Promoted", why, was.stable_revision, was.candidate_revision),),
    )


def bake(world: World, was: RolloutStatus) -> Move:
    """The candidate runs in all workers, and is watched."""
    return Move(
        rollout=was.model_copy(
            update={
                "phase": RolloutPhase.BAKING,
                "weight": 0,
                "step_start_time": world.now,
                "waiting_since": None,
                "failing_since": None,
                "reason": f"watching the new version for {render(world.spec.rollout.bake)}",
            }
        ),
        decisions=(decision(world, "Baking", "the new version runs in all workers", None, was.candidate_revision),),
    )


def settle(world: World, was: RolloutStatus, what: str, why: str, *, stable: str | None = None) -> Move:
    """Nothing is on trial any more; `stable` is trusted, or what was trusted before."""
    left = was.stable_revision if stable is not None else was.candidate_revision or was.failed_revision
    stable = stable or was.stable_revision
    return Move(
        rollout=RolloutStatus(phase=RolloutPhase.STABLE, stable_revision=stable),
        decisions=(decision(world, what, why, left, stable),),
    )


def roll_back(world: World, was: RolloutStatus, why: str) -> Move:
    """The candidate failed. Without an earlier version nothing changes but what is said."""
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
        decisions=(decision(world, "RolledBack", why, was.candidate_revision, was.stable_revision),),
    )


def restored(world: World, was: RolloutStatus) -> Move:
    """The rollback is done."""
    took = (world.now - was.step_start_time).total_seconds() if was.step_start_time is not None else None
    why = "the stable version is back in full" + ("" if took is None else f", {took:.1f} s after the decision")
    return Move(
        rollout=was.model_copy(update={"phase": RolloutPhase.ROLLED_BACK, "step_start_time": None}),
        decisions=(decision(world, "Restored", why, was.failed_revision, was.stable_revision),),
    )


def decision(world: World, what: str, why: str, from_: str | None = None, to: str | None = None) -> Decision:
    """Taken now."""
    return Decision(time=world.now, what=what, why=why[:1000], from_=from_, to=to)
