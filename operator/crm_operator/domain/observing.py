"""`mode: Observe`: everything is judged, and nothing but the status is written.

The recorded rollout, pause and automatic pause stay as they are, since nothing would follow on a change; the rollout's
clocks stop, so that going back to Enforce finds no step, bake or deadline that is long over. What would be decided is
told under names of its own (`WouldScale`), each once. decide calls `unwritten` and `told`; report lets `phase`,
`message` and `conditions` speak.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace

from crm_operator.api.v1alpha1 import Condition, Decision, Mode, Phase, SyncState, SyncStatus
from crm_operator.domain import health, rollout
from crm_operator.domain.health import Findings, Says
from crm_operator.domain.pause import Sync, reasons
from crm_operator.domain.respond import Response
from crm_operator.domain.world import World

#: What a decision is called that is not carried out. What is not listed is an observation, and keeps its name.
WOULD = {
    "Scaled": "WouldScale",
    "Deployed": "WouldDeploy",
    "RolloutStarted": "WouldStartRollout",
    "RolloutRestarted": "WouldStartRollout",
    "RolloutHeld": "WouldHoldRollout",
    "Advanced": "WouldAdvance",
    "Promoted": "WouldPromote",
    "Baking": "WouldBake",
    "Completed": "WouldComplete",
    "Abandoned": "WouldAbandon",
    "Reverted": "WouldRevert",
    "RolledBack": "WouldRollBack",
    "Restored": "WouldRestore",
    "Pausing": "WouldPause",
    "Paused": "WouldPause",
    "Resumed": "WouldResume",
    "PauseRequested": "WouldRequestPause",
}
#: They follow on a record of an automatic pause, which does not move here.
_MOOT = frozenset({"PauseLifted", "PauseWithdrawn"})

_IDLE = "mode is Observe, nothing is written"


def is_on(world: World) -> bool:
    """Whether nothing may be written but the status."""
    return world.spec.mode is Mode.OBSERVE


def unwritten(found: Findings) -> Findings:
    """What was judged, with all that is recorded left as it is."""
    world = found.world
    was = world.status
    return replace(
        found,
        move=replace(found.move, rollout=rollout.unmoved(world)),
        sync=Sync(status=was.sync or SyncStatus(state=SyncState.RUNNING, since_time=world.now)),
        response=Response(
            pause=was.automatic_pause,
            answers={guard.name: guard.answer for guard in was.guards if guard.answer is not None},
        ),
    )


def told(world: World, decisions: Iterable[Decision]) -> Iterator[Decision]:
    """The decisions under the names of what is not carried out, but those that were told last time already."""
    for decision in decisions:
        if decision.what in _MOOT:
            continue
        if decision.what not in WOULD:
            yield decision
            continue
        name = WOULD[decision.what]
        last = next((item for item in reversed(world.status.decisions) if item.what == name), None)
        if last is None or (last.from_, last.to) != (decision.from_, decision.to):
            yield decision.model_copy(update={"what": name})


def phase(found: Findings) -> Phase:
    """Of what can be seen; nothing of ours is on its way."""
    return Phase.HEALTHY if health.trouble(found) is None else Phase.DEGRADED


def message(found: Findings) -> str:
    """What would be done, in one sentence."""
    if (bad := health.trouble(found)) is not None:
        return bad.message[:1000]
    would = [f"{WOULD[item.what]}: {item.why}" for item in found.move.decisions if item.what in WOULD]
    size = [f"it would run {found.allocation.desired} workers: {found.size.why}"]
    return "; ".join([_IDLE, *would, *(_would_pause(found) or size)])[:1000]


def conditions(found: Findings) -> list[Condition]:
    """As ever, but for those that speak of what the operator does."""
    bad = health.trouble(found)
    return health.conditions(
        found,
        instead={
            "Ready": bad or Says("True", "Observing", message(found)),
            "Reconciling": Says("False", "Observing", _IDLE),
            "Stalled": health.stalled_by(bad) or Says("False", "Observing", _IDLE),
            "Paused": Says("False", "Observing", "; ".join([_IDLE, *_would_pause(found)])),
            "RolledBack": Says("False", "Observing", _IDLE),
        },
    )


def _would_pause(found: Findings) -> list[str]:
    pauses = found.world.pauses
    return [f"its workers would be stopped for {reasons(pauses)}"] if pauses else []
