"""Whether an integration is paused, and what becomes of a SyncPause.

A pause is effective while any matching SyncPause says `paused: true` and has not expired. It wins over everything but
deletion. `Paused` is said only when no worker is left that could start a job.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from crm_operator.api.v1alpha1 import (
    Condition,
    Decision,
    SyncPauseIntegration,
    SyncPausePhase,
    SyncPauseSpec,
    SyncPauseStatus,
    SyncState,
    SyncStatus,
)
from crm_operator.domain.conditions import set_condition
from crm_operator.domain.world import Pause, World


@dataclass(frozen=True, slots=True, kw_only=True)
class Sync:
    """Whether the sync runs, with what was decided on the way."""

    status: SyncStatus
    decisions: tuple[Decision, ...] = ()

    @property
    def paused(self) -> bool:
        """Workers must be at 0."""
        return self.status.state is not SyncState.RUNNING


def sync(world: World) -> Sync:
    """The next sync state of one integration."""
    was = world.status.sync
    names = sorted(pause.name for pause in world.pauses)[:100]
    if not world.pauses:
        if was is None or was.state is SyncState.RUNNING:
            return Sync(status=was or SyncStatus(state=SyncState.RUNNING, since_time=world.now))
        held = (world.now - was.since_time).total_seconds()
        why = f"no SyncPause holds it any more, after {held:.0f} s"
        return Sync(
            status=SyncStatus(state=SyncState.RUNNING, since_time=world.now),
            decisions=(Decision(time=world.now, what="Resumed", why=why),),
        )
    decisions: tuple[Decision, ...] = ()
    if was is None or was.state is SyncState.RUNNING:
        was = SyncStatus(state=SyncState.PAUSING, since_time=world.now)
        decisions = (Decision(time=world.now, what="Pausing", why=reasons(world.pauses)),)
    if was.state is SyncState.PAUSING and _stopped(world):
        took = (world.now - was.since_time).total_seconds()
        why = f"the last worker ended {took:.1f} s after the pause"
        decisions += (Decision(time=world.now, what="Paused", why=why),)
        was = SyncStatus(state=SyncState.PAUSED, since_time=world.now, took_seconds=round(took, 3))
    elif was.state is SyncState.PAUSED and not _stopped(world):
        # Somebody scaled the workers by hand: not paused any more, and the plan puts it right.
        was = SyncStatus(state=SyncState.PAUSING, since_time=world.now)
        decisions += (Decision(time=world.now, what="Pausing", why="workers were found running during the pause"),)
    return Sync(status=was.model_copy(update={"pauses": names}), decisions=decisions)


def reasons(pauses: Sequence[Pause]) -> str:
    """`hubspot (INC-42), all (audit)`"""
    return ", ".join(f"{pause.name} ({pause.reason})" for pause in sorted(pauses, key=lambda p: p.name))[:900]


def next_expiry(world: World) -> datetime | None:
    """When the next pause ends by itself."""
    return min((pause.expires for pause in world.pauses if pause.expires is not None), default=None)


def _stopped(world: World) -> bool:
    """No pod is left, not even one that drains, and none can come back."""
    return all(
        workload.replicas == 0 and workload.observed and workload.total == 0 and not workload.pods
        for workload in (world.stable, world.canary)
        if workload is not None
    )


# --- the SyncPause itself --------------------------------------------------------------------------------------------


def matches(spec: SyncPauseSpec, *, provider: str, integration: str) -> bool:
    """Whether the pause names this integration (of its own namespace)."""
    if spec.integrations is not None:
        return integration in spec.integrations
    return not spec.providers or provider in spec.providers


def effective(name: str, spec: SyncPauseSpec, status: SyncPauseStatus, now: datetime) -> Pause | None:
    """The pause as it holds now, if it does. Expiry counts from when the operator first saw it."""
    if not spec.paused:
        return None
    since = status.effective_time or now
    expires = None if spec.expires_after is None else since + spec.expires_after
    if expires is not None and now >= expires:
        return None
    return Pause(name=name, reason=spec.reason, since=since, expires=expires)


def pause_status(
    name: str,
    spec: SyncPauseSpec,
    was: SyncPauseStatus,
    *,
    generation: int,
    syncs: dict[str, SyncStatus | None],  # the recorded sync of each matching integration, by name
    now: datetime,
) -> SyncPauseStatus:
    """The status of a SyncPause, from what its integrations say of themselves."""
    first_seen = was.effective_time if spec.paused else None
    if spec.paused and first_seen is None:
        first_seen = now
    seen = was.model_copy(update={"effective_time": first_seen})
    pause = effective(name, spec, seen, now)
    before = {item.name: item for item in was.integrations}
    items = []
    for integration, state in sorted(syncs.items()):
        phase = _phase_of(name, spec, pause, state)
        old = before.get(integration)
        since = old.since_time if old is not None and old.state is phase else now
        items.append(SyncPauseIntegration(name=integration, state=phase, since_time=since))
    phase = _overall(spec, pause, items)
    message = _message(spec, phase, items, syncs)
    conditions = set_condition(
        was.conditions,
        Condition(
            type="Paused",
            status="True" if phase is SyncPausePhase.PAUSED else "False",
            observed_generation=generation,
            last_transition_time=now,
            reason=phase.value,
            message=message,
        ),
    )
    ready = phase is not SyncPausePhase.PAUSING
    conditions = set_condition(
        conditions,
        Condition(
            type="Ready",
            status="True" if ready else "False",
            observed_generation=generation,
            last_transition_time=now,
            reason=phase.value,
            message=message,
        ),
    )
    return SyncPauseStatus(
        observed_generation=generation,
        phase=phase,
        message=message,
        effective_time=first_seen,
        integrations=items[:100],
        conditions=conditions,
    )


def _phase_of(name: str, spec: SyncPauseSpec, pause: Pause | None, state: SyncStatus | None) -> SyncPausePhase:
    if pause is None:
        return SyncPausePhase.EXPIRED if spec.paused else SyncPausePhase.RELEASED
    # Paused because of another SyncPause is not enough: until the integration lists this one, lifting the other
    # could still start workers.
    if state is not None and state.state is SyncState.PAUSED and name in state.pauses:
        return SyncPausePhase.PAUSED
    return SyncPausePhase.PAUSING


def _overall(spec: SyncPauseSpec, pause: Pause | None, items: Sequence[SyncPauseIntegration]) -> SyncPausePhase:
    if pause is None:
        return SyncPausePhase.EXPIRED if spec.paused else SyncPausePhase.RELEASED
    if any(item.state is SyncPausePhase.PAUSING for item in items):
        return SyncPausePhase.PAUSING
    return SyncPausePhase.PAUSED


def _message(
    spec: SyncPauseSpec,
    phase: SyncPausePhase,
    items: Sequence[SyncPauseIntegration],
    syncs: dict[str, SyncStatus | None],
) -> str:
    if not items:
        asked = ", ".join(spec.integrations or spec.providers or ["this namespace"])
        return f"no CrmIntegration here matches {asked}; nothing to pause"[:1000]
    count = f"{len(items)} integration{'' if len(items) == 1 else 's'}"
    match phase:
        case SyncPausePhase.PAUSED:
            took = [s.took_seconds for s in syncs.values() if s is not None and s.took_seconds is not None]
            slowest = f"; the last worker ended {max(took):.1f} s after its pause" if took else ""
            return f"{count} paused{slowest}"
        case SyncPausePhase.PAUSING:
            running = ", ".join(item.name for item in items if item.state is SyncPausePhase.PAUSING)
            return f"workers of {running} are still draining"[:1000]
        case SyncPausePhase.RELEASED:
            return f"lifted; {count} may run"
        case SyncPausePhase.EXPIRED:
            return f"expired (spec.expiresAfter); {count} may run"
