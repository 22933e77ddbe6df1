"""What the workers show of a rollout: whether they are up, cannot start, or take too long."""

from datetime import datetime, timedelta

from crm_operator.api.duration import render
from crm_operator.api.v1alpha1 import RolloutStatus
from crm_operator.domain.rollout.objections import pods_of, rolling
from crm_operator.domain.world import Workload, World

#: Restarts of a canary worker that end the rollout: a version that cannot start needs no metric and no deadline.
START_FAILURES = 3


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


def start_failure(world: World) -> str | None:
    """A canary worker that keeps dying, while stable's do not."""
    worst = max(pods_of(world.canary), key=lambda pod: pod.restarts, default=None)
    if worst is None or worst.restarts < START_FAILURES:
        return None
    if any(pod.restarts >= START_FAILURES for pod in pods_of(world.stable)):
        return None
    why = f" ({worst.waiting_reason})" if worst.waiting_reason else ""
    return f"worker {worst.name} of the new version restarted {worst.restarts} times{why}"


def clocks(world: World, was: RolloutStatus, *, running: bool) -> dict[str, datetime | None]:
    """The hold's clock runs from the first time all pods are Ready; the deadline's while they are not."""
    if running:
        return {"step_start_time": was.step_start_time or world.now, "waiting_since": None}
    return {"waiting_since": was.waiting_since or world.now}


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
