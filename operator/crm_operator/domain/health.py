"""What the operator says of an integration: one function per condition, all of them on every pass, then one phase.

Success is never a default: the phase derives from the conditions, and they from the world.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from crm_operator.api.duration import render
from crm_operator.api.names import annotation
from crm_operator.api.v1alpha1 import (
    AutomaticPauseState,
    Condition,
    GuardState,
    Phase,
    RolloutPhase,
    RolloutStatus,
    SyncState,
    Verb,
)
from crm_operator.domain import conflict, grace, scale_in, step_back
from crm_operator.domain.allocation import Allocation
from crm_operator.domain.conditions import set_condition, transition_time
from crm_operator.domain.pause import Sync, reasons
from crm_operator.domain.respond import Response, how_to_lift
from crm_operator.domain.rollout import Move, blocked, queued, verbs
from crm_operator.domain.rollout.objections import says as says_of
from crm_operator.domain.scaling import Size
from crm_operator.domain.step_back import StepBack
from crm_operator.domain.verdict import Verdict
from crm_operator.domain.world import STARTING, OwnPause, TemplateRefused, Unknown, Workload, World

_Status = Literal["True", "False", "Unknown"]
_MOVING = (RolloutPhase.CANARY, RolloutPhase.PROMOTING, RolloutPhase.BAKING, RolloutPhase.ROLLING_BACK)
#: Of the condition Scaled: fewer workers than the load asks for, slower than the objective, or somebody else's size.
_SHORT = ("AtMaximum", "RateLimited", "SLOBreached", conflict.REASON, step_back.REASON)
#: Trouble that only a person ends.
_STALLS = ("InvalidTemplate", "ImageFailedElsewhere", "ProgressDeadlineExceeded")
#: Between what `Ready` is about and a refused write that it is not about.
_ALSO = "; also, "
_LONGEST = 1000  # characters of a condition's message
_ROLLED_BACK = (RolloutPhase.ROLLING_BACK, RolloutPhase.ROLLED_BACK)


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """What a pass has decided, for the conditions to speak of."""

    world: World
    move: Move
    sync: Sync
    size: Size
    allocation: Allocation
    verdicts: Sequence[Verdict]
    response: Response
    step_back: StepBack

    @property
    def rollout(self) -> RolloutStatus:
        """The rollout's next state."""
        return self.move.rollout


@dataclass(frozen=True, slots=True)
class Says:
    """A condition without its bookkeeping."""

    status: _Status
    reason: str
    message: str


def conditions(found: Findings, *, instead: Mapping[str, Says] | None = None) -> list[Condition]:
    """All conditions, in the order that users read them; `instead` says some of them in other words."""
    result = list(found.world.status.conditions)
    for type_, says in (
        ("Ready", ready(found)),
        ("Reconciling", reconciling(found)),
        ("Stalled", stalled(found)),
        ("QueueReachable", queue_reachable(found)),
        ("MetricsAvailable", metrics_available(found)),
        ("Scaled", scaled(found)),
        ("Paused", paused(found)),
        ("RolledBack", rolled_back(found)),
        ("VerbsAccepted", verbs_accepted(found)),
    ):
        says = (instead or {}).get(type_, says)
        result = set_condition(
            result,
            Condition(
                type=type_,
                status=says.status,
                observed_generation=found.world.generation,
                last_transition_time=transition_time(result, type_, says.status, found.world.now),
                reason=says.reason,
                message=says.message[:_LONGEST],
            ),
        )
    return result


def phase(found: Findings) -> Phase:
    """One word: a pause first, since nothing else matters then; trouble before progress."""
    if found.sync.paused:
        return Phase.PAUSED
    if found.rollout.phase in _ROLLED_BACK:
        return Phase.ROLLED_BACK
    if trouble(found) is not None:
        return Phase.DEGRADED
    if found.rollout.phase in _MOVING or queued.comes_next(found.world, found.rollout) is not None:
        return Phase.PROGRESSING
    return Phase.HEALTHY if _first(found, GuardState.WARNING) is None else Phase.DEGRADED


def message(found: Findings) -> str:
    """One sentence with numbers, for the on-call engineer."""
    rollout = found.rollout
    if found.sync.paused or rollout.phase in _ROLLED_BACK or trouble(found) is not None:
        return ready(found).message[:_LONGEST]
    now = f"{_ready(found)} of {found.allocation.desired} workers Ready; {found.size.why}"
    if rollout.phase in _MOVING:
        now = f"{rollout.phase.value} {rollout.candidate_revision}: {rollout.reason}; {now}"
    # In Canary and Baking the rollout's own reason names the guard that holds it.
    if rollout.phase not in (RolloutPhase.CANARY, RolloutPhase.BAKING):
        worry = _first(found, GuardState.WARNING) or _first(found, GuardState.UNKNOWN)
        now = now if worry is None else f"{says_of(worry)}; {now}"
    return now[:_LONGEST]


def trouble(found: Findings) -> Says | None:
    """The worst thing that somebody should look at, if there is one."""
    world = found.world
    if isinstance(world.template, TemplateRefused):
        return Says(
            "False",
            "InvalidTemplate",
            f"spec.workers.template was refused and is not used; correct it. The API server: {world.template.message}",
        )
    if isinstance(world.template, Unknown):
        return Says("False", world.template.reason, f"spec.workers.template is not used yet: {world.template.why}")
    if world.refused is not None:
        return Says("False", world.refused.reason, world.refused.why)
    if found.rollout.held_revision is not None:
        return Says("False", "ImageFailedElsewhere", found.rollout.reason or "")
    if _overdue(found):
        limit = render(world.spec.rollout.progress_deadline)
        return Says(
            "False",
            "ProgressDeadlineExceeded",
            f"no progress in {limit}, and no earlier version to go back to: {found.rollout.reason}",
        )
    critical = _first(found, GuardState.CRITICAL)
    if critical is not None:
        return Says(
            "False", "GuardCritical", f"guard {critical.name} is Critical: {critical.message}{_unpaused(found)}"
        )
    return None


def _first(found: Findings, state: GuardState) -> Verdict | None:
    return next((verdict for verdict in found.verdicts if verdict.state is state), None)


def _unpaused(found: Findings) -> str:
    """Why the workers run on although a guard asked for a pause."""
    pause = found.response.pause
    if pause is None:
        return ""
    if found.world.own_pause is OwnPause.FOREIGN and pause.state is AutomaticPauseState.REQUESTED:
        return f"; SyncPause {pause.name} exists and is not this integration's, so the operator cannot pause: delete it"
    if pause.state is AutomaticPauseState.LIFTED:
        return f"; SyncPause {pause.name} was lifted, so it is not paused again before the guard was clear"
    return ""


def ready(found: Findings) -> Says:
    """The summary: the workers serve as they should. True in a canary, while the stable version serves.

    A refused write is told of beside what matters more: a pause, a rollback, a template that is refused.
    """
    says, refused = _summary(found), found.world.refused
    if refused is None or refused.why in says.message:
        return says
    beside = f"{_ALSO}{refused.why}"
    return replace(says, message=f"{says.message[: max(0, _LONGEST - len(beside))]}{beside}")


def _summary(found: Findings) -> Says:
    if found.sync.paused:
        return Says("False", "Paused", paused(found).message)
    if found.rollout.phase in _ROLLED_BACK:
        return replace(_blocked_or_rolled_back(found), status="False")
    if (bad := trouble(found)) is not None:
        return bad
    desired, up = found.allocation.desired, _ready(found)
    if found.rollout.stable_revision is None:
        return Says("False", "Deploying", f"first deployment: {found.rollout.reason}")
    if desired > 0 and up == 0 and (stuck := _stuck(found)) is not None:
        return Says("False", "NoWorkerReady", f"none of {desired} workers is Ready: {stuck}")
    workers = f"{up} of {desired} workers Ready"
    too_short = grace.warning(found.world.spec.workers.template)
    if too_short is not None:
        workers += f"; {too_short}"
    return Says("True", "Serving" if up >= desired else "Starting", workers)


def reconciling(found: Findings) -> Says:
    """Abnormal-true, as kstatus reads it: something is on its way and will end by itself."""
    rollout = found.rollout
    if found.sync.status.state is SyncState.PAUSING:
        return Says("True", "Pausing", paused(found).message)
    if blocked.why(found.world, rollout) is not None:
        return Says("False", blocked.REASON, "the rollback does not end by itself; see RolledBack")
    if rollout.phase in _MOVING and not _overdue(found) and not isinstance(found.world.template, TemplateRefused):
        # A reason of its own: a version that does not start is said at once, not with the next live numbers.
        reason = rollout.phase.value if _stuck(found) is None else "WorkersNotStarting"
        return Says("True", reason, f"{rollout.phase.value}: {rollout.reason}")
    if (coming := queued.comes_next(found.world, rollout)) is not None:
        return Says("True", "Queued", coming)
    return Says("False", "Settled", "nothing is on its way")


def stalled(found: Findings) -> Says:
    """Abnormal-true: nothing more will happen until somebody changes something. Pipelines fail on it."""
    if found.rollout.phase in _ROLLED_BACK:
        return _blocked_or_rolled_back(found)
    return stalled_by(trouble(found)) or Says("False", "Settled", "nothing needs somebody to act")


def stalled_by(bad: Says | None) -> Says | None:
    """Stalled, if this trouble is one that only a person ends."""
    return None if bad is None or bad.reason not in _STALLS else replace(bad, status="True")


def queue_reachable(found: Findings) -> Says:
    match found.world.queue.latest:
        case Unknown(why, reason):
            return Says("Unknown" if reason == STARTING else "False", reason, why)
        case reading:
            message = f"{len(found.world.spec.queue.names)} queue(s) read; {reading.backlog} jobs to do"
            if reading.orphaned:
                held = "1 job is" if reading.orphaned == 1 else f"{reading.orphaned} jobs are"
                message += (
                    f"; {held} held by workers that died; a running worker takes them back after its heartbeat timeout"
                )
            return Says("True", "Read", message)


def metrics_available(found: Findings) -> Says:
    metrics = found.world.spec.metrics
    read = [f"workers are read on port {metrics.pods.port}{metrics.pods.path}"] if metrics.pods is not None else []
    read += ["the backend is read"] if metrics.backend is not None else []
    read += ["Prometheus is read"] if metrics.prometheus is not None else []
    if not read:
        return Says("True", "NotConfigured", "spec.metrics is not set; guards on workers' metrics are Inactive")
    if found.world.metrics is not None:
        return Says("False", found.world.metrics.reason, found.world.metrics.why)
    return Says("True", "Read", "; ".join(read))


def scaled(found: Findings) -> Says:
    if found.sync.paused:
        return Says("True", "Paused", "0 workers while paused")
    status: _Status = "Unknown" if not found.size.known else "False" if found.size.reason in _SHORT else "True"
    return Says(status, found.size.reason, found.size.why + scale_in.complaint(found.world))


def paused(found: Findings) -> Says:
    sync = found.sync.status
    why = reasons(found.world.pauses)
    match sync.state:
        case SyncState.PAUSED:
            took = (
                ""
                if sync.took_seconds is None
                else f"; the last worker ended {sync.took_seconds:.1f} s after the pause"
            )
            return Says("True", "Paused", f"paused by {why}{took}{_until_lifted(found)}")
        case SyncState.PAUSING:
            left = len(_pods(found.world.stable)) + len(_pods(found.world.canary))
            return Says("False", "Pausing", f"pausing for {why}: {left} workers still drain")
        case SyncState.RUNNING:
            return Says("False", "Running", "no SyncPause holds this integration")


def _until_lifted(found: Findings) -> str:
    """What comes next: an automatic pause does not end by itself."""
    pause = found.response.pause
    if pause is None or pause.state is not AutomaticPauseState.HOLDING:
        return ""
    return f"; no guard can tell when it is over, lift it with {how_to_lift(found.world.namespace, pause.name)}"


def rolled_back(found: Findings) -> Says:
    rollout = found.rollout
    if rollout.phase not in _ROLLED_BACK:
        return Says("False", "NotRolledBack", "the last rollout was not rolled back")
    told = f"{rollout.failed_revision} was rolled back to {rollout.stable_revision}: {rollout.reason}."
    if (why := blocked.why(found.world, rollout)) is not None:
        return Says("True", blocked.REASON, f"the rollback does not get through: {why}. {told}")
    return Says(
        "True",
        "RolledBack" if rollout.phase is RolloutPhase.ROLLED_BACK else "RollingBack",
        f"{told} It is not tried again until spec.workers.template changes or {annotation(Verb.RETRY)} is set",
    )


def _blocked_or_rolled_back(found: Findings) -> Says:
    says = rolled_back(found)
    return says if says.reason == blocked.REASON else replace(says, reason="RolledBack")


def verbs_accepted(found: Findings) -> Says:
    faults = list(verbs.faults(found.world))
    if faults:
        return Says("False", "InvalidValue", "; ".join(faults))
    if not found.world.verbs:
        return Says("True", "NothingAsked", "no annotation asks anything of the rollout")
    return Says("True", "Accepted", "the annotations can be understood; status.verbs says what became of them")


def _overdue(found: Findings) -> bool:
    rollout = found.rollout
    if rollout.stable_revision is not None or rollout.waiting_since is None:
        return False
    return bool(found.world.now >= rollout.waiting_since + found.world.spec.rollout.progress_deadline)


def _ready(found: Findings) -> int:
    return sum(workload.ready for workload in (found.world.stable, found.world.canary) if workload is not None)


def _pods(workload: Workload | None) -> Sequence[object]:
    return workload.pods if workload is not None else ()


def _stuck(found: Findings) -> str | None:
    """Why a worker does not start, in the kubelet's words."""
    for workload in (found.world.stable, found.world.canary):
        for pod in workload.pods if workload is not None else ():
            if pod.waiting_reason and not pod.terminating:
                return f"{pod.name}: {pod.waiting_reason}" + (
                    f" ({pod.waiting_message})" if pod.waiting_message else ""
                )
    return None
