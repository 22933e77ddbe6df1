"""What the operator says of a CrmIntegration, and has to know of it after a restart."""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from crm_operator.api.base import ApiModel, Timestamp
from crm_operator.api.v1alpha1.rollout_status import RolloutStatus
from crm_operator.api.v1alpha1.text import Name, Number, RevisionName, Text


class Phase(StrEnum):
    """One word for `kubectl get`."""

    HEALTHY = "Healthy"
    PROGRESSING = "Progressing"
    PAUSED = "Paused"
    DEGRADED = "Degraded"
    ROLLED_BACK = "RolledBack"


class GuardState(StrEnum):
    """A guard's verdict. Unknown: could not judge, and blocks. Inactive: nothing to judge, and does not."""

    OK = "OK"
    WARNING = "Warning"
    CRITICAL = "Critical"
    UNKNOWN = "Unknown"
    INACTIVE = "Inactive"


class SyncState(StrEnum):
    """Whether the sync runs."""

    RUNNING = "Running"
    PAUSING = "Pausing"
    PAUSED = "Paused"


class Answer(StrEnum):
    """What was done about a critical guard."""

    ROLLBACK = "Rollback"
    PAUSE = "Pause"
    STEP_BACK = "StepBack"


class AutomaticPauseState(StrEnum):
    """Where the SyncPause that the operator makes stands; domain/respond.py has the transitions."""

    REQUESTED = "Requested"
    HOLDING = "Holding"
    LIFTED = "Lifted"


class Verb(StrEnum):
    """What a person may ask of a rollout, by an annotation of that name."""

    ABORT = "abort"
    RETRY = "retry"
    PROMOTE = "promote"


class VerbResult(StrEnum):
    """What became of it. Ignored: there was nothing to do it to. Refused: the value makes no sense."""

    DONE = "Done"
    IGNORED = "Ignored"
    REFUSED = "Refused"


class Condition(ApiModel):
    """As in metav1.Condition."""

    type: Annotated[str, StringConstraints(max_length=63)] = Field(
        description="Ready, Reconciling, Stalled, QueueReachable, MetricsAvailable, Scaled, Paused, RolledBack "
        "or VerbsAccepted."
    )
    status: Literal["True", "False", "Unknown"] = Field(
        description="True, False, or Unknown when it could not be found out."
    )
    observed_generation: int | None = Field(default=None, description="The metadata.generation that this was true of.")
    last_transition_time: Timestamp = Field(description="When status last changed.")
    reason: Annotated[str, StringConstraints(min_length=1, max_length=63)] = Field(
        description="One CamelCase word for programs."
    )
    message: Text = Field(description="For people: field, value and remedy.")


class WorkersStatus(ApiModel):
    """Worker pods; `desired` is the sum that scaling wants, `stable` and `canary` how it is split."""

    desired: int = Field(description="Pods that scaling wants.")
    ready: int = Field(description="Pods that are Ready, of both versions.")
    stable: int = Field(description="Pods wanted of the stable version.")
    canary: int = Field(description="Pods wanted of the new version.")


class QueueStatus(ApiModel):
    """The last reading worth writing down, in jobs."""

    waiting: int = Field(description="Ready to be taken.")
    running: int = Field(description="Taken by a worker and not acknowledged.")
    delayed: int = Field(description="Waiting for their time.")
    dead: int = Field(description="Given up by the workers and still kept by the broker.")
    oldest_age_seconds: int | None = Field(
        default=None, description="Age of the oldest waiting job; absent when nothing waits or its age cannot be read."
    )
    observed_time: Timestamp = Field(
        description="When it was written here; the live numbers are in the operator's metrics."
    )


class GrowthStatus(ApiModel):
    """The last time that more workers were asked for; growths close together are one."""

    from_: int = Field(alias="from", description="The size before.")
    time: Timestamp = Field(description="When the size last rose.")


class CeilingStatus(ApiModel):
    """A size that worked, after a growth that broke connections; domain/step_back.py has the rule."""

    size: int = Field(description="No more workers than these.")
    broke_at: int = Field(description="The size at which connections failed.")
    guard: Name = Field(description="The guard that saw it.")
    time: Timestamp = Field(description="When the size was stepped back.")
    until_time: Timestamp = Field(
        description="When it is free again. It is remembered for an hour longer: the next one lasts twice as long."
    )


class ScalingStatus(ApiModel):
    """What scaling reckons with, and its memory of the provider's refusals."""

    job_duration_milliseconds: int = Field(description="How long one job takes.")
    learned_revision: RevisionName | None = Field(
        default=None,
        description="The version whose workers' metrics taught the duration; absent: it is scaling.jobDuration.",
    )
    arrival_rate: float | None = Field(
        default=None, description="Jobs per second that arrive, estimated; absent without a reading."
    )
    rate_limit_percent: int | None = Field(
        default=None,
        description="The share of scaling.rateLimit that is used: halved by refusals (HTTP 429), "
        "10 more a minute without; absent without a limit.",
    )
    rate_limit_time: Timestamp | None = Field(default=None, description="When that share last changed.")
    growth: GrowthStatus | None = Field(default=None, description="The last growth; absent before the first.")
    ceiling: CeilingStatus | None = Field(
        default=None, description="A size that is not exceeded, because more workers broke connections."
    )


class GuardStatus(ApiModel):
    """A guard's verdict with what it rests on."""

    name: Name = Field(description="Of the guard in the spec, or of the built-in one.")
    state: GuardState = Field(description="The verdict.")
    value: Number | None = Field(
        default=None, description="The value judged, as text with at most six significant digits."
    )
    revision: RevisionName | None = Field(
        default=None, description="The version whose value it is; absent: it is of all that run."
    )
    stable_value: Number | None = Field(
        default=None, description="The same of the stable version, while another one is on trial and both are read."
    )
    threshold: Number | None = Field(default=None, description="The threshold that the value was compared with.")
    window: Annotated[str, StringConstraints(max_length=32)] | None = Field(
        default=None, description="The time that the value is of; absent: it is the newest one."
    )
    blame: Annotated[str, StringConstraints(max_length=16)] | None = Field(
        default=None,
        description="Of Critical: revision, provider, or undecided while nobody can tell yet.",
    )
    samples: int | None = Field(default=None, description="Pods or readings that the value rests on.")
    since: Timestamp = Field(description="When the state last changed, or its reason came again.")
    clear_time: Timestamp | None = Field(
        default=None,
        description="Of Warning and Critical: since when the value is better than that. The state follows when this "
        "has lasted a minute, or the guard's window, if that is shorter; until then it only holds.",
    )
    stable_clear_time: Timestamp | None = Field(
        default=None,
        description="Of Critical with the provider to blame: since when the stable version does clearly better. "
        "When that lasts, the release is to blame after all.",
    )
    answer: Answer | None = Field(
        default=None,
        description="What was done while it was Critical: Rollback, Pause or StepBack. No other pause answers it "
        "before it has been clear, for its whole window after a pause; after a step back, before the ceiling is over.",
    )
    message: Text | None = Field(default=None, description="Why, when the state needs a word.")


class SyncStatus(ApiModel):
    """Whether the sync runs, and since when."""

    state: SyncState = Field(description="Whether workers run.")
    since_time: Timestamp = Field(description="When the state last changed.")
    took_seconds: float | None = Field(
        default=None, description="Of Paused: from the pause to the end of the last worker."
    )
    pauses: list[Annotated[str, StringConstraints(max_length=253)]] = Field(
        default=[],
        max_length=100,
        description="Names of the SyncPauses that hold it.",
        json_schema_extra={"x-kubernetes-list-type": "atomic"},
    )


class AutomaticPauseStatus(ApiModel):
    """The SyncPause that the operator made of itself (onCritical.pause); recorded before it is made."""

    name: Annotated[str, StringConstraints(max_length=253)] = Field(description="Of the SyncPause.")
    state: AutomaticPauseState = Field(
        description="Requested: to be made. Holding: it was made. Lifted: a person lifted or deleted it."
    )
    guard: Name = Field(description="The guard that asked for it.")
    request_time: Timestamp = Field(description="When it was decided.")
    reason: Annotated[str, StringConstraints(max_length=200)] = Field(description="Its spec.reason.")


class VerbStatus(ApiModel):
    """The last value of one annotation that was answered; the same value is not answered again."""

    name: Verb = Field(description="abort, retry or promote: the annotation crm.agoralia.app/NAME.")
    value: Annotated[str, StringConstraints(max_length=64)] = Field(
        description="The annotation's value; a digest of one that is not fit for a status."
    )
    time: Timestamp = Field(description="When it was answered.")
    result: VerbResult = Field(description="Done, Ignored or Refused.")
    message: Text | None = Field(default=None, description="The decision that it led to, or why there is none.")


class NextStep(ApiModel):
    """What comes next."""

    what: Text = Field(description="One sentence.")
    time: Timestamp | None = Field(default=None, description="When; absent when it is not a matter of time.")


class DecisionEvidence(ApiModel):
    """The guard that a decision rests on, as it was then."""

    guard: Name = Field(description="Its name.")
    value: Number | None = Field(default=None, description="The value judged.")
    stable_value: Number | None = Field(default=None, description="The same of the stable version, where it was read.")
    threshold: Number | None = Field(default=None, description="The limit that was crossed.")
    window: Annotated[str, StringConstraints(max_length=32)] | None = Field(
        default=None, description="The time that the value is of; absent: it is the newest one."
    )
    samples: int | None = Field(default=None, description="Pods or readings that the value rests on.")
    blame: Annotated[str, StringConstraints(max_length=16)] | None = Field(
        default=None, description="revision, provider or undecided."
    )


class Decision(ApiModel):
    """One thing the operator decided, newest last."""

    time: Timestamp = Field(description="When it was decided.")
    what: Annotated[str, StringConstraints(max_length=63)] = Field(
        description="One CamelCase word, the reason of the Event that went with it."
    )
    why: Text = Field(description="The numbers behind it.")
    from_: Annotated[str, StringConstraints(max_length=64)] | None = Field(
        default=None, alias="from", description="The value before: a size, a weight, a revision."
    )
    to: Annotated[str, StringConstraints(max_length=64)] | None = Field(default=None, description="The value after.")
    evidence: DecisionEvidence | None = Field(
        default=None, description="The guard that led to it; absent when none did."
    )
    next: NextStep | None = Field(default=None, description="What was to come next then.")


class CrmIntegrationStatus(ApiModel):
    """Verdicts and memory; written by the operator only."""

    observed_generation: int = Field(
        default=-1, description="The metadata.generation that the operator last acted on; -1: none yet."
    )
    phase: Phase | None = Field(default=None, description="One word; the conditions have the detail.")
    message: Text | None = Field(default=None, description="One sentence with numbers.")
    next: NextStep | None = Field(default=None, description="What comes next, and when.")
    workers: WorkersStatus | None = Field(default=None, description="Worker pods.")
    queue: QueueStatus | None = Field(default=None, description="Jobs in the queues.")
    scaling: ScalingStatus | None = Field(default=None, description="What the size rests on.")
    rollout: RolloutStatus | None = Field(default=None, description="The running or last rollout.")
    verbs: list[VerbStatus] = Field(
        description="What was asked by annotations, and what became of it.",
        default=[],
        max_length=8,
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
    )
    guards: list[GuardStatus] = Field(
        description="Verdicts, one per guard.",
        default=[],
        max_length=32,
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
    )
    sync: SyncStatus | None = Field(default=None, description="Whether the sync runs.")
    automatic_pause: AutomaticPauseStatus | None = Field(
        default=None, description="The pause that a critical guard led to; absent when the last one is over."
    )
    decisions: list[Decision] = Field(
        default=[],
        max_length=10,
        json_schema_extra={"x-kubernetes-list-type": "atomic"},
        description="The last 10 decisions, newest last.",
    )
    conditions: list[Condition] = Field(
        description="As in Kubernetes' own objects.",
        default=[],
        max_length=16,
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
    )
