"""When somebody else scales a Deployment of ours: the operator keeps its hands off the size, and says so.

Two owners of one number make it flap. An autoscaler that the user put there wins, whatever this operator would want,
until it is gone. What stops damage is not scaling and still happens: a pause, and the end of a canary. Nothing wakes a
Deployment from 0 but this operator (a HorizontalPodAutoscaler ignores one that is at 0), so that is done, to 1.
"""

from dataclasses import replace

from crm_operator.domain.allocation import Allocation, Wanted
from crm_operator.domain.plan import Role
from crm_operator.domain.scaling import Size
from crm_operator.domain.world import Workload, World

REASON = "ScalingConflict"


def yielded_size(world: World, size: Size) -> Size:
    """The size that the other one chose, if Deployment NAME has another scaler; else `size`."""
    by = world.scaled_by.get("stable")
    if by is None or world.stable is None:
        return size
    replicas = _kept(world.stable, size.replicas)
    why = (
        f"{by} scales Deployment {world.name}, so the operator does not; it keeps {replicas} workers. "
        "Delete that one to let spec.scaling work"
    )
    return replace(size, replicas=replicas, reason=REASON, why=why, known=True)


def yielded(world: World, allocation: Allocation, *, paused: bool) -> Allocation:
    """`allocation` without a change of size of a Deployment that somebody else scales."""
    if paused:
        return allocation
    return Allocation(
        stable=_as_scaled(world, "stable", world.stable, allocation.stable),
        canary=_as_scaled(world, "canary", world.canary, allocation.canary),
    )


def _as_scaled(world: World, role: Role, have: Workload | None, want: Wanted | None) -> Wanted | None:
    if role not in world.scaled_by or have is None or want is None:
        return want
    return replace(want, replicas=_kept(have, want.replicas))


def _kept(have: Workload, wanted: int) -> int:
    return have.replicas or min(wanted, 1)
