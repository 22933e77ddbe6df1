"""The runbook's table of thresholds, used when `guards` is omitted. Source: the runbook, "Thresholds".

A default guard whose source is not configured, or whose metric the workers do not have, is Inactive: shown, and blocks
nothing. `api_latency`-like gauges are the worst pod's value.
"""

from datetime import timedelta

from crm_operator.api.v1alpha1 import Guard, GuardMetric, MetricOrigin, Reduce, Threshold


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
    _guard("webhook-latency", _PODS, "webhook_latency_p95", Reduce.LAST, warning=2, critical=5),
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
