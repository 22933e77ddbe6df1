"""Which workers go when a Deployment shrinks: those that work on the fewest jobs. Asked by `decide` at each shrink.

A ReplicaSet removes pods that are not Ready first, then those with the lowest deletion cost. So a shrink takes a few
passes: it is decided; the workers are read once more, since a reading from before may be older than a job; those that
should go get the lowest cost there is; and when the cache shows the costs, the size follows. The pods
that stay are left alone: a mark goes away with its pod. One that stays behind, since the load came back in between, is
taken off when it would decide wrongly.

It only waits where a choice is to be made, and for `PATIENCE` at most: a worker that is taken at work finishes its jobs
or gives them back.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from crm_operator.api.names import LOWEST_DELETION_COST
from crm_operator.domain.world import Pod, Shrink, Workload, World

#: So long a Deployment is held for workers that do not answer, which is as long as a scrape lasts; then what they said
#: before counts.
READ_WITHIN = timedelta(seconds=2)
#: The longest that a Deployment is held for a choice; also how long a refused write of costs is not tried again.
PATIENCE = timedelta(seconds=5)
#: In the condition Scaled, while costs cannot be written.
REFUSED = "idle workers cannot be chosen to go first"


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """The Deployment is to shrink in a later pass."""

    #: Deletion costs to write now, by pod; None takes the pod's cost away. Empty: readings are awaited.
    costs: Mapping[str, int | None] = field(default_factory=dict)


def is_choosing(shrink: Shrink, now: datetime) -> bool:
    """Whether a Deployment waits to shrink, and its workers are to be read as often as can be."""
    return shrink.since is not None and now - shrink.since < PATIENCE


def hold(world: World, workload: Workload, replicas: int) -> Hold | None:
    """What must come before `workload` shrinks to `replicas`; None: it may at once."""
    ready = [pod for pod in workload.pods if pod.ready and not pod.terminating]
    take = len(ready) - replicas  # the others go before any Ready one
    if not 0 < take < len(ready) or _is_late(world) or not any(pod.name in world.in_progress for pod in ready):
        return None
    if _is_to_be_read(world, ready):
        return Hold()
    if len({_load(world, pod) for pod in ready}) == 1:
        return None
    costs = _changes(_order(world, ready), take)
    return Hold(costs=costs) if costs else None


def complaint(world: World) -> str:
    """What the condition Scaled adds while costs cannot be written; empty: nothing."""
    refused = world.shrink.refused
    return "" if refused is None else f"; {REFUSED}: {refused.why}"


def _is_late(world: World) -> bool:
    """Costs cannot be written, or do not settle: the choice is not worth more waiting."""
    refused = world.shrink.refused_at
    if refused is not None and world.now - refused < PATIENCE:
        return True
    return world.shrink.since is not None and world.now - world.shrink.since >= PATIENCE


def _is_to_be_read(world: World, ready: list[Pod]) -> bool:
    since = world.shrink.since
    if since is None:
        return True
    unread = [pod for pod in ready if pod.name not in world.in_progress_at or world.in_progress_at[pod.name] < since]
    return bool(unread) and world.now - since < READ_WITHIN


def _load(world: World, pod: Pod) -> float:
    """Jobs that it works on. One that was not read may work, and goes after the idle ones and before the busy ones."""
    return world.in_progress.get(pod.name, 0.5)


def _order(world: World, ready: list[Pod]) -> list[Pod]:
    """Who goes first. Among equals as a ReplicaSet would choose: from the fullest node, then the youngest.

    One that is marked already comes before its equals, so that nothing is written twice.
    """
    on_node = Counter(pod.node for pod in ready)
    return sorted(
        ready,
        key=lambda pod: (
            _load(world, pod),
            pod.deletion_cost != LOWEST_DELETION_COST,
            -on_node[pod.node],
            -pod.started_at.timestamp() if pod.started_at is not None else 0,
            pod.name,
        ),
    )


def _changes(order: list[Pod], take: int) -> dict[str, int | None]:
    marks: dict[str, int | None] = {
        pod.name: LOWEST_DELETION_COST for pod in order[:take] if pod.deletion_cost != LOWEST_DELETION_COST
    }
    return marks | {pod.name: None for pod in order[take:] if pod.deletion_cost == LOWEST_DELETION_COST}
