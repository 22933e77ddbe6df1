"""Which Deployment runs which revision with how many pods: scale, canary share and pause, decided together.

The one owner of the replica count. A pure function of the rollout's state, the wanted size and the pause.
"""

from dataclasses import dataclass

from crm_operator.api.v1alpha1 import RolloutPhase, RolloutStatus
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
            return Allocation(stable=_wanted(stable, total), canary=None)
        case RolloutPhase.CANARY | RolloutPhase.PROMOTING if rollout.weight > 0:
            main, canary = (0, 0) if paused else split(total, rollout.weight)
            runs_main = stable if rollout.phase is RolloutPhase.CANARY else candidate
            return Allocation(stable=_wanted(runs_main, main), canary=_wanted(candidate, canary))
        case RolloutPhase.CANARY | RolloutPhase.PROMOTING | RolloutPhase.BAKING:
            return Allocation(stable=_wanted(candidate, total), canary=None)
        case RolloutPhase.ROLLING_BACK:
            if stable not in world.known_revisions and (world.stable is None or world.stable.revision != stable):
                # Nothing to go back to: what runs in NAME stays, and the canary still goes.
                return Allocation(stable=_as_is(world.stable, total), canary=None)
            return Allocation(stable=_wanted(stable, total, urgent=_has_other_pods(world, stable)), canary=None)


def _wanted(revision: str | None, replicas: int, *, urgent: bool = False) -> Wanted | None:
    return None if revision is None else Wanted(revision=revision, replicas=replicas, urgent=urgent)


def _as_is(workload: Workload | None, replicas: int) -> Wanted | None:
    return None if workload is None else _wanted(workload.revision, replicas)


def _has_other_pods(world: World, stable: str | None) -> bool:
    workload = world.stable
    if workload is None:
        return False
    return workload.revision != stable or any(pod.revision != stable and not pod.terminating for pod in workload.pods)
