"""What may speak against ending a step of a canary: a list of small named questions, asked in order.

Each sees the same input and answers with an objection or None; the first objection is shown to the user as the
rollout's reason. Later questions may rely on earlier ones. phases.py asks.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from crm_operator.api.v1alpha1 import MetricOrigin, RolloutStatus
from crm_operator.domain.blame import BLAMED
from crm_operator.domain.verdict import Verdict
from crm_operator.domain.world import JobsDone, Pod, Unknown, Workload, World

#: minJobs when it is not given and the workers' metrics are there to count them.
DEFAULT_MIN_JOBS = 20

#: Of the new version's Ready workers, the share that a guard must have read to let a step or the bake end. Not all: of
#: many workers, one is always just starting or hanging.
READ_SHARE = 0.9


@dataclass(frozen=True, slots=True)
class Objection:
    """Why a step cannot end yet, and when that may change by itself."""

    why: str
    until: datetime | None = None


def min_jobs(world: World) -> int:
    """Jobs that a canary must have finished before a step counts."""
    asked = world.spec.rollout.min_jobs
    if asked is not None:
        return asked
    return DEFAULT_MIN_JOBS if world.spec.metrics.pods is not None else 0


Check = Callable[[World, RolloutStatus, Sequence[Verdict]], Objection | None]


def _template_is_good(world: World, now: RolloutStatus, verdicts: Sequence[Verdict]) -> Objection | None:
    stable = world.stable
    if stable is None or stable.revision != now.stable_revision:
        return Objection("the stable workers are not at the stable version yet")
    return None


def _canary_is_ready(world: World, now: RolloutStatus, verdicts: Sequence[Verdict]) -> Objection | None:
    if now.waiting_since is None:
        return None
    return Objection(rolling(world.canary))


def _hold_is_over(world: World, now: RolloutStatus, verdicts: Sequence[Verdict]) -> Objection | None:
    ends = (now.step_start_time or world.now) + world.spec.rollout.steps[now.step].hold
    if world.now >= ends:
        return None
    return Objection(f"holding at {now.weight} % until {ends:%H:%M:%S}", until=ends)


def _enough_jobs(world: World, now: RolloutStatus, verdicts: Sequence[Verdict]) -> Objection | None:
    want = min_jobs(world)
    if want == 0:
        return None
    match world.jobs_done.get(now.candidate_revision or "", Unknown("the new version's workers were not read yet")):
        case Unknown(why):
            return Objection(f"the new version's jobs cannot be counted: {why}")
        case JobsDone(count=count) if count < want:
            return Objection(f"the new version has done {count} of {want} jobs (rollout.minJobs)")
        case JobsDone():
            return None


def _guards_agree(world: World, now: RolloutStatus, verdicts: Sequence[Verdict]) -> Objection | None:
    objecting = next((verdict for verdict in verdicts if verdict.objects), None)
    return None if objecting is None else Objection(says(objecting))


def _enough_pods_read(world: World, now: RolloutStatus, verdicts: Sequence[Verdict]) -> Objection | None:
    return unseen(world.canary, verdicts)


MAY_ADVANCE: tuple[Check, ...] = (
    _template_is_good,  # else the canary is compared with the wrong version
    _canary_is_ready,  # judging pods that cannot work would blame the wrong thing
    _hold_is_over,  # counted from when the step's pods were Ready
    _enough_jobs,  # a few lucky jobs prove nothing
    _guards_agree,  # may assume that there is something to judge
    _enough_pods_read,  # last: one pod's good word is none for another's
)


def unseen(workload: Workload | None, verdicts: Sequence[Verdict]) -> Objection | None:
    """A guard is OK on the pods that could be read, and too many could not be."""
    ready = sum(pod.ready and not pod.terminating for pod in pods_of(workload))
    for verdict in verdicts:
        read = verdict.samples
        if verdict.guard.metric.from_ is MetricOrigin.PODS and read is not None and read < READ_SHARE * ready:
            return Objection(f"guard {verdict.name} rests on {read} of {ready} Ready workers of the new version")
    return None


def rolling(workload: Workload | None, *, version: str = "new") -> str:
    """How far a rolling update is, and what keeps it from going on."""
    if workload is None:
        return "the workers are being created"
    stuck = next((pod for pod in workload.pods if pod.waiting_reason and not pod.terminating), None)
    detail = f"; {stuck.name}: {stuck.waiting_reason}" if stuck is not None else ""
    if workload.pods_refused is not None:
        detail = f"; {workload.pods_refused}"
    # By revision: in a rolling update the Deployment's own count of Ready pods is mostly the old version's.
    new = sum(pod.ready and not pod.terminating and pod.revision == workload.revision for pod in workload.pods)
    return f"{new} of {workload.replicas} workers of the {version} version are Ready{detail}"


def pods_of(workload: Workload | None) -> tuple[Pod, ...]:
    return workload.pods if workload is not None else ()


def says(verdict: Verdict) -> str:
    blame = f", {BLAMED[verdict.blame]}" if verdict.blame else ""
    return f"guard {verdict.name} is {verdict.state.value}{blame}: {verdict.message}"
