"""What the workers show of a rollout: whether they are up, cannot start, or take too long."""

from datetime import datetime, timedelta

from crm_operator.api.duration import render
from crm_operator.api.v1alpha1 import RolloutStatus, SyncState
from crm_operator.domain.plan import SetReplicas
from crm_operator.domain.rollout.objections import pods_of, rolling
from crm_operator.domain.world import Pod, RefusedWrite, Unknown, Workload, World

#: Restarts of a new worker that end the rollout: a version that cannot start needs no metric and no deadline.
START_FAILURES = 3
#: A version whose workers cannot start has this long to be put right: a ConfigMap may come a moment after the template.
START_PATIENCE = timedelta(seconds=60)
#: What the kubelet says of a worker that will not start by waiting. Not the pulling of images: a registry that is down
#: is not the release's fault, and has until the deadline.
CANNOT_START = frozenset(
    {
        "CrashLoopBackOff",
        "CreateContainerConfigError",
        "CreateContainerError",
        "InvalidImageName",
        "PostStartHookError",
        "PreCreateHookError",
        "PreStartHookError",
        "RunContainerError",
        "StartError",
    }
)
#: A stable worker that restarted within this time has trouble of its own.
RECENT = timedelta(minutes=10)


def paused(world: World) -> bool:
    """No worker is meant to run: until a resume is recorded, Deployments of no pods prove nothing."""
    was = world.status.sync
    return bool(world.pauses) or (was is not None and was.state is not SyncState.RUNNING)


def canary_is_up(world: World, was: RolloutStatus) -> bool:
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


def promoted(world: World, was: RolloutStatus) -> bool:
    """The candidate runs in all workers of Deployment NAME."""
    stable = world.stable
    return stable is not None and stable.revision == was.candidate_revision and stable.intact and stable.complete


def serves(world: World, revision: str | None) -> bool:
    """Whether a worker of this version is Ready now, in Deployment NAME."""
    return any(pod.ready and not pod.terminating and pod.revision == revision for pod in pods_of(world.stable))


def is_down(world: World, revision: str | None) -> bool:
    """Whether no worker of this version is Ready in Deployment NAME, although some should be."""
    return world.stable is not None and world.stable.replicas > 0 and not serves(world, revision)


def held_at_zero(world: World, revision: str | None) -> str | None:
    """Why Deployment NAME has no worker, when it is not for want of work that the version could show itself on."""
    if world.stable is None or world.stable.replicas > 0:
        return None
    if isinstance(world.queue.latest, Unknown):
        return f"the queue cannot be read: {world.queue.latest.why}"
    return kept_at_zero(world, revision)


def kept_at_zero(world: World, revision: str | None) -> str | None:
    """What keeps the version from having a worker in Deployment NAME, which has none. None: nothing, or it has some."""
    if world.stable is None or world.stable.replicas > 0:
        return None
    if world.stable.revision != revision:
        # A restart has forgotten a rollback that could not be recorded.
        return f"Deployment {world.name} has the template of {world.stable.revision}"
    match world.refused:
        case RefusedWrite(action=SetReplicas(role="stable"), why=why):
            return f"its size is refused: {why}"
        case _:
            return None


def start_failure(world: World, now: RolloutStatus) -> str | None:
    """Why the new version's workers will not start, while the stable version's do."""
    new = _pods(world, now.candidate_revision)
    if any(_fails(pod) or _keeps_restarting(world, pod) for pod in _pods(world, now.stable_revision)):
        return None
    worst = max(new, key=lambda pod: pod.restarts, default=None)
    if worst is not None and worst.restarts >= START_FAILURES:
        why = f" ({worst.waiting_reason})" if worst.waiting_reason else ""
        return f"worker {worst.name} of the new version restarted {worst.restarts} times{why}"
    failing = next((pod for pod in new if _fails(pod)), None)
    if failing is None or now.failing_since is None or world.now < now.failing_since + START_PATIENCE:
        return None
    words = f" ({failing.waiting_message})" if failing.waiting_message else ""
    why = f"{failing.waiting_reason}{words}" if failing.waiting_reason else f"it ended {failing.restarts} times"
    return f"worker {failing.name} of the new version could not start for {render(START_PATIENCE)}: {why}"


def given_up(now: RolloutStatus) -> datetime | None:
    """When a version that cannot start will have had its time. None: it can, as far as is known."""
    return None if now.failing_since is None else now.failing_since + START_PATIENCE


def excuse_ends(world: World, now: RolloutStatus) -> datetime | None:
    """When the stable version's restarts of late say nothing of a new one that does the same. None: there are none."""
    stable = _pods(world, now.stable_revision)
    times = [pod.started_at + RECENT for pod in stable if pod.started_at is not None and _keeps_restarting(world, pod)]
    return max(times, default=None)


def clocks(world: World, was: RolloutStatus, *, running: bool) -> dict[str, datetime | None]:
    """The hold's clock runs from the first time all pods are Ready; the deadline's while they are not.

    The clock of those that cannot start runs while there is one.
    """
    if running:
        return {"step_start_time": was.step_start_time or world.now, "waiting_since": None, "failing_since": None}
    fails = any(_fails(pod) for pod in _pods(world, was.candidate_revision))
    return {
        "waiting_since": was.waiting_since or world.now,
        "failing_since": (was.failing_since or world.now) if fails else None,
    }


def deadline(world: World, now: RolloutStatus) -> datetime | None:
    """When the rollout has waited for its pods for too long. None: it does not wait."""
    if now.waiting_since is None:
        return None
    limit: timedelta = world.spec.rollout.progress_deadline
    return now.waiting_since + limit


def overdue(world: World, workload: Workload | None) -> str:
    """What is said when that time has come."""
    limit = render(world.spec.rollout.progress_deadline)
    return f"no progress in {limit} (rollout.progressDeadline): {rolling(workload)}"


def _pods(world: World, revision: str | None) -> list[Pod]:
    """Of one version, in both Deployments: in a promotion old and new are in NAME."""
    both = (*pods_of(world.stable), *pods_of(world.canary))
    return [pod for pod in both if pod.revision == revision and not pod.terminating]


def _fails(pod: Pod) -> bool:
    """It cannot start; also for the moments in which a crashing worker runs."""
    return pod.waiting_reason in CANNOT_START or (pod.restarts > 0 and not pod.ready)


def _keeps_restarting(world: World, pod: Pod) -> bool:
    """Of late: a stable worker that ended a few times in a month is sound."""
    lately = pod.started_at is not None and world.now - pod.started_at < RECENT
    return pod.restarts >= START_FAILURES and lately
