"""The `crm_*` gauges of each integration, put together when `/metrics` is read.

An integration has seventeen series, each of which costs far more memory than the few numbers that they are made of.
"""

from datetime import timedelta
from typing import NamedTuple

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from crm_operator.api.v1alpha1.status import CrmIntegrationStatus, Phase
from crm_operator.domain.key import Key
from crm_operator.domain.world import QueueReading

_IDENT = ("namespace", "name")
_WORKERS = ("desired", "ready", "stable", "canary")
_JOBS = ("waiting", "running", "delayed", "dead")


class _Queue(NamedTuple):
    jobs: tuple[int, ...]  # as _JOBS
    backlog: int
    orphaned: int
    oldest: float | None  # seconds; None: it cannot be read


class _Shown(NamedTuple):
    """Of one integration; None: there is nothing to show of it yet, or any more."""

    phase: Phase | None
    workers: tuple[int, ...] | None  # as _WORKERS
    weight: int | None  # percent
    queue: _Queue | None


class IntegrationMetrics(Collector):
    """Told of each look, asked by the registry; both on one loop."""

    def __init__(self) -> None:
        self._shown: dict[Key, _Shown] = {}

    def show(self, key: Key, status: CrmIntegrationStatus, *, reading: QueueReading | None) -> None:
        """A status as computed, written or not. An old number of a queue would look like a fresh one: none is kept."""
        workers = status.workers
        self._shown[key] = _Shown(
            phase=status.phase,
            workers=None if workers is None else tuple(getattr(workers, state) for state in _WORKERS),
            weight=None if status.rollout is None else status.rollout.weight,
            queue=None if reading is None else _queue(reading),
        )

    def forget(self, key: Key) -> None:
        """The CrmIntegration is gone, and so are its series."""
        self._shown.pop(key, None)

    def describe(self) -> list[GaugeMetricFamily]:
        return list(_families().values())

    def collect(self) -> list[GaugeMetricFamily]:
        of = _families()
        for key, shown in self._shown.items():
            ident = (key.namespace, key.name)
            if shown.phase is not None:
                for phase in Phase:
                    of["phase"].add_metric((*ident, phase), float(shown.phase == phase))
            for state, count in zip(_WORKERS, shown.workers or (), strict=False):
                of["workers"].add_metric((*ident, state), count)
            if shown.weight is not None:
                of["weight"].add_metric(ident, shown.weight)
            if shown.queue is not None:
                for state, count in zip(_JOBS, shown.queue.jobs, strict=True):
                    of["jobs"].add_metric((*ident, state), count)
                of["backlog"].add_metric(ident, shown.queue.backlog)
                of["orphaned"].add_metric(ident, shown.queue.orphaned)
                if shown.queue.oldest is not None:
                    of["oldest"].add_metric(ident, shown.queue.oldest)
        return list(of.values())


def _queue(reading: QueueReading) -> _Queue:
    known = reading.oldest_age is not None or not reading.waiting
    return _Queue(
        jobs=tuple(getattr(reading, state) for state in _JOBS),
        backlog=reading.backlog,
        orphaned=reading.orphaned,
        oldest=(reading.oldest_age or timedelta(0)).total_seconds() if known else None,
    )


def _families() -> dict[str, GaugeMetricFamily]:
    def family(name: str, documentation: str, *labels: str) -> GaugeMetricFamily:
        return GaugeMetricFamily(name, documentation, labels=(*_IDENT, *labels))

    return {
        "phase": family("crm_integration_phase", "1 for the present phase.", "phase"),
        "workers": family("crm_workers", "Worker pods.", "state"),
        "weight": family("crm_rollout_weight_percent", "Share asked for by the rollout step."),
        "jobs": family("crm_queue_jobs", "Jobs in the integration's queues.", "state"),
        "oldest": family(
            "crm_queue_oldest_age_seconds",
            "Age of the oldest waiting job; 0: none waits, absent: its age cannot be read.",
        ),
        "orphaned": family("crm_queue_orphaned_jobs", "Running jobs that are held by workers that died."),
        "backlog": family("crm_queue_backlog_jobs", "Jobs that need a worker: waiting, running, due."),
    }
