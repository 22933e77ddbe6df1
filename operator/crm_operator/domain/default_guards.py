"""The runbook's table of thresholds, used when `guards` is omitted. Source: the runbook, "Thresholds".

Those on workers' metrics are read from the first configured source that has them: pods, backend, prometheus. One that
no source has, or with no source configured, is Inactive: shown, and blocks nothing.
"""

from datetime import timedelta

from crm_operator.api.v1alpha1 import CrmIntegrationSpec, Guard, GuardMetric, MetricOrigin, Reduce, Threshold
from crm_operator.domain.scraped import METRIC_MISSING
from crm_operator.domain.world import Evidence, Unknown

#: A reason that the pod source gives when no pod of a side exists; nothing runs, so nothing can be judged.
NO_PODS = "NoPods"


def _guard(
    name: str,
    origin: MetricOrigin,
    metric: str,
    reduce: Reduce,
    *,
    minutes: int | None = None,
    warning: float | None = None,
    critical: float | None = None,
) -> Guard:
    return Guard(
        name=name,
        metric=GuardMetric(from_=origin, name=metric),
        reduce=reduce,
        window=None if minutes is None else timedelta(minutes=minutes),
        warning=None if warning is None else Threshold(above=warning),
        critical=None if critical is None else Threshold(above=critical),
    )


_PODS, _QUEUE = MetricOrigin.PODS, MetricOrigin.QUEUE

RUNBOOK: tuple[Guard, ...] = (
    _guard("sync-errors", _PODS, "crm_sync_errors_total", Reduce.INCREASE, minutes=5, warning=0, critical=10),
    # A maximum, and no average: above the limit at once, in two scrapes, and clear after a clean window.
    _guard("webhook-latency", _PODS, "webhook_latency_p95", Reduce.MAX, minutes=5, warning=2, critical=5),
    _guard("connection-failures", _PODS, "connection_failures", Reduce.INCREASE, minutes=10, critical=5),
    _guard("rate-limit-hits", _PODS, "rate_limit_hits", Reduce.INCREASE, minutes=1, warning=20),
    _guard("dead-letters", _QUEUE, "dead", Reduce.LAST, critical=0),
    _guard("queue-size", _QUEUE, "waiting", Reduce.LAST, warning=200),
)


def guards_of(guards: list[Guard] | None) -> tuple[tuple[Guard, bool], ...]:
    """The guards in force, each with whether it is a default one."""
    if guards is None:
        return tuple((guard, True) for guard in RUNBOOK)
    return tuple((guard, False) for guard in guards)


def readings_of(guard: Guard, spec: CrmIntegrationSpec, *, namespace: str, name: str) -> tuple[Guard, ...]:
    """What to ask for: the guard itself, or a default one of each configured source, in their order. () = of none.

    Prometheus is asked for the series of the pods of the integration `name` in `namespace`.
    """
    if spec.guards is not None or guard.metric.from_ is MetricOrigin.QUEUE:
        return (guard,)
    metrics = spec.metrics
    found = [guard] if metrics.pods is not None else []
    if metrics.backend is not None:
        found.append(_asked(guard, from_=MetricOrigin.BACKEND))
    if metrics.prometheus is not None:
        # Labels as the Prometheus Operator and the community's chart set them. A pod is called DEPLOYMENT-HASH-SUFFIX.
        pods = f'namespace="{namespace}",pod=~"{name}(-canary)?-[a-z0-9]+-[a-z0-9]+"'
        query = f"{guard.metric.name}{{{pods}}}"
        found.append(_asked(guard, from_=MetricOrigin.PROMETHEUS, query=query))
    return tuple(found)


def lacks_metric(evidence: Evidence) -> bool:
    """Every side that was read lacks the metric. One that could not be read leaves the question open."""
    sides = [evidence.overall, *evidence.by_revision.values()]
    reasons = {side.reason if isinstance(side, Unknown) else "" for side in sides}
    return METRIC_MISSING in reasons and reasons <= {METRIC_MISSING, NO_PODS}


def _asked(guard: Guard, **metric: object) -> Guard:
    return guard.model_copy(update={"metric": guard.metric.model_copy(update=metric)})
