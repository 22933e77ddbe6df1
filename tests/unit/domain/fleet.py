"""Pods under short names whose scrapes a test writes, second by second; the first letter of a name is its revision."""

from datetime import UTC, datetime, timedelta
from typing import Any

from crm_operator.api.v1alpha1 import Guard
from crm_operator.domain.breadth import workspaces_of
from crm_operator.domain.fleet import PodFleet
from crm_operator.domain.histogram import buckets_of
from crm_operator.domain.scraped import Sample
from crm_operator.domain.world import JobsDone, Reading, Unknown

NOON = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
ERRORS = "crm_sync_errors_total"
MINUTES_5 = timedelta(minutes=5)
REFUSED = Unknown("connection refused", "ConnectionRefused")


def at(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def a_guard(
    name: str = ERRORS,
    *,
    reduce: str = "Increase",
    per: str | None = None,
    quantile: float | None = None,
    window: str = "5m",
) -> Guard:
    extra = {"per": per, "quantile": quantile}
    metric: dict[str, Any] = {"from": "pods", "name": name} | {k: v for k, v in extra.items() if v is not None}
    timing: dict[str, Any] = {} if reduce == "Last" else {"window": window}
    return Guard.model_validate(
        {"name": "guard", "metric": metric, "reduce": reduce, "critical": {"above": 10}, **timing}
    )


class Fleet:
    """A `PodFleet` in seconds after noon."""

    def __init__(self, **started: float | None) -> None:
        self.fleet = PodFleet(keep=MINUTES_5, stale_after=timedelta(seconds=15), levels=frozenset({LEVEL}))
        self.there(0, **started)

    def there(self, second: float, **started: float | None) -> None:
        """Which pods there are, with the second at which each one's process started; None: not known."""
        pods = [(name, name[0], None if start is None else at(start)) for name, start in started.items()]
        self.fleet.targets(pods, at(second))

    def says(self, second: float, pod: str, value: float | Unknown, *, metric: str = ERRORS) -> None:
        self.fleet.record(pod, {metric: value if isinstance(value, Unknown) else _sample(value)}, at(second))

    def fails_for(self, second: float, pod: str, **errors: float) -> None:
        """A counter ERRORS with these values by workspace."""
        total = sum(errors.values())
        workspaces = workspaces_of(ERRORS, errors.items())
        self.fleet.record(pod, {ERRORS: Sample(total, max(errors.values(), default=0), None, workspaces)}, at(second))

    def observed(self, second: float, pod: str, counts: dict[float, float]) -> None:
        """A histogram LATENCY with these counts by upper bound."""
        total = max(counts.values())
        buckets = buckets_of(counts)
        assert buckets is not None
        self.fleet.record(pod, {f"{LATENCY}_bucket": Sample(total, total, buckets)}, at(second))

    def fails(self, second: float, pod: str, why: Unknown = REFUSED) -> None:
        self.fleet.record(pod, why, at(second))

    def overall(self, second: float, guard: Guard | None = None) -> Reading | Unknown:
        return self.fleet.evidence(guard or a_guard(), at(second)).overall

    def side(self, second: float, revision: str, guard: Guard | None = None) -> Reading | Unknown:
        return self.fleet.evidence(guard or a_guard(), at(second)).by_revision[revision]


def _sample(value: float) -> Sample:
    return Sample(value if value >= 0 else Unknown("negative", "MetricInvalid"), value)


LEVEL = "api_latency"  # remembered as a gauge over the window
LATENCY = "job_seconds"  # a histogram


def value(found: Reading | Unknown) -> float:
    assert isinstance(found, Reading), found
    return found.value


def reason(found: Reading | Unknown | JobsDone | None) -> str:
    assert isinstance(found, Unknown), found
    return found.reason
