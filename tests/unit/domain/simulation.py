"""A whole integration in virtual time: `decide` on one side, a toy Deployment controller and workers on the other.

Each `step` runs one of the things that can happen next, in an order that the caller (or Hypothesis) chooses: the
operator looks, a controller looks, pods start or end, time goes on. Events may come late, twice or never: the operator
looks when it is told to, whatever happened. A crash between two writes is a plan of which only a prefix is carried out.
"""

import dataclasses
import itertools
import re
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta

from crm_operator.api.v1alpha1 import CrmIntegrationSpec, CrmIntegrationStatus, RolloutPhase, Strategy, Verb
from crm_operator.domain.baseline import BaselineMemory
from crm_operator.domain.breaches import BreachMemory
from crm_operator.domain.course import Course
from crm_operator.domain.decide import decide
from crm_operator.domain.idle import WorkMemory
from crm_operator.domain.load import LoadMemory
from crm_operator.domain.plan import (
    Action,
    ApplyTemplate,
    CreatePause,
    DeleteWorkload,
    EmitEvent,
    Plan,
    RecordRevision,
    Role,
    SetReplicas,
    WriteStatus,
)
from crm_operator.domain.revision import revision_of
from crm_operator.domain.world import (
    Evidence,
    JobsDone,
    Neighbour,
    OwnPause,
    Pause,
    QueueView,
    Reading,
    Recent,
    RefusedWrite,
    Unknown,
    Workload,
    World,
)
from tests.unit.domain.admission import Admission
from tests.unit.domain.builders import NOW, a_queue, a_refusal, a_template, an_outage
from tests.unit.domain.toy_deployment import SimDeployment

TICK = timedelta(seconds=1)


def _words(text: str) -> str:
    return re.sub(r"\d+", "", text)


class Simulation(Admission):
    """One integration. Change `spec`, `backlog`, `failing`, `blind` and `pauses` as the scenario goes.

    `aloud`: the log has what status says, too, whenever that changes.
    """

    def __init__(self, spec: CrmIntegrationSpec, *, aloud: bool = False) -> None:
        super().__init__()
        self.spec = spec
        self.generation = 1
        self.now = NOW
        self.status = CrmIntegrationStatus()
        self.deployments: dict[Role, SimDeployment] = {}
        self.known: set[str] = set()
        self.backlog = 0
        self.outage = False  # the broker cannot be read
        self.failing: set[str] = set()  # revisions whose workers fail
        self.errors: dict[str, float] = {}  # of the others, in each window; all of a version's workers together
        self.broken: set[str] = set()  # revisions whose workers do not start
        self.misconfigured: set[str] = set()  # ... and of which the kubelet says that they cannot
        self.unpullable: set[str] = set()  # ... or that the image is not to be had
        self.failed_elsewhere: str | None = None  # an integration that rolled back the image of the template
        self.stuck: set[str] = set()  # revisions whose workers are Ready and finish nothing
        self.most_connections = 1000  # workers beyond these make connections fail
        self.blind = False  # the workers' metrics cannot be read
        self.silent: set[str] = set()  # ... of these revisions
        self.filled_at = self.now  # until then windows are not filled: the operator was started anew
        self.neighbours: tuple[Neighbour, ...] = ()  # that fail as well
        self.pauses: tuple[Pause, ...] = ()  # of users
        self.made: dict[str, Pause | None] = {}  # SyncPauses that the operator made; None: lifted
        self.verbs: dict[Verb, str] = {}
        self.lines: list[str] = []
        self.writes = 0
        self._aloud = aloud
        self._pod_names = (f"pod-{n}" for n in itertools.count(1))
        self._refused: RefusedWrite | None = None
        self._load = LoadMemory()
        self._work = WorkMemory()
        self._baseline = BaselineMemory()
        self._breaches = BreachMemory()
        self._done: Counter[str] = Counter()
        self._broken_at: datetime | None = None  # when connections failed last
        self._good_since = NOW - timedelta(hours=1)

    # --- what the scenario does

    def ship(self, version: str) -> str:
        """A new template in the spec; its revision."""
        template = a_template(version)
        workers = self.spec.workers.model_copy(update={"template": template})
        self.spec = self.spec.model_copy(update={"workers": workers})
        self.generation += 1
        self._log(f"user ships {version}")
        return revision_of(template)

    def replace_by(self, strategy: Strategy) -> None:
        """Another `workers.strategy` in the spec."""
        workers = self.spec.workers.model_copy(update={"strategy": strategy})
        self.spec = self.spec.model_copy(update={"workers": workers})
        self.generation += 1
        self._log(f"user sets maxSurge {strategy.max_surge}, maxUnavailable {strategy.max_unavailable}")

    def ask(self, verb: Verb, value: str) -> None:
        """An annotation, with a value that is new."""
        self.verbs = {**self.verbs, verb: value}
        self._log(f"user sets {verb} to {value}")

    def lose_queue(self) -> None:
        self.outage = True

    def find_queue(self) -> None:
        self.outage = False
        self._good_since = self.now

    def lift(self) -> None:
        """A person lifts what the operator paused."""
        for name, pause in self.made.items():
            if pause is not None:
                self.made[name] = None
                self._log(f"user lifts {name}")

    # --- what can happen next

    def operate(self, crash_after: int | None = None) -> Plan:
        """The operator looks once; with `crash_after`, only so many writes of its plan are carried out.

        A refused write ends the plan as `domain/course.py` has it; a crash forgets that one was.
        """
        world, course = self.world(), Course()
        plan = decide(world)
        refused: Action | None = None
        for n, action in enumerate(plan.actions):
            if crash_after is not None and n >= crash_after:
                self._log("operator crashes")
                refused = None
                break
            if not course.goes_on_with(action):
                continue
            if not self.denies(action, first="stable" not in self.deployments):
                self._do(action)
            elif course.failed(action, refused=True):
                refused = action
        self._refused = None if refused is None else a_refusal(refused, "denied", since=world.refused_since)
        return plan

    def restart(self) -> None:
        """The operator starts anew, without what it had in memory."""
        self._load, self._work = LoadMemory(), WorkMemory()
        self._baseline, self._breaches = BaselineMemory(), BreachMemory()
        self._refused = None
        self._log("operator restarts")

    def control(self) -> None:
        """The Deployment controller looks once at each Deployment: one round of its rolling update."""
        for deployment in self.deployments.values():
            deployment.control(self._pod_names)

    def run_pods(self) -> None:
        """Pods start, and those that were told to end are gone."""
        for deployment in self.deployments.values():
            deployment.run_pods(without=self.broken | self.misconfigured | self.unpullable)

    def pass_time(self, by: timedelta = TICK) -> None:
        """Workers finish a job each, while there are jobs."""
        self.now += by
        if self.backlog:
            self._done.update(revision for revision in self._ready() if revision not in self.stuck)

    def runnable(self) -> list[Callable[[], object]]:
        """Everything that can happen next, for a caller that chooses the order."""
        return [self.operate, self.control, self.run_pods, self.pass_time]

    def run(self, seconds: int) -> None:
        """Everybody looks in turn, once a virtual second."""
        for _ in range(seconds):
            self.operate()
            self.control()
            self.run_pods()
            self.operate()
            self.pass_time()

    # --- what is seen

    def world(self) -> World:
        target = revision_of(self.spec.workers.template)
        world = World(
            now=self.now,
            namespace="crm",
            name="hubspot",
            uid="u-1",
            generation=self.generation,
            spec=self.spec,
            status=self.status,
            target=target,
            stable=self._workload("stable"),
            canary=self._workload("canary"),
            known_revisions=frozenset(self.known),
            queue=self._queue(),
            evidence=self._evidence(),
            jobs_done=self._jobs_done(),
            pauses=self.pauses + tuple(pause for pause in self.made.values() if pause is not None),
            neighbours=self.neighbours,
            own_pause=self._own_pause(),
            verbs=self.verbs,
            image="worker:2",
            image_failed_in=self.failed_elsewhere,
            refused=self._refused,
        )
        return dataclasses.replace(
            world,
            load=self._load.notice(world),
            idle=self._work.notice(world),
            baseline=self._baseline.notice(world),
            evidence=self._breaches.notice(world),
        )

    @property
    def phase(self) -> RolloutPhase | None:
        return None if self.status.rollout is None else self.status.rollout.phase

    @property
    def is_unstored(self) -> bool:  # what the last look decided
        return self._refused is not None and isinstance(self._refused.action, WriteStatus)

    @property
    def stable(self) -> str:
        assert self.status.rollout is not None
        assert self.status.rollout.stable_revision is not None
        return self.status.rollout.stable_revision

    def working(self, revision: str) -> int:
        """Pods of a revision that could take a job."""
        return sum(
            pod.revision == revision and not pod.terminating
            for deployment in self.deployments.values()
            for pod in deployment.pods
        )

    def log(self) -> str:
        return "\n".join(self.lines) + "\n"

    # --- inside

    def _queue(self) -> QueueView:
        if self.outage:
            return an_outage()
        good_for = (self.now - self._good_since).total_seconds()
        return a_queue(self.backlog, good_for=good_for, now=self.now)

    def _ready(self) -> Iterator[str]:
        """The revision of each Ready pod."""
        for deployment in self.deployments.values():
            yield from (pod.revision for pod in deployment.pods if pod.ready)

    def _waits(self, revision: str) -> str | None:
        """What the kubelet says of a version's pods."""
        if revision in self.misconfigured:
            return "CreateContainerConfigError"
        return "ImagePullBackOff" if revision in self.unpullable else None

    def _said(self) -> str:
        """As `kubectl get` has it."""
        return f"{self.status.phase}: {self.status.message}"

    def _own_pause(self) -> OwnPause:
        recorded = self.status.automatic_pause
        if recorded is None or recorded.name not in self.made:
            return OwnPause.ABSENT
        return OwnPause.LIFTED if self.made[recorded.name] is None else OwnPause.PAUSED

    def _evidence(self) -> dict[str, Evidence]:
        """By guard."""
        return {"sync-errors": self._errors(), "connection-failures": self._connections()}

    def _jobs_done(self) -> dict[str, JobsDone | Unknown]:
        return {side: JobsDone(count=self._done[side], since=NOW) for side in self._ready()}

    def _errors(self) -> Evidence:
        counts: dict[str, int] = {}
        for deployment in self.deployments.values():
            for pod in deployment.pods:
                counts[pod.revision] = counts.get(pod.revision, 0) + pod.ready
        why = Unknown("crm_sync_errors_total: connection refused", "ConnectionRefused")
        if self.blind:
            return Evidence(by_revision=dict.fromkeys(counts, why), overall=why)
        window = timedelta(minutes=5)
        values = {
            revision: 20.0 * n if revision in self.failing else self.errors.get(revision, 0.0)
            for revision, n in counts.items()
        }
        sides: dict[str, Reading | Unknown] = {
            revision: why
            if revision in self.silent
            else Reading(
                value=values[revision],
                samples=n,
                at=self.now,
                recent=(Recent(window, values[revision], 3000.0),) if self.errors else (),
                lower_bound=None
                if self.now >= self.filled_at
                else Unknown(
                    f"the window is not filled yet; it will be at {self.filled_at:%H:%M:%S}", "WindowNotFilled"
                ),
            )
            for revision, n in counts.items()
            if n > 0
        }
        if not sides:
            return Evidence(overall=Unknown("there is no pod to read", "NoPods"))
        read = sides.keys() - self.silent
        if not read:
            return Evidence(by_revision=sides, overall=why)
        total = sum(values[revision] for revision in read)
        return Evidence(by_revision=sides, overall=Reading(value=total, samples=len(read), at=self.now))

    def _connections(self) -> Evidence:
        """Failures stay in the guard's window of ten minutes."""
        count = len(list(self._ready()))
        if count > self.most_connections:
            self._broken_at = self.now
        recent = self._broken_at is not None and self.now - self._broken_at < timedelta(minutes=10)
        return Evidence(overall=Reading(value=20.0 if recent else 0.0, samples=max(1, count), at=self.now))

    def _workload(self, role: Role) -> Workload | None:
        deployment = self.deployments.get(role)
        return None if deployment is None else deployment.seen(role, self.spec.workers.strategy, self._waits)

    def _do(self, action: Action) -> None:
        match action:
            case RecordRevision():
                self.known.add(action.revision)
            case WriteStatus():
                self.writes += 1
                said, self.status = self._said(), action.status
                if self._aloud and _words(self._said()) != _words(said):
                    self._log(f"kubectl: {self._said()}")
            case ApplyTemplate():
                self.writes += 1
                self._apply(action)
            case SetReplicas():
                self.writes += 1
                deployment = self.deployments[action.role]
                deployment.replicas = action.replicas
                deployment.generation += 1
                self._log(f"{action.role} {action.was} -> {action.replicas}")
            case DeleteWorkload():
                self.writes += 1
                del self.deployments[action.role]
                self._log(f"{action.role} deleted")
            case CreatePause():
                self.writes += 1
                assert action.name not in self.made, "a pause that was made is made again"
                self.made[action.name] = Pause(name=action.name, reason=action.reason, since=self.now)
                self._log(f"SyncPause {action.name} created")
            case EmitEvent():
                self._log(f"{action.reason}: {action.message}")

    def _apply(self, action: ApplyTemplate) -> None:
        deployment = self.deployments.get(action.role)
        if deployment is None:
            urgent = action.urgent or action.role == "canary"
            self.deployments[action.role] = SimDeployment(
                action.revision, action.replicas, self.spec.workers.strategy, urgent
            )
            self._log(f"{action.role} created: {action.revision[:4]} x {action.replicas}")
            return
        deployment.revision = action.revision
        deployment.strategy = self.spec.workers.strategy
        deployment.urgent = action.urgent or action.role == "canary"
        deployment.generation += 1
        self._log(f"{action.role} template {action.revision[:4]}{', all at once' if action.urgent else ''}")

    def _log(self, line: str) -> None:
        seconds = int((self.now - NOW).total_seconds())
        self.lines.append(f"{seconds:5d} s  {line}")
