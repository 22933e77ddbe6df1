"""What a decision asks for: data, each with a `why`, carried out in order by `controller/apply.py`."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Literal

from crm_operator.api.v1alpha1 import CrmIntegrationStatus

Role = Literal["stable", "canary"]
ROLES: tuple[Role, ...] = ("stable", "canary")


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordRevision:
    """Store the spec's template under its revision, so that a rollback can find it."""

    revision: str
    keep: frozenset[str]  # revisions that pruning must spare
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ApplyTemplate:
    """Put a revision's template and the strategy into a Deployment, creating it at `replicas` when it is missing."""

    role: Role
    revision: str
    replicas: int  # of a new Deployment; an existing one keeps its size, which SetReplicas owns
    urgent: bool  # let every old pod go at once instead of a normal rolling update
    #: Only to be sure, after a restart: nothing seen asks for it.
    can_wait: bool = False
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SetReplicas:
    """Set the size of a Deployment."""

    role: Role
    replicas: int
    was: int
    #: Of a rollback or a pause: goes ahead even when an earlier write of the plan failed.
    stops_damage: bool = False
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SetDeletionCosts:
    """Say which pods should go first when a Deployment shrinks. Its failure is no failure of the plan."""

    costs: Mapping[str, int | None]  # by pod; None takes the pod's cost away
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteWorkload:
    """Delete a Deployment that no phase wants any more (an empty canary)."""

    role: Role
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteStatus:
    """Store this status. In the plan only when it is worth a write."""

    status: CrmIntegrationStatus
    #: Nothing was decided, only live numbers moved: it may be written later.
    can_wait: bool = False
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CreatePause:
    """Make a SyncPause of this integration, owned by it. From then on it is the users': it is never written again."""

    name: str
    reason: str  # one line, at most 200 characters
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EmitEvent:
    """Tell users, as a Kubernetes Event on the CrmIntegration."""

    type: Literal["Normal", "Warning"]
    reason: str  # CamelCase, past tense
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CountDecision:
    """Count what was decided and is not carried out (mode Observe); an Event would be a write."""

    what: str


Action = (
    RecordRevision
    | ApplyTemplate
    | SetReplicas
    | SetDeletionCosts
    | DeleteWorkload
    | WriteStatus
    | CreatePause
    | EmitEvent
    | CountDecision
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Actions in order, when to look again, and what the metrics should know."""

    actions: tuple[Action, ...] = ()
    #: Look again after this, even if nothing happens. None: only when something changes.
    requeue_after: timedelta | None = None
    #: A Deployment is to shrink and is held until it is clear which of its workers go.
    holds: bool = False
    #: Nothing was decided but that fewer workers will do. What is late for it costs a little, and harms nobody.
    saves: bool = False
    #: The status as of now, also when it is not worth a write: for explain and metrics.
    status: CrmIntegrationStatus = field(default_factory=CrmIntegrationStatus)

    @property
    def can_wait(self) -> bool:
        """There is something to do, and none of it is urgent."""
        return bool(self.actions) and all(self._waits(action) for action in self.actions)

    @property
    def only_tells(self) -> bool:
        """There is something to do, and it is no more than to write live numbers."""
        return bool(self.actions) and all(isinstance(a, WriteStatus) and a.can_wait for a in self.actions)

    def _waits(self, action: Action) -> bool:
        if isinstance(action, WriteStatus | ApplyTemplate) and action.can_wait:
            return True
        return self.saves and isinstance(action, WriteStatus | SetReplicas | SetDeletionCosts | EmitEvent)
