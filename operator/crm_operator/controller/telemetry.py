"""Every metric that the operator exports, under names that people's dashboards know.

`controller_runtime_*`, `workqueue_*`, `rest_client_*` and `leader_election_*` are named and labelled as Go operators
export them; `crm_*` are ours, with the unit in the name. `main.py` makes one `Telemetry` on its own registry and hands
it, or one of its parts, to whoever counts.

Taken for granted: prometheus_client's counters may be used from the watch thread too.
"""

from collections.abc import Callable, Sequence
from datetime import timedelta

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from crm_operator.controller.integration_metrics import IntegrationMetrics
from crm_operator.controller.workqueue import WorkQueue

#: Values by label values.
Read = Callable[[], dict[tuple[str, ...], float]]

CONTROLLER = "crmintegration"

_WORK_BUCKETS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_REQUEST_BUCKETS = (0.005, 0.025, 0.1, 0.25, 0.5, 1, 2, 4, 8, 15, 30, 60)
#: From a threshold being crossed to the bad version taking no more work: promised in seconds.
_REACTION_BUCKETS = (0.5, 1, 2, 3, 5, 10, 20, 30, 60, 120, 300)


class QueueMetrics:
    """`workqueue_*` and `controller_runtime_*` of the one queue; a `workqueue.QueueObserver`."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def counter(name: str, documentation: str, label: str) -> Counter:
            return Counter(name, documentation, (label,), registry=registry).labels(CONTROLLER)

        def histogram(name: str, documentation: str, label: str) -> Histogram:
            family = Histogram(name, documentation, (label,), buckets=_WORK_BUCKETS, registry=registry)
            return family.labels(CONTROLLER)

        self._adds = counter("workqueue_adds", "Keys added.", "name")
        self._retries = counter("workqueue_retries", "Keys tried again after an error.", "name")
        self._waited = histogram("workqueue_queue_duration_seconds", "Time a key waited for a worker.", "name")
        self._worked = histogram("workqueue_work_duration_seconds", "Time a run took.", "name")
        self._took = histogram("controller_runtime_reconcile_time_seconds", "Time a run took.", "controller")
        self._errors = counter("controller_runtime_reconcile_errors", "Runs that raised.", "controller")
        self._reconciles = Counter(
            "controller_runtime_reconcile", "Runs by result.", ("controller", "result"), registry=registry
        )
        # Known before the first run, so that a rate over them starts at zero.
        for result in ("success", "requeue_after", "error"):
            self._reconciles.labels(CONTROLLER, result)

    def added(self) -> None:
        self._adds.inc()

    def started(self, waited: float) -> None:
        self._waited.observe(waited)

    def finished(self, took: float, result: str) -> None:
        self._worked.observe(took)
        self._took.observe(took)
        if result != "cancelled":
            self._reconciles.labels(CONTROLLER, result).inc()
        if result == "error":
            self._errors.inc()

    def retried(self) -> None:
        self._retries.inc()


class Telemetry:
    """The metric families, on the registry that `/metrics` shows."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def counter(name: str, documentation: str, *labels: str) -> Counter:
            return Counter(name, documentation, labels, registry=registry)

        def gauge(name: str, documentation: str, *labels: str) -> Gauge:
            return Gauge(name, documentation, labels, registry=registry)

        def histogram(name: str, documentation: str, *labels: str, buckets: Sequence[float]) -> Histogram:
            return Histogram(name, documentation, labels, buckets=buckets, registry=registry)

        self.registry = registry
        self.queue = QueueMetrics(registry)

        self._requests = counter("rest_client_requests", "Requests to the API server.", "code", "method", "host")
        self._request_seconds = histogram(
            "rest_client_request_duration_seconds",
            "Duration of requests, watches not included.",
            "verb",
            "host",
            buckets=_REQUEST_BUCKETS,
        )
        self._master = gauge("leader_election_master_status", "1 while this process leads.", "name")
        self._info = gauge("crm_operator_info", "Version of the operator.", "version")

        self.integrations = IntegrationMetrics()
        registry.register(self.integrations)
        self._decisions = counter("crm_decisions", "Actions taken, by kind.", "what")
        #: Labelled like `crm_decisions_total`; the caller observes `answered - reading.at`.
        self.breach_to_action_seconds = histogram(
            "crm_breach_to_action_seconds",
            "From a critical reading to the answered write that acts on it.",
            "what",
            buckets=_REACTION_BUCKETS,
        )

    def request(self, method: str, host: str, code: str, seconds: float) -> None:
        """A `kube.RequestObserver`."""
        self._requests.labels(code, method, host).inc()
        self._request_seconds.labels(method, host).observe(seconds)

    def watch_request(self, host: str, code: str) -> None:
        """A list or watch by Kopf; without a duration, which for a watch says nothing."""
        self._requests.labels(code, "GET", host).inc()

    def leads(self, lease: str, yes: bool) -> None:
        self._master.labels(lease).set(1 if yes else 0)

    def version(self, version: str) -> None:
        self._info.labels(version).set(1)

    def decided(self, what: str) -> None:
        """Count an action that was carried out: an Event's reason (RolledBack, ScaledUp, ...), CamelCase."""
        self._decisions.labels(what).inc()

    def sample(self, name: str, documentation: str, read: Read, labels: tuple[str, ...] = ()) -> None:
        """A gauge whose values are read when `/metrics` is."""
        self.registry.register(_Sampled(name, documentation, labels, read))

    def watch_queue(self, queue: WorkQueue) -> None:
        """Gauges of the work queue; `/metrics` must be served on its loop."""

        def gauge(name: str, documentation: str, label: str, read: Callable[[], float]) -> None:
            self.sample(name, documentation, lambda: {(CONTROLLER,): read()}, (label,))

        def seconds(read: Callable[[], timedelta]) -> Callable[[], float]:
            return lambda: read().total_seconds()

        gauge("workqueue_depth", "Keys that wait for a worker.", "name", lambda: queue.depth)
        gauge(
            "workqueue_longest_running_processor_seconds",
            "Age of the oldest run under way.",
            "name",
            seconds(queue.longest_running),
        )
        gauge(
            "workqueue_unfinished_work_seconds",
            "Ages of all runs under way, summed.",
            "name",
            seconds(queue.unfinished),
        )
        gauge("controller_runtime_active_workers", "Runs under way.", "controller", lambda: queue.active)
        gauge(
            "controller_runtime_max_concurrent_reconciles",
            "Workers of the queue.",
            "controller",
            lambda: queue.concurrency,
        )


class _Sampled(Collector):
    def __init__(self, name: str, documentation: str, labels: tuple[str, ...], read: Read) -> None:
        self._family = (name, documentation, labels)
        self._read = read

    def describe(self) -> list[GaugeMetricFamily]:
        name, documentation, labels = self._family
        return [GaugeMetricFamily(name, documentation, labels=labels)]

    def collect(self) -> list[GaugeMetricFamily]:
        name, documentation, labels = self._family
        family = GaugeMetricFamily(name, documentation, labels=labels)
        for values, value in self._read().items():
            family.add_metric(values, value)
        return [family]
