"""What the operator says of a CrmIntegration. It is also the operator's memory of a rollout across restarts."""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from crm_operator.api.base import ApiModel, Timestamp

Text = Annotated[str, StringConstraints(max_length=1024)]
Name = Annotated[str, StringConstraints(max_length=63)]
RevisionName = Annotated[str, StringConstraints(max_length=32)]


class Phase(StrEnum):
    """One word for `kubectl get`."""

    HEALTHY = "Healthy"
    PROGRESSING = "Progressing"
    PAUSED = "Paused"
    DEGRADED = "Degraded"
    ROLLED_BACK = "RolledBack"


class RolloutPhase(StrEnum):
    """Where a rollout stands; domain/rollout.py has the transitions."""

    STABLE = "Stable"
    CANARY = "Canary"
    PROMOTING = "Promoting"
    BAKING = "Baking"
    ROLLING_BACK = "RollingBack"
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


class Condition(ApiModel):
    """As in metav1.Condition."""

    type: Annotated[str, StringConstraints(max_length=63)]
    status: Literal["True", "False", "Unknown"]
    observed_generation: int | None = None
    last_transition_time: Timestamp
    reason: Annotated[str, StringConstraints(min_length=1, max_length=63)]
    message: Text


class WorkersStatus(ApiModel):
    """Worker pods; `desired` is the sum that scaling wants, `stable` and `canary` how it is split."""

    desired: int
    ready: int
    stable: int
    canary: int


class QueueStatus(ApiModel):
    """The last reading worth writing down, in jobs."""

    waiting: int
    running: int
    delayed: int
    dead: int
    oldest_age_seconds: int | None = None
    #: When it was written here; the live numbers are in the operator's metrics.
    observed_time: Timestamp


class RolloutStatus(ApiModel):
    """The rollout's memory. Revisions are names of pod templates, see domain/revision.py."""

    phase: RolloutPhase
    #: Index into rollout.steps; 0 outside Canary.
    step: int = 0
    #: Percent asked for by the step; workers.canary shows the pods.
    weight: int = 0
    #: The last revision that finished its bake; a rollback goes there. Absent until the first one is up.
    stable_revision: RevisionName | None = None
    #: The revision being tried: Canary, Promoting, Baking.
    candidate_revision: RevisionName | None = Field(default=None, alias="canaryRevision")
    #: The revision that was rolled back; not tried again until the template changes.
    failed_revision: RevisionName | None = None
    #: When the current step, or phase outside Canary, began.
    step_start_time: Timestamp | None = None
    #: When the rollout began: what breached before is not the release's fault.
    start_time: Timestamp | None = None
    #: The last time something moved, for progressDeadline.
    progress_time: Timestamp | None = None
    #: Digest of rollout.steps; edited steps start again.
    steps_hash: Annotated[str, StringConstraints(max_length=32)] | None = None
    reason: Text | None = None


class GuardStatus(ApiModel):
    """A guard's verdict with what it rests on."""

    name: Name
    state: GuardState
    #: The value judged, as text with at most six significant digits.
    value: Annotated[str, StringConstraints(max_length=32)] | None = None
    threshold: Annotated[str, StringConstraints(max_length=32)] | None = None
    #: revision or provider, when the state is Critical.
    blame: Annotated[str, StringConstraints(max_length=16)] | None = None
    samples: int | None = None
    since: Timestamp
    message: Text | None = None


class SyncStatus(ApiModel):
    """Whether the sync runs, and since when."""

    state: SyncState
    since_time: Timestamp
    #: Names of the SyncPauses that hold it.
    pauses: list[Annotated[str, StringConstraints(max_length=253)]] = Field(default=[], max_length=100)


class Decision(ApiModel):
    """One thing the operator decided, newest last."""

    time: Timestamp
    what: Annotated[str, StringConstraints(max_length=63)]
    why: Text
    from_: Annotated[str, StringConstraints(max_length=64)] | None = Field(default=None, alias="from")
    to: Annotated[str, StringConstraints(max_length=64)] | None = None


class CrmIntegrationStatus(ApiModel):
    """Verdicts and memory; written by the operator only."""

    observed_generation: int = -1
    phase: Phase | None = None
    message: Text | None = None
    workers: WorkersStatus | None = None
    queue: QueueStatus | None = None
    rollout: RolloutStatus | None = None
    guards: list[GuardStatus] = Field(
        default=[],
        max_length=20,
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
    )
    sync: SyncStatus | None = None
    decisions: list[Decision] = Field(default=[], max_length=10, json_schema_extra={"x-kubernetes-list-type": "atomic"})
    conditions: list[Condition] = Field(
        default=[],
        max_length=16,
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
    )
