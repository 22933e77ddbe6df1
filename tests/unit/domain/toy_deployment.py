"""A toy Deployment for the simulation: what the Deployment controller and the kubelets make of it, without waiting."""

from collections.abc import Callable, Iterator, Set
from dataclasses import dataclass, field

from crm_operator.api.v1alpha1 import Strategy
from crm_operator.domain.plan import Role
from crm_operator.domain.rolling_update import room
from crm_operator.domain.world import Pod, Workload
from tests.unit.domain.builders import NOW


@dataclass
class SimPod:
    """A worker pod."""

    name: str
    revision: str
    ready: bool = False
    terminating: bool = False


@dataclass
class SimDeployment:
    """A Deployment, with what its controller and the kubelets do at a look."""

    revision: str
    replicas: int
    strategy: Strategy
    urgent: bool  # all old pods go at once, whatever `strategy` says
    pods: list[SimPod] = field(default_factory=list)
    generation: int = 1
    observed: int = 0

    def control(self, names: Iterator[str]) -> None:
        """The Deployment controller: one round of the rolling update. New pods are called by the next of `names`."""
        self.observed = self.generation
        old = [p for p in self.pods if p.revision != self.revision and not p.terminating]
        new = [p for p in self.pods if p.revision == self.revision and not p.terminating]
        for pod in new[self.replicas :]:
            pod.terminating = True
        may = room(self.strategy, self.replicas)
        surge, unavailable = (0, self.replicas) if self.urgent else (may.surge, may.unavailable)
        left = self.replicas + (surge if old else 0) - len(old) - len(new)
        for _ in range(max(0, min(left, self.replicas - len(new)))):
            self.pods.append(SimPod(next(names), self.revision))
        ready = sum(pod.ready for pod in new[: self.replicas])
        least = self.replicas - unavailable
        ready_old = [pod for pod in old if pod.ready]
        for pod in [p for p in old if not p.ready] + ready_old[: max(0, ready + len(ready_old) - least)]:
            pod.terminating = True

    def run_pods(self, *, without: Set[str]) -> None:
        """Pods start, but of the revisions in `without`, and those that were told to end are gone."""
        self.pods = [pod for pod in self.pods if not pod.terminating]
        for pod in self.pods:
            pod.ready = pod.revision not in without

    def seen(self, role: Role, strategy: Strategy, waits: Callable[[str], str | None]) -> Workload:
        """As the operator sees it. `strategy` is that of the spec; `waits` says why a revision's pods wait."""
        live = [pod for pod in self.pods if not pod.terminating]
        ready = sum(pod.ready for pod in live)
        return Workload(
            revision=self.revision,
            replicas=self.replicas,
            updated=sum(pod.revision == self.revision for pod in live),
            ready=ready,
            available=ready,
            total=len(live),
            observed=self.observed == self.generation,
            intact=role == "canary" or self.strategy == strategy,
            urgent_strategy=self.urgent and role == "stable",
            pods=tuple(
                Pod(
                    name=pod.name,
                    role=role,
                    revision=pod.revision,
                    ready=pod.ready,
                    terminating=pod.terminating,
                    started_at=NOW,
                    waiting_reason=waits(pod.revision),
                )
                for pod in self.pods
            ),
        )
