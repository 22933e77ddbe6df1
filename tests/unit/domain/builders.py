"""Builders that say only what matters to a test; the rest is a healthy integration in steady state."""

from datetime import UTC, datetime, timedelta
from typing import Any

from crm_operator.api.v1alpha1 import (
    CrmIntegrationSpec,
    CrmIntegrationStatus,
    Guard,
    GuardState,
    GuardStatus,
    RolloutPhase,
    RolloutStatus,
    WorkersStatus,
)
from crm_operator.domain.plan import Action
from crm_operator.domain.revision import revision_of
from crm_operator.domain.rollout import steps_hash
from crm_operator.domain.world import (
    Evidence,
    Pause,
    Pod,
    QueueReading,
    QueueView,
    Reading,
    Recent,
    RefusedWrite,
    Unknown,
    Workload,
    World,
)

NOW = datetime(2026, 11, 24, 3, 0, 0, tzinfo=UTC)
GOOD = "aaaaaaaaaaaaaaaa"
SECOND = timedelta(seconds=1)
#: From the first verdict that is open to the scrape of all workers, in seconds.
AT_ONCE = 0.04


def a_template(version: str = "v2") -> dict[str, Any]:
    return {"spec": {"containers": [{"name": "worker", "image": f"worker:{version}"}]}}


#: The revision of the template in `a_spec()`.
NEW = revision_of(a_template())


def a_spec(**parts: Any) -> CrmIntegrationSpec:
    """`parts` replace whole members of the spec, in wire spelling."""
    wire: dict[str, Any] = {
        "provider": "hubspot",
        "workers": {"template": a_template(), "concurrency": 2},
        "queue": {"url": "redis://redis:6379/0", "names": ["crm_hubspot"]},
        "scaling": {"maxReplicas": 20, "backlogPerReplica": 10, "scaleDownAfter": "20s"},
        "rollout": {
            "steps": [{"weight": 20, "hold": "60s"}, {"weight": 50, "hold": "60s"}],
            "bake": "5m",
            "progressDeadline": "10m",
            "minJobs": 0,
        },
        "metrics": {"pods": {"port": 9191}},
        "guards": [a_guard().to_wire()],
    }
    return CrmIntegrationSpec.model_validate(wire | parts)


def a_guard(**parts: Any) -> Guard:
    wire: dict[str, Any] = {
        "name": "sync-errors",
        "metric": {"from": "pods", "name": "crm_sync_errors_total"},
        "reduce": "Increase",
        "window": "5m",
        "warning": {"above": 0},
        "critical": {"above": 10},
    }
    return Guard.model_validate({key: value for key, value in (wire | parts).items() if value is not None})


def a_reading(waiting: int = 0, *, at: datetime = NOW, **parts: Any) -> QueueReading:
    fields: dict[str, Any] = {"running": 0, "delayed": 0, "due": 0, "orphaned": 0, "dead": 0, "oldest_age": None}
    return QueueReading(waiting=waiting, at=at, **(fields | parts))


def a_queue(waiting: int = 0, *, good_for: float = 3600, now: datetime = NOW) -> QueueView:
    """A good reading; readings have been good for `good_for` seconds."""
    return QueueView(latest=a_reading(waiting, at=now), good_since=now - timedelta(seconds=good_for))


def an_outage(why: str = "spec.queue.url: redis:6379 refused the connection", reason: str = "Refused") -> QueueView:
    return QueueView(latest=Unknown(why, reason))


def a_refusal(action: Action, why: str = "denied by policy", *, since: datetime = NOW) -> RefusedWrite:
    why = f"the API server refused a write: {why}"
    return RefusedWrite(action=action, why=why, reason="WriteRefused", since=since)


def pods(
    count: int, *, role: str = "stable", revision: str = GOOD, ready: bool = True, **parts: Any
) -> tuple[Pod, ...]:
    fields: dict[str, Any] = {"terminating": False, "started_at": NOW - timedelta(minutes=1)}
    return tuple(
        Pod(name=f"{role}-{revision[:4]}-{n}", role=role, revision=revision, ready=ready, **(fields | parts))
        for n in range(count)
    )


def a_workload(
    replicas: int, *, role: str = "stable", revision: str = GOOD, ready: int | None = None, **parts: Any
) -> Workload:
    """A Deployment whose rolling update is complete, with all pods Ready unless told otherwise."""
    up = replicas if ready is None else ready
    fields: dict[str, Any] = {
        "updated": replicas,
        "ready": up,
        "available": up,
        "total": replicas,
        "observed": True,
        "pods": pods(up, role=role, revision=revision) + pods(replicas - up, role=role, revision=revision, ready=False),
    }
    return Workload(revision=revision, replicas=replicas, **(fields | parts))


def a_rollout(phase: RolloutPhase = RolloutPhase.STABLE, **parts: Any) -> RolloutStatus:
    """`Stable` at GOOD; Canary, Promoting and Baking try NEW."""
    fields: dict[str, Any] = {"stable_revision": GOOD, "start_time": NOW - timedelta(minutes=10)}
    if phase in (RolloutPhase.CANARY, RolloutPhase.PROMOTING, RolloutPhase.BAKING):
        fields["candidate_revision"] = NEW
        fields["steps_hash"] = steps_hash(a_spec().rollout.steps)
    if phase is RolloutPhase.CANARY:
        fields |= {"weight": 20, "step_start_time": NOW - timedelta(minutes=10)}
    if phase in (RolloutPhase.ROLLING_BACK, RolloutPhase.ROLLED_BACK):
        fields |= {"failed_revision": NEW, "reason": "crm_sync_errors_total +12 > 10 in 5m"}
    return RolloutStatus(phase=phase, **(fields | parts))


def a_status(rollout: RolloutStatus | None = None, *, desired: int = 10, **parts: Any) -> CrmIntegrationStatus:
    workers = WorkersStatus(desired=desired, ready=desired, stable=desired, canary=0)
    return CrmIntegrationStatus(rollout=rollout or a_rollout(), workers=workers, **parts)


def a_world(**parts: Any) -> World:
    """Ten Ready workers at GOOD, a hundred jobs waiting, and a new template in the spec."""
    fields: dict[str, Any] = {
        "now": NOW,
        "namespace": "crm",
        "name": "hubspot",
        "uid": "u-1",
        "generation": 2,
        "spec": a_spec(),
        "status": a_status(),
        "target": NEW,
        "stable": a_workload(10),
        "known_revisions": frozenset({GOOD, NEW}),
        "queue": a_queue(100),
        "evidence": {"sync-errors": evidence()},
    }
    return World(**(fields | parts))


def a_canary_world(**parts: Any) -> World:
    """Step 0 of a canary, its hold over: two of ten workers are Ready at NEW, and nothing objects."""
    fields: dict[str, Any] = {
        "status": a_status(a_rollout(RolloutPhase.CANARY)),
        "stable": a_workload(8),
        "canary": a_workload(2, role="canary", revision=NEW),
        "evidence": {"sync-errors": evidence(new=0, good=0)},
    }
    return a_world(**(fields | parts))


def read(value: float, *, samples: int = 1, previous: float | None = None) -> Reading:
    return Reading(value=value, samples=samples, at=NOW, previous=previous)


def was(blame: str, *, for_seconds: float = 0, clear_for: float | None = None) -> GuardStatus:
    """A guard that was Critical since `for_seconds` ago."""
    return GuardStatus(
        name="sync-errors",
        state=GuardState.CRITICAL,
        blame=blame,
        since=NOW - for_seconds * SECOND,
        stable_clear_time=None if clear_for is None else NOW - clear_for * SECOND,
    )


def did(errors: float, jobs: float | None, *, before: tuple[float, float] = (0, 0), samples: int = 1) -> Reading:
    """`errors` of `jobs` in the last two seconds, and `before` that in the window of five minutes."""
    whole = Recent(300 * SECOND, errors + before[0], None if jobs is None else jobs + before[1])
    return Reading(whole.value, samples=samples, at=NOW, recent=(Recent(2 * SECOND, errors, jobs), whole))


def evidence(
    *, new: float | Unknown | None = None, good: float | Unknown | None = 0, overall: float | Unknown | None = None
) -> Evidence:
    """What one metric says of NEW and GOOD, per side and read on all pods; `overall` defaults to their sum."""
    sides = {
        revision: value if isinstance(value, Unknown) else read(value, samples=10)
        for revision, value in ((NEW, new), (GOOD, good))
        if value is not None
    }
    if overall is None:
        values = [side.value for side in sides.values() if isinstance(side, Reading)]
        overall = sum(values) if values else Unknown("there is no pod to read", "NoPods")
    return Evidence(by_revision=sides, overall=overall if isinstance(overall, Unknown) else read(overall))


def a_pause(name: str = "hubspot", *, reason: str = "INC-42", **parts: Any) -> Pause:
    fields: dict[str, Any] = {"since": NOW - timedelta(seconds=5)}
    return Pause(name=name, reason=reason, **(fields | parts))
