"""Everything that a decision may look at, frozen. `controller/observe.py` builds it; tests build it by hand.

"Could not read" is a value here (`Unknown`), so that nobody can take a failed read for a zero.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum
from typing import Any

from crm_operator.api.v1alpha1 import CrmIntegrationSpec, CrmIntegrationStatus, Guard, GuardBaseline, GuardState, Verb
from crm_operator.domain.plan import Action

#: The reason of an Unknown that time alone will end: not read yet, or not often enough.
STARTING = "Starting"


@dataclass(frozen=True, slots=True)
class Unknown:
    """A read that gave no value."""

    #: One clause for status, naming the field and the remedy where there is one. No bodies, no secrets.
    why: str
    #: CamelCase, for a condition's reason.
    reason: str = "Unavailable"


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueReading:
    """Jobs in an integration's queues, summed, all from one broker at one time."""

    waiting: int  # ready to be taken, >= 0
    running: int  # fetched by a worker and not acknowledged, >= 0
    delayed: int  # waiting for their time, >= 0
    due: int  # of `delayed`, due within the workers' start delay, >= 0
    orphaned: int  # of `running`, held by workers that died, >= 0
    dead: int  # dead-lettered and still kept, >= 0
    oldest_age: timedelta | None  # of the oldest waiting job; None: nothing waits, or its age cannot be read
    at: datetime  # when the broker answered

    @property
    def backlog(self) -> int:
        """Jobs that need a worker now: waiting, running and those due before a worker could start."""
        return self.waiting + self.running + self.due


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueView:
    """The newest reading, and since when readings are good."""

    latest: QueueReading | Unknown
    #: Readings have been good without a gap since then. None: the newest one is not good.
    good_since: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What the readings of a while say beyond the newest one, see domain/load."""

    #: Jobs per second that arrive, >= 0. None: no good reading.
    arrival_rate: float | None = None
    #: The most workers that were needed at any time within `scaling.scaleDownAfter`, before any bound.
    peak: float | None = None
    #: When to look again though no reading changes: the peak leaves its window, or the rate still moves.
    look_again: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Pod:
    """A worker pod."""

    name: str
    role: str  # stable | canary
    revision: str
    ready: bool
    terminating: bool
    started_at: datetime | None
    restarts: int = 0  # of the worker container
    #: Why the worker container does not run, as the kubelet says it: ImagePullBackOff, CrashLoopBackOff, ...
    waiting_reason: str | None = None
    waiting_message: str | None = None
    node: str = ""  # its name; empty: not bound to one yet
    deletion_cost: int = 0  # as a ReplicaSet reads it; lower goes first


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """One of the two Deployments as the API server has it."""

    revision: str  # the label on its pod template
    replicas: int  # spec
    updated: int = 0  # status.updatedReplicas
    ready: int = 0
    available: int = 0
    total: int = 0  # status.replicas, old pods included, terminating ones not
    observed: bool = False  # status.observedGeneration == metadata.generation
    #: Template and strategy are as the operator last applied them and would now, and owner and labels are right.
    #: False makes the plan apply it again.
    intact: bool = True
    #: This process has applied it before. After a restart nobody knows whether it is intact, and likely it is.
    applied: bool = True
    #: The operator's strategy for a rollback (all old pods at once) is in place.
    urgent_strategy: bool = False
    #: Why the API server does not let it make pods (quota, admission), in its words, shortened.
    pods_refused: str | None = None
    pods: tuple[Pod, ...] = ()

    @property
    def complete(self) -> bool:
        """Its newest template runs in all wanted pods, and no old pod is left outside termination."""
        return self.observed and self.updated == self.total == self.replicas and self.available >= self.replicas


@dataclass(frozen=True, slots=True)
class Recent:
    """What a side did in the last `span`: to compare versions over one time, however long each has run."""

    span: timedelta
    value: float  # growth of the guard's counter, >= 0; of a Quantile, an Average or a Max that value
    #: Jobs finished meanwhile; of a Ratio the growth of the counter below the line, of a Quantile the observations, of
    #: an Average or a Max the processes that had a value. None: not counted.
    base: float | None


@dataclass(frozen=True, slots=True)
class Breadth:
    """In how many workspaces a counter grew within the window."""

    count: int  # >= 0
    unsure: Unknown | None = None  # why there may be more


@dataclass(frozen=True, slots=True, kw_only=True)
class Over:
    """In how many evaluations a value was above its guard's limits, see domain/breaches."""

    warning: int = 0  # running, up to now
    critical: int = 0  # running, up to now
    total: int = 0  # above critical, in the present rollout


@dataclass(frozen=True, slots=True)
class Reading:
    """One metric of one side, reduced over the guard's window."""

    value: float  # finite
    samples: int  # pods or readings that it rests on, >= 1
    at: datetime  # of its newest sample
    #: The value at the evaluation before, on an older sample. A gauge must breach twice running. None: no such.
    previous: float | None = None
    #: Why `value` is only a lower bound, e.g. its window is not filled yet. Above a limit it is real.
    lower_bound: Unknown | None = None
    #: But for a Last, where versions can be told apart: from the shortest span to the whole window, or the
    #: window alone where there is one version.
    recent: tuple[Recent, ...] = ()
    #: Where the guard asks for it (minWorkspaces).
    breadth: Breadth | None = None
    #: Each process has its newest sample; this is when the first of these was taken. None: all at `at`.
    oldest: datetime | None = None
    #: Where the guard asks for it (breaches). None: not counted yet.
    over: Over | None = None
    #: Of pods: all that are there refuse connections since, as a worker does that ends. Nothing follows.
    is_last: bool = False
    #: Of pods: since when one of them at least is read without a gap. None: it is not known.
    read_since: datetime | None = None
    #: ... and when they had ended a job last: after this time. None: they count none, or none of late.
    worked_since: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What one guard's metric says."""

    #: By revision, when the source can tell revisions apart; a revision that has no pods is absent.
    by_revision: Mapping[str, Reading | Unknown] = field(default_factory=dict)
    #: Over all revisions.
    overall: Reading | Unknown
    #: The guard as it was read, if not as it is in force: a default guard from another source. None: as it is in force.
    asked: Guard | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class JobsDone:
    """Jobs finished by one revision's pods since they started, from the workers' own counters."""

    count: int
    since: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class JobTime:
    """How long the jobs of one revision took of late, from the workers' own histograms."""

    mean: timedelta  # > 0, at most an hour
    jobs: int  # that it rests on, >= 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Shrink:
    """What this process remembers of a Deployment that is to shrink and is held, and of choosing who goes."""

    #: When the pass was that held it first. None: none is held.
    since: datetime | None = None
    #: Why the newest deletion costs could not be written, and when that was. None: they were, or none were needed.
    refused: Unknown | None = None
    refused_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Neighbour:
    """A guard of another integration of the same provider, which has no release on trial."""

    name: str  # of the integration
    metric: str  # that the guard reads
    state: GuardState  # not Inactive
    since: datetime
    reads_every: timedelta = timedelta()  # what it says may be so old
    is_kept: bool = False  # its value is better than its state by now, see domain/clearing


@dataclass(frozen=True, slots=True, kw_only=True)
class Idle:
    """Since when one version's Ready workers have finished nothing although jobs waited, see domain/idle."""

    since: datetime
    #: Since when they have held no job either. None: they hold some, or it is not known.
    empty_handed: datetime | None = None
    #: Jobs that they finished in all. None: not counted.
    finished: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause:
    """A SyncPause that matches this integration and is effective now."""

    name: str
    reason: str
    since: datetime  # when the operator first saw it
    expires: datetime | None = None


class OwnPause(Enum):
    """The SyncPause that the operator made, or means to make, under the name that status records."""

    ABSENT = "absent"
    PAUSED = "paused"
    LIFTED = "lifted"
    FOREIGN = "somebody else's"


@dataclass(frozen=True, slots=True)
class TemplateRefused:
    """The API server refused `workers.template`."""

    message: str  # its own words, shortened
    retry_at: datetime | None = None  # when to ask again; the cause may lie outside the template (quota, admission)


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusedWrite:
    """A write of the pass before that the API server refused (quota, admission, RBAC), or that we refused ourselves."""

    action: Action
    why: str  # its own words, shortened
    reason: str  # CamelCase, for a condition
    since: datetime  # of this spec some write has been refused in each pass since then


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """One CrmIntegration and all that bears on it, at one time."""

    now: datetime
    namespace: str
    name: str
    uid: str
    generation: int
    spec: CrmIntegrationSpec
    status: CrmIntegrationStatus  # as recorded; the memory of the rollout
    #: The revision of spec.workers.template.
    target: str
    #: Its worker's image. None: it has none that a status can hold.
    image: str | None = None
    #: Another integration of this namespace that rolled this image back; looked up only where it can matter.
    image_failed_in: str | None = None
    #: Its verdict: None = accepted by a server-side dry run, or Unknown = could not be asked.
    template: TemplateRefused | Unknown | None = None
    stable: Workload | None = None  # Deployment NAME
    canary: Workload | None = None  # Deployment NAME-canary
    #: Revisions whose template is stored, or could be read; a rollback can go there.
    known_revisions: frozenset[str] = frozenset()
    queue: QueueView = QueueView(latest=Unknown("no reading yet", STARTING))
    load: Load = Load()
    evidence: Mapping[str, Evidence] = field(default_factory=dict)  # by guard name
    jobs_done: Mapping[str, JobsDone | Unknown] = field(default_factory=dict)  # by revision
    job_times: Mapping[str, JobTime] = field(default_factory=dict)  # by revision, of those that did enough jobs
    #: Jobs begun and not ended, by pod name: of Ready pods that do not drain. One that was not read is absent.
    in_progress: Mapping[str, int] = field(default_factory=dict)
    in_progress_at: Mapping[str, datetime] = field(default_factory=dict)  # when each of these was read
    shrink: Shrink = Shrink()
    #: While a version works without a stable one beside it: who else fails.
    neighbours: tuple[Neighbour, ...] = ()
    #: By guard, what the recorded stable version did of late, see domain/baseline.
    baseline: Mapping[str, GuardBaseline] = field(default_factory=dict)
    #: By revision with Ready workers, while jobs wait.
    idle: Mapping[str, Idle] = field(default_factory=dict)
    #: The provider's refusals (HTTP 429) in the last minute; None: nobody counts them, or there is no limit.
    rate_limit_hits: Reading | Unknown | None = None
    #: Backlogs of the other integrations that share the rate limit's account; None: could not be read.
    sharing: tuple[int | None, ...] = ()
    #: Whether the workers' metrics can be read; None: not configured, or no pod to read.
    metrics: Unknown | None = None
    #: Who else scales a Deployment of ours, as people call it: `HorizontalPodAutoscaler cpu`. By role.
    scaled_by: Mapping[str, str] = field(default_factory=dict)
    pauses: tuple[Pause, ...] = ()
    #: The object that status.automaticPause names; ABSENT also when it names none.
    own_pause: OwnPause = OwnPause.ABSENT
    #: The annotations by which people ask something of the rollout, as they are now.
    verbs: Mapping[Verb, str] = field(default_factory=dict)
    #: None: no write of the pass before was refused.
    refused: RefusedWrite | None = None

    @property
    def refused_since(self) -> datetime:
        """Since when writes have been refused, should one of this pass be."""
        goes_on = self.refused is not None and self.status.observed_generation == self.generation
        return self.refused.since if self.refused is not None and goes_on else self.now


#: The JSON of a pod template as the user wrote it.
Template = dict[str, Any]
