"""Which Deployment runs which revision with how many pods: scale, canary share and pause, decided together.

The one owner of the replica count. A pure function of the rollout's state, the wanted size and the pause.
"""

from dataclasses import dataclass

from crm_operator.api.v1alpha1 import RolloutPhase, RolloutStatus
from crm_operator.domain.rolling_update import room
from crm_operator.domain.rollout.blocked import is_gone, is_kept_out
from crm_operator.domain.split import split
from crm_operator.domain.world import Workload, World


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What one Deployment should be."""

    revision: str
    replicas: int
    #: Every old pod goes at once: a job that waits is late, a job taken by a bad version may be lost.
    urgent: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Allocation:
    """What both Deployments should be. None: it should not be there."""

    stable: Wanted | None
    canary: Wanted | None

    @property
    def desired(self) -> int:
        return sum(side.replicas for side in (self.stable, self.canary) if side is not None)


def allocate(world: World, rollout: RolloutStatus, *, total: int, paused: bool) -> Allocation:
    """Split `total` workers (>= 0) as the rollout's phase asks; all zero while paused."""
    total = 0 if paused else total
    stable, candidate = rollout.stable_revision, rollout.candidate_revision
    match rollout.phase:
        case RolloutPhase.STABLE | RolloutPhase.ROLLED_BACK:
            return _handed_over(world, stable, total)
        case RolloutPhase.CANARY | RolloutPhase.PROMOTING if rollout.weight > 0:
            main, canary = (0, 0) if paused else split(total, rollout.weight)
            runs_main = stable if rollout.phase is RolloutPhase.CANARY else candidate
            urgent = _still_urgent(world, runs_main)
            return Allocation(stable=_wanted(runs_main, main, urgent=urgent), canary=_wanted(candidate, canary))
        case RolloutPhase.CANARY | RolloutPhase.PROMOTING | RolloutPhase.BAKING:
            return _handed_over(world, candidate, total)
        case RolloutPhase.ROLLING_BACK:
            if is_gone(world, stable):
                # Nothing to go back to: what runs in NAME stays, and the canary still goes.
                return Allocation(stable=_as_is(world.stable, total), canary=None)
            if is_kept_out(world, rollout):
                total = 0
            return Allocation(stable=_wanted(stable, total, urgent=_has_other_pods(world, stable)), canary=None)


def _handed_over(world: World, revision: str | None, total: int) -> Allocation:
    """`total` workers in NAME. Canary pods of the same version stay until as many in its place are Ready.

    Without that, promoting a canary of half of the workers would halve them for as long as a pod takes to start. It is
    the end of the update that `workers.strategy` is for, so both together stay within it.
    """
    stable, canary = world.stable, world.canary
    alone = Allocation(stable=_wanted(revision, total, urgent=_still_urgent(world, revision)), canary=None)
    if total == 0 or stable is None or canary is None or canary.revision != revision or stable.revision != revision:
        return alone
    may = room(world.spec.workers.strategy, total)
    staying = min(canary.replicas, max(0, total - may.unavailable - stable.ready))
    if staying == 0:
        return alone
    growing = min(total, total + may.surge - staying)
    return Allocation(stable=_wanted(revision, growing), canary=_wanted(revision, staying))


def _wanted(revision: str | None, replicas: int, *, urgent: bool = False) -> Wanted | None:
    return None if revision is None else Wanted(revision=revision, replicas=replicas, urgent=urgent)


def _as_is(workload: Workload | None, replicas: int) -> Wanted | None:
    return None if workload is None else _wanted(workload.revision, replicas)


def _still_urgent(world: World, revision: str | None) -> bool:
    """A rollback was under way when another template came: its bad pods go at once, as they were to."""
    workload = world.stable
    return workload is not None and workload.urgent_strategy and _has_other_pods(world, revision)


def _has_other_pods(world: World, stable: str | None) -> bool:
    workload = world.stable
    if workload is None:
        return False
    return workload.revision != stable or any(pod.revision != stable and not pod.terminating for pod in workload.pods)
