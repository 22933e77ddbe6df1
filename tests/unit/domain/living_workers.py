"""The simulation with workers that live, and with the operator's own memories of what they and the queue say.

In `Simulation` a bad pod is gone at once, and a metric is a number for each version. Here each pod is a process with
counters: it starts and ends over seconds, is scraped into the real `PodFleet` at the operator's pace, and does its last
jobs unread. A job that fails is a dead letter a moment later, in the real `QueueHistory`, and is counted by a backend
that is asked seldom. So what a version did outlives it, and each source tells of it at a time of its own.
"""

import dataclasses
import heapq
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random

from crm_operator.api.v1alpha1 import CrmIntegrationSpec, Guard, MetricOrigin, RolloutPhase
from crm_operator.domain.blame import is_finding
from crm_operator.domain.default_guards import guards_of
from crm_operator.domain.fleet import JOBS_METRIC, PodFleet
from crm_operator.domain.plan import Plan, Role
from crm_operator.domain.reductions import Group, metric_names, needs_levels
from crm_operator.domain.scraped import Sample, Scrape, Scraped
from crm_operator.domain.world import Evidence, JobsDone, QueueView, Unknown, Workload
from crm_operator.sources.pods.news import LastAnswers, News
from crm_operator.sources.queues.history import QueueHistory
from tests.unit.domain.builders import a_reading, an_outage
from tests.unit.domain.simulation import Simulation
from tests.unit.domain.toy_deployment import SimPod

ERRORS, LATENCY, FAILED_JOBS = "crm_sync_errors_total", "webhook_latency_p95", "failed_jobs"
STEP = timedelta(milliseconds=250)
#: Jobs that a worker has at a time, and how many each of its threads ends in a second.
THREADS, PACE = 2, 2.0
#: Seconds between two looks at the pods in steady state, and on trial; and at the backend.
SCRAPES, TRIAL_SCRAPES, BACKEND_READS = 5.0, 1.0, 15.0
#: Longer than any window here.
KEEP = timedelta(minutes=5)
REFUSED, TIMEOUT = Unknown("connection refused", "ConnectionRefused"), Unknown("no answer", "Timeout")
ON_TRIAL = (RolloutPhase.CANARY, RolloutPhase.PROMOTING, RolloutPhase.BAKING, RolloutPhase.ROLLING_BACK)


@dataclass(slots=True)
class Process:
    """The worker in a pod."""

    revision: str
    started_at: datetime
    up_at: datetime  # Ready, serves its metrics and takes jobs
    silent_at: datetime | None = None  # it was told to end: it serves no metrics from then on, ...
    idle_at: datetime | None = None  # ... begins no job any more, ...
    gone_at: datetime | None = None  # ... and has ended
    restarts: int = 0
    jobs: int = 0
    errors: int = 0

    @property
    def told_start(self) -> datetime:
        """As the kubelet has it, in whole seconds."""
        return self.started_at.replace(microsecond=0)

    def works(self, now: datetime) -> bool:
        return self.up_at <= now and (self.idle_at is None or now < self.idle_at)

    def answers(self, now: datetime) -> bool:
        return self.up_at <= now and (self.silent_at is None or now < self.silent_at)


class LivingWorkers(Simulation):
    """Change `fails`, `slow`, `provider_fails`, `provider_slow`, `dies`, `backlog`, `blind` and `silent` as it goes.

    All chance is `random`'s. `live` instead of `run`; `errors` and `failing` of `Simulation` mean nothing here.
    """

    def __init__(self, spec: CrmIntegrationSpec, random: Random, *, aloud: bool = False) -> None:
        super().__init__(spec, aloud=aloud)
        self.random = random
        self.fails: dict[str, float] = {}  # by revision, the share of its jobs; of others none
        self.slow: dict[str, float] = {}  # by revision, the latency in seconds
        self.provider_fails = 0.0  # the share of everybody's jobs
        self.provider_slow = 0.1  # everybody's latency in seconds
        self.dies = 0.5  # the share of failed jobs that become dead letters
        self.restarts = 0.0  # of a worker in a second
        self.acted_at = self.now  # a plan did more than to write live numbers
        self.rolled_back: list[str] = []  # revisions, in this order
        self._processes: dict[str, Process] = {}  # by pod, those included whose Deployment is gone
        self._dying: list[datetime] = []  # when failed jobs will be dead letters, a heap
        self._dead = self._failed = 0
        self._begin_to_read()

    # --- what the scenario does

    def live(self, seconds: float) -> None:
        ends = self.now + timedelta(seconds=seconds)
        while self.now < ends:
            self.step()

    def live_until(self, holds: Callable[[], bool], *, within: float) -> None:
        """`within` so many seconds it has to hold."""
        ends = self.now + timedelta(seconds=within)
        while not holds():
            assert self.now < ends, f"not within {within:g} s:\n{self.log()}"
            self.step()

    def up(self, revision: str) -> int:
        """Workers of a revision that take jobs."""
        return sum(process.revision == revision and process.works(self.now) for process in self._processes.values())

    def purge(self) -> None:
        """A person deletes the dead letters."""
        self._dead = 0

    def restart(self) -> None:
        super().restart()
        self._begin_to_read()

    def crash(self) -> None:
        """After some writes of a plan."""
        self.operate(crash_after=self.random.randrange(4))
        self.restart()

    def step(self) -> None:
        """A quarter of a second; the operator looks when there is news, or when it wanted to."""
        self.pass_time(STEP)
        if self.random.random() < 0.5:
            self.control()
        before = self._seen_of_pods()
        self.run_pods()
        news = [self._scrape(), self._read_queue(), self._read_backend()]
        is_time = self._look_at is not None and self.now >= self._look_at
        if any(news) or self._seen_of_pods() != before or is_time:
            self.operate()

    # --- what can happen next

    def operate(self, crash_after: int | None = None) -> Plan:
        was = self.phase
        plan = super().operate(crash_after)
        if was is not self.phase is RolloutPhase.ROLLING_BACK and self.status.rollout is not None:
            self.rolled_back.append(self.status.rollout.failed_revision or "")
        # Each write comes back as an event.
        wait = timedelta() if plan.actions else plan.requeue_after
        self._look_at: datetime | None = None if wait is None else self.now + wait
        if plan.actions and not plan.only_tells:
            self.acted_at = self.now
        return plan

    def pass_time(self, by: timedelta = STEP) -> None:
        self.now += by
        if self.backlog:
            for process in self._processes.values():
                if process.works(self.now):
                    self._do_jobs(process, by.total_seconds())

    def run_pods(self) -> None:
        """Pods start and end, each in its time."""
        unable = self.broken | self.misconfigured | self.unpullable
        pods = {pod.name: pod for deployment in self.deployments.values() for pod in deployment.pods}
        for name, pod in pods.items():
            if name not in self._processes:
                self._processes[name] = self._begun(pod)
            pod.ready = self._processes[name].up_at <= self.now and pod.revision not in unable
        for name, process in list(self._processes.items()):
            if process.silent_at is None and (name not in pods or pods[name].terminating):
                self._end(process)
            if process.gone_at is not None and process.gone_at <= self.now:
                del self._processes[name]
        for deployment in self.deployments.values():
            deployment.pods = [pod for pod in deployment.pods if pod.name in self._processes]

    # --- inside: workers

    def _in(self, least: float, most: float) -> datetime:
        return self.now + timedelta(seconds=self.random.uniform(least, most))

    def _begun(self, pod: SimPod) -> Process:
        started = self._in(0.2, 1.5)
        return Process(pod.revision, started, started + timedelta(seconds=self.random.uniform(0.5, 3)))

    def _end(self, process: Process) -> None:
        """SIGTERM comes within a second, Dramatiq looks for it each second, and a job takes its time."""
        process.silent_at = self._in(0, 1)
        process.idle_at = process.silent_at + timedelta(seconds=self.random.uniform(0, 1))
        process.gone_at = process.idle_at + timedelta(seconds=self.random.uniform(0, 2))

    def _do_jobs(self, process: Process, seconds: float) -> None:
        random = self.random.random
        if process.restarts < 2 and random() < self.restarts * seconds:
            # A third time would be a version that does not start.
            process.restarts += 1
            process.jobs = process.errors = 0
            process.started_at, process.up_at = self.now, self._in(0.5, 1.5)
            return
        share = max(self.fails.get(process.revision, 0.0), self.provider_fails)
        done = sum(random() < PACE * seconds for _ in range(THREADS))
        failed = sum(random() < share for _ in range(done))
        process.jobs += done
        process.errors += failed
        self._failed += failed
        for _ in range(failed):
            if random() < self.dies:
                heapq.heappush(self._dying, self._in(0.1, 2))

    # --- inside: what the operator reads

    def _begin_to_read(self) -> None:
        """An operator that has just started knows nothing."""
        levels = frozenset(metric_names(guard)[0] for guard in self._guards() if needs_levels(guard))
        self._fleet = PodFleet(keep=KEEP, stale_after=timedelta(seconds=3 * SCRAPES), levels=levels)
        self._answers = LastAnswers()
        self._history = QueueHistory(window=self.spec.scaling.scale_down_after)
        self._backend = Scraped(started_at=None, first_at=self.now, one_process=False)
        self._read_at: dict[str, datetime] = {}  # pods by name
        self._untold = False
        self._look_at = self.now

    def _guards(self) -> Iterator[Guard]:
        return (guard for guard, _ in guards_of(self.spec.guards))

    def _is_due(self, what: str, *, every: float) -> bool:
        """In seconds. What is to be read oftener from now on is due at once."""
        read_at = self._read_at.get(what)
        if read_at is not None and (self.now - read_at).total_seconds() < every:
            return False
        self._read_at[what] = self.now
        return True

    def _scrape(self) -> bool:
        """Each pod at its pace, see controller/scrape_pace; says whether that is to be looked at now."""
        pods = {name: process for name, process in self._processes.items() if process.started_at <= self.now}
        self._fleet.targets([(name, pod.revision, pod.told_start) for name, pod in pods.items()], self.now)
        self._answers.keep(pods.keys())
        rollout, news = self.status.rollout, News.NONE
        on_trial = rollout is not None and rollout.phase in ON_TRIAL
        candidate, closely = rollout.candidate_revision if rollout else None, is_finding(self.status.guards, self.now)
        usual = TRIAL_SCRAPES if on_trial else SCRAPES
        for name, process in pods.items():
            every = STEP.total_seconds() if closely or process.revision == candidate else usual
            if self._is_due(name, every=every):
                found = self._said_by(process)
                self._fleet.record(name, found, self.now)
                news = max(news, self._answers.take(name, process.revision, found, background={JOBS_METRIC}))
        self._fleet.stale_after = timedelta(seconds=3 * usual)
        self._untold = self._untold or news is News.LATER
        if news is News.NOW or (self._untold and self._is_due("what can wait", every=1)):
            self._untold = False
            return True
        return False

    def _said_by(self, process: Process) -> Scrape | Unknown:
        if not process.answers(self.now):
            return REFUSED
        if self.blind or process.revision in self.silent:
            return TIMEOUT
        latency = max(self.slow.get(process.revision, 0.0), self.provider_slow)
        return {
            ERRORS: Sample(float(process.errors), float(process.errors)),
            JOBS_METRIC: Sample(float(process.jobs), float(process.jobs)),
            LATENCY: Sample(latency, latency),
        }

    def _read_queue(self) -> bool:
        while self._dying and self._dying[0] <= self.now:
            heapq.heappop(self._dying)
            self._dead += 1
        if not self._is_due("queue", every=1):
            return False
        if self.outage:
            return self._history.record(an_outage().latest)
        # Threads are between two jobs now and then, or the queue would seem to stand still.
        threads = THREADS * sum(process.works(self.now) for process in self._processes.values())
        running = sum(self.random.random() < 0.9 for _ in range(min(threads, self.backlog)))
        return self._history.record(a_reading(self.backlog - running, running=running, dead=self._dead, at=self.now))

    def _read_backend(self) -> bool:
        if not self._is_due("backend", every=BACKEND_READS):
            return False
        failed, apart = float(self._failed), timedelta(seconds=3 * BACKEND_READS)
        said = {FAILED_JOBS: Sample(failed, failed)}
        self._backend.record(said, self.now, keep=KEEP, apart=apart, levels=frozenset())
        return True

    def _evidence(self) -> dict[str, Evidence]:
        return {guard.name: self._read(guard) for guard in self._guards()}

    def _read(self, guard: Guard) -> Evidence:
        match guard.metric.from_:
            case MetricOrigin.PODS:
                return self._fleet.evidence(guard, self.now)
            case MetricOrigin.QUEUE:
                return self._history.evidence(guard)
            case _:
                stale = timedelta(seconds=3 * BACKEND_READS)
                group = Group([self._backend], now=self.now, stale_after=stale, called="")
                return Evidence(overall=group.reduce(guard))

    def _jobs_done(self) -> dict[str, JobsDone | Unknown]:
        return self._fleet.jobs_done(self.now)

    def _queue(self) -> QueueView:
        return self._history.view()

    def _workload(self, role: Role) -> Workload | None:
        found = super()._workload(role)
        if found is None:
            return None
        pods = tuple(
            dataclasses.replace(pod, started_at=process.told_start, restarts=process.restarts)
            for pod in found.pods
            if (process := self._processes.get(pod.name)) is not None
        )
        return dataclasses.replace(found, pods=pods)

    def _seen_of_pods(self) -> list[tuple[str, bool, bool]]:
        return [
            (pod.name, pod.ready, pod.terminating)
            for deployment in self.deployments.values()
            for pod in deployment.pods
        ]
