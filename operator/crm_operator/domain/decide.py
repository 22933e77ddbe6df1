"""World in, Plan out: the whole product's judgement in one pure function.

Order of a plan: what a crash must find recorded, then what stops damage, then what restores, then what cleans up.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from crm_operator.api.v1alpha1 import (
    Condition,
    CrmIntegrationStatus,
    Decision,
    GuardState,
    GuardStatus,
    RolloutPhase,
)
from crm_operator.domain import (
    breaches,
    conflict,
    guards,
    idle,
    observing,
    pause,
    rate_limit,
    report,
    rollout,
    scale_in,
    scaling,
    step_back,
)
from crm_operator.domain.allocation import allocate
from crm_operator.domain.blame import BLAMED
from crm_operator.domain.events import event_of
from crm_operator.domain.health import Findings
from crm_operator.domain.next_step import explained
from crm_operator.domain.plan import Action, CountDecision, Plan, RecordRevision, WriteStatus
from crm_operator.domain.respond import respond
from crm_operator.domain.rollout import blocked
from crm_operator.domain.scaling import Size
from crm_operator.domain.verdict import Verdict
from crm_operator.domain.workload_actions import holds_of, workload_actions
from crm_operator.domain.world import RefusedWrite, TemplateRefused, World

#: The shortest time after which to look again; nothing here needs a finer clock.
SOONEST = timedelta(milliseconds=100)
#: While a guard objects it is judged again at least this often.
GUARDS_AGAIN = timedelta(seconds=2)
#: Nobody tells of the backlogs of those who share the rate limit.
SHARES_AGAIN = timedelta(seconds=5)


#: The decisions that another number of workers is wanted, and (an observation) that a write was refused.
SCALED, REFUSED = "Scaled", "WriteRefused"


def decide(world: World) -> Plan:
    """What to do now, and when to look again. Total: every world has a plan, and the same world the same plan."""
    built_in = idle.judge(world)
    verdicts = guards.evaluate(world) + (() if built_in is None else (built_in,))
    sync = pause.sync(world)
    move = rollout.advance(world, verdicts)
    back = step_back.step_back(world, verdicts)
    response = respond(world, verdicts, move.rollout, back)
    size = step_back.limited(world, conflict.yielded_size(world, scaling.size(world)), back)
    allocation = allocate(world, move.rollout, total=size.replicas, paused=sync.paused)
    allocation = conflict.yielded(world, allocation, paused=sync.paused)
    found = Findings(
        world=world,
        move=move,
        sync=sync,
        size=size,
        allocation=allocation,
        verdicts=verdicts,
        response=response,
        step_back=back,
    )
    if observing.is_on(world):
        found = observing.unwritten(found)
    draft = report.status_of(found)
    noticed = _noticed(world, draft)
    assert draft.next is not None, "something always comes next"
    made = [
        *sync.decisions,
        *noticed,
        *move.decisions,
        *back.decisions,
        *response.decisions,
        *_scaled(world, size, paused=sync.paused),
    ]
    if observing.is_on(world):
        made = list(observing.told(world, made))
    decisions = [explained(decision, verdicts, draft.next) for decision in made]
    status = report.with_decisions(draft, decisions)
    why = report.worth_writing(world.status, status, world.now)
    written = [] if why is None else [WriteStatus(status=status, can_wait=why == report.LIVE_NUMBERS, why=why)]
    # A bad version or a pause waits for nothing, and what is only observed does not shrink.
    stops_damage = sync.paused or move.rollout.phase is RolloutPhase.ROLLING_BACK
    hurry = stops_damage or observing.is_on(world)
    holds = {} if hurry else dict(holds_of(world, allocation))
    if observing.is_on(world):
        actions: list[Action] = [*written, *(CountDecision(what=decision.what) for decision in decisions)]
    else:
        actions = [
            *_recorded(world, status),
            *written,
            *([] if response.create is None else [response.create]),
            *workload_actions(
                world, allocation, holds, stops_damage=stops_damage, why=_why(move.rollout.reason, size.why)
            ),
            *(event_of(decision) for decision in decisions),
        ]
    # Once more when none is held any longer, so that the workers are read at their own pace again.
    chooses = bool(holds) or world.shrink.since is not None
    looks = (
        move.look_again,
        response.look_again,
        idle.look_again(world),
        breaches.look_again(world),
        back.until(world.now),
        world.now if chooses else None,
        guards.look_for_blame(verdicts, world.now),
    )
    again = _requeue(world, status, verdicts, *looks, written=why)
    return Plan(
        actions=tuple(actions),
        requeue_after=again,
        holds=bool(holds),
        saves=not hurry and status.rollout is not None and _only_saves(world, size, made, status.rollout.phase),
        status=status,
    )


def _only_saves(world: World, size: Size, made: Sequence[Decision], phase: RolloutPhase) -> bool:
    """Nothing was decided but that fewer workers will do: not for a rate limit, and with no version on trial."""
    was = world.status.workers
    fewer = was is not None and size.replicas < was.desired and [decision.what for decision in made] == [SCALED]
    return fewer and phase is RolloutPhase.STABLE and size.reason == "AtTarget"


def _recorded(world: World, status: CrmIntegrationStatus) -> Iterator[RecordRevision]:
    if world.template is not None or world.target in world.known_revisions:
        return
    moving = status.rollout
    named = (moving.stable_revision, moving.candidate_revision, moving.failed_revision) if moving is not None else ()
    yield RecordRevision(
        revision=world.target,
        keep=frozenset(revision for revision in (*named, world.target) if revision is not None),
        why="so that a rollback finds this template",
    )


def _scaled(world: World, size: Size, *, paused: bool) -> Iterator[Decision]:
    was = world.status.workers
    now = 0 if paused else size.replicas
    if was is not None and was.desired != now and not paused and size.reason != conflict.REASON:
        yield Decision(time=world.now, what=SCALED, why=size.why, from_=str(was.desired), to=str(now))


def _noticed(world: World, draft: CrmIntegrationStatus) -> Iterator[Decision]:
    """Changes of state worth telling: a guard that objects, the queue was lost or is back, a write was refused."""
    yield from _worsened(world, draft)
    old = {condition.type: condition for condition in world.status.conditions}
    new = {condition.type: condition for condition in draft.conditions}
    if _turned(old, new, "QueueReachable", "False"):
        yield Decision(time=world.now, what="QueueLost", why=new["QueueReachable"].message)
    elif (
        _turned(old, new, "QueueReachable", "True")
        and "QueueReachable" in old
        and old["QueueReachable"].status == "False"
    ):
        yield Decision(time=world.now, what="QueueRead", why=new["QueueReachable"].message)
    scaled, was_scaled = new["Scaled"], old.get("Scaled")
    if scaled.reason == conflict.REASON and (was_scaled is None or was_scaled.reason != conflict.REASON):
        yield Decision(time=world.now, what=conflict.REASON, why=scaled.message)
    back, was_back = new["RolledBack"], old.get("RolledBack")
    if back.reason == blocked.REASON and (was_back is None or was_back.reason != blocked.REASON):
        yield Decision(time=world.now, what=blocked.REASON, why=back.message)
    if scale_in.REFUSED in scaled.message and (was_scaled is None or scale_in.REFUSED not in was_scaled.message):
        yield Decision(time=world.now, what="DeletionCostRefused", why=scaled.message)
    ready, was_ready = new["Ready"], old.get("Ready")
    template, refused = world.template, world.refused
    if isinstance(template, TemplateRefused) and _is_news(ready, was_ready, "InvalidTemplate"):
        yield Decision(time=world.now, what="TemplateRefused", why=ready.message)
    if refused is not None and not blocked.by_refusal(world, draft.rollout) and not _is_told(world, refused):
        yield Decision(time=world.now, what=REFUSED, why=refused.why[:1000])


def _worsened(world: World, draft: CrmIntegrationStatus) -> Iterator[Decision]:
    """Guards that turned Critical, or Warning from something better."""
    before: dict[str, GuardStatus] = {was.name: was for was in world.status.guards}
    for guard in draft.guards:
        was = before.get(guard.name)
        state = None if was is None else was.state
        if guard.state is GuardState.CRITICAL and state is not GuardState.CRITICAL:
            blame = "" if guard.blame is None else f"; {BLAMED[guard.blame]}"
            yield Decision(time=world.now, what="GuardCritical", why=f"{guard.name}: {guard.message}{blame}"[:1000])
        elif guard.state is GuardState.WARNING and state not in (GuardState.WARNING, GuardState.CRITICAL):
            yield Decision(time=world.now, what="GuardWarning", why=f"{guard.name}: {guard.message}"[:1000])


def _is_news(now: Condition, was: Condition | None, reason: str) -> bool:
    """Whether a condition has this reason, and did not have it of this spec before."""
    before = was is not None and was.observed_generation == now.observed_generation and was.reason == reason
    return now.reason == reason and not before


def _is_told(world: World, refused: RefusedWrite) -> bool:
    """Whether a decision tells of it; only after ten others have pushed it out of status it is told once more."""
    return any(told.what == REFUSED and told.time >= refused.since for told in world.status.decisions)


def _turned(old: dict[str, Condition], new: dict[str, Condition], type_: str, status: str) -> bool:
    return new[type_].status == status and (type_ not in old or old[type_].status != status)


def _why(rollout_reason: str | None, size_why: str) -> str:
    return f"{rollout_reason}; {size_why}" if rollout_reason else size_why


def _requeue(
    world: World,
    status: CrmIntegrationStatus,
    verdicts: Sequence[Verdict],
    *looks: datetime | None,
    written: str | None,
) -> timedelta | None:
    times = [
        *looks,
        world.load.look_again,
        rate_limit.look_again(rate_limit.throttle(world)),
        pause.next_expiry(world),
    ]
    quiet = (GuardState.OK, GuardState.INACTIVE)
    if any(verdict.state not in quiet and not verdict.needs_news for verdict in verdicts):
        # What leaves a guard's window is no news from any source.
        times.append(world.now + GUARDS_AGAIN)
    limit = world.spec.scaling.rate_limit
    if limit is not None and limit.account is not None:
        # Whether others share it or not: one may come, or its pause may end.
        times.append(world.now + SHARES_AGAIN)
    if written is None and report.live_pending(world.status, status):
        times.append(report.live_due(world.status, world.now))
    if isinstance(world.template, TemplateRefused):
        times.append(world.template.retry_at)
    if world.queue.good_since is not None:
        # A size held only because the readings are young is looked at again when they are old enough.
        covered = world.queue.good_since + world.spec.scaling.scale_down_after
        times.append(covered if covered > world.now else None)
    ahead = [max(time - world.now, SOONEST) for time in times if time is not None]
    return min(ahead, default=None)
