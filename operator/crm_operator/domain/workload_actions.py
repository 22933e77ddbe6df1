"""From what both Deployments should be to the actions that make them so. Called by `decide` on every pass."""

from collections.abc import Iterator, Mapping
from dataclasses import replace

from crm_operator.api.v1alpha1 import RolloutPhase
from crm_operator.domain import scale_in
from crm_operator.domain.allocation import Allocation, Wanted
from crm_operator.domain.plan import Action, ApplyTemplate, DeleteWorkload, Role, SetDeletionCosts, SetReplicas
from crm_operator.domain.scale_in import Hold
from crm_operator.domain.world import Workload, World


def _sides(world: World, allocation: Allocation) -> tuple[tuple[Role, Workload | None, Wanted | None], ...]:
    return ("canary", world.canary, allocation.canary), ("stable", world.stable, allocation.stable)


def _shrinking(world: World, allocation: Allocation) -> Iterator[tuple[Role, Workload, int]]:
    """Deployments that are larger than they should be, and how large they should be."""
    for role, have, want in _sides(world, allocation):
        target = want.replicas if want is not None else 0
        if have is not None and have.replicas > target and (want is not None or role == "canary"):
            yield role, have, target


def holds_of(world: World, allocation: Allocation) -> Iterator[tuple[Role, Hold]]:
    """Deployments that may not shrink in this pass, and what comes first."""
    for role, have, target in _shrinking(world, allocation):
        hold = scale_in.hold(world, have, target)
        if hold is not None:
            yield role, hold


def workload_actions(
    world: World, allocation: Allocation, holds: Mapping[Role, Hold], *, stops_damage: bool, why: str
) -> Iterator[Action]:
    """Shrink before growing: damage stops first, and the total never exceeds what was allotted.

    So nothing grows either while a Deployment is held that should shrink.

    `stops_damage`: a rollback or a pause, whose shrinking does not wait for its record. Any other does, as stable's
    before a canary: if that is not recorded, it is not made either.
    """
    rollout = world.status.rollout
    settled = rollout is not None and rollout.phase is RolloutPhase.STABLE
    for role, large, target in _shrinking(world, allocation):
        if role not in holds:
            yield SetReplicas(role=role, replicas=target, was=large.replicas, stops_damage=stops_damage, why=why)
    costs = {pod: cost for hold in holds.values() for pod, cost in hold.costs.items()}
    if costs:
        yield SetDeletionCosts(costs=costs, why="so that the workers with the fewest jobs go")
    for role, have, want in reversed(_sides(world, allocation)):
        if want is None:
            continue
        if have is None:
            if not holds:
                yield ApplyTemplate(
                    role=role, revision=want.revision, replicas=want.replicas, urgent=want.urgent, why=why
                )
            continue
        again = ApplyTemplate(role=role, revision=want.revision, replicas=want.replicas, urgent=want.urgent, why=why)
        differs = have.revision != want.revision or have.urgent_strategy != want.urgent
        if differs or (not have.intact and have.applied):
            yield again
        if have.replicas < want.replicas and not holds:
            yield SetReplicas(role=role, replicas=want.replicas, was=have.replicas, why=why)
        if not have.intact and not have.applied and not differs:
            # While a version is on trial, it is judged only when what runs is known to be what was meant.
            yield replace(again, can_wait=settled, why="after a restart, to be sure")
    canary = world.canary
    if canary is not None and allocation.canary is None and canary.replicas == 0 and not canary.pods:
        yield DeleteWorkload(role="canary", why="no phase needs it, and its last pod is gone")
