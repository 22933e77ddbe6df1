"""What is watched, how it is reduced to a value, and what is too much. docs/metrics.md explains it."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field, StringConstraints

from crm_operator.api.base import ApiModel, DnsLabel, Matching, cel, cel_text, rules
from crm_operator.api.duration import duration_between

MetricName = Annotated[
    str,
    StringConstraints(max_length=200),
    Matching(
        "^[a-zA-Z_:][a-zA-Z0-9_:]*$",
        "must be a metric name without labels, like crm_sync_errors_total: letters, digits, '_' and ':'",
    ),
]

#: Of a query: replaced by each version's revision, as in the label crm.agoralia.app/revision of its pods.
REVISION = "$(REVISION)"
#: PromQL functions whose result is no counter any more: a pod that leaves a sum looks like a restart.
_AGGREGATES = r"(^|[^a-zA-Z0-9_:])(sum|avg|min|max|count|group|rate|irate|increase|delta|deriv)\s*(by|without)?\s*\("
Query = Annotated[
    str,
    StringConstraints(min_length=1, max_length=1000),
    Matching(
        # Nothing else begins with $( in PromQL, so another one is a mistake.
        r"^([^$]|\$([^(]|$)|\$\(REVISION\))*$",
        "must be PromQL, in which $(REVISION) is the only $(...)",
    ),
]


class MetricOrigin(StrEnum):
    """Where a guard's metric is read."""

    PODS = "pods"
    BACKEND = "backend"
    PROMETHEUS = "prometheus"
    QUEUE = "queue"


class QueueMetric(StrEnum):
    """Metrics that the broker itself gives, summed over `queue.names`."""

    WAITING = "waiting"
    RUNNING = "running"
    DELAYED = "delayed"
    DEAD = "dead"


class Reduce(StrEnum):
    """How the samples of a window become one value."""

    INCREASE = "Increase"
    RATE = "Rate"
    RATIO = "Ratio"
    QUANTILE = "Quantile"
    AVERAGE = "Average"
    MAX = "Max"
    LAST = "Last"


class GuardMetric(ApiModel):
    """What a guard reads."""

    from_: MetricOrigin = Field(
        alias="from",
        description="pods: scraped from the workers. backend: the application's JSON. prometheus: a query. "
        "queue: the broker's counts.",
    )
    name: MetricName | None = Field(
        default=None, description="Metric name; of a queue: waiting, running, delayed or dead."
    )
    query: Query | None = Field(
        default=None,
        description="Of prometheus, instead of a name: PromQL. With $(REVISION) in it, it is asked for each version.",
    )
    per: MetricName | None = Field(default=None, description="Of Ratio: the counter to divide by.")
    per_query: Query | None = Field(default=None, description="Of Ratio and prometheus: the counter to divide by.")
    quantile: float | None = Field(
        default=None, gt=0, lt=1, description="Of Quantile: which one, e.g. 0.95; the metric is a histogram."
    )

    @property
    def shown(self) -> str:
        """For texts: the name, or the query, shortened."""
        return self.name or f"{(self.query or '')[:60]}{'…' if len(self.query or '') > 60 else ''}"

    @property
    def per_shown(self) -> str | None:
        """Of what it is divided by."""
        return self.per or (None if self.per_query is None else "perQuery")


class Threshold(ApiModel):
    """Crossed when the value is above it; exactly equal is not above."""

    above: float = Field(ge=0, le=1e15, description="The limit, a number of at least 0.")


class Breaches(ApiModel):
    """How often a value must be above a limit. An evaluation is a look at values that are all new."""

    model_config = ApiModel.model_config | {
        "json_schema_extra": rules(
            cel(
                "!has(self.total) || self.total > self.consecutive",
                "total is not above consecutive, so it says nothing; raise it, or remove total",
                path=".total",
            )
        )
    }

    consecutive: int = Field(ge=1, le=100, description="Evaluations running that must be above the limit.")
    total: int | None = Field(
        default=None,
        ge=2,
        le=1000,
        description="Of critical: so many evaluations of one rollout are enough, running or not.",
    )


class Guard(ApiModel):
    """One metric, reduced over a window and compared with thresholds."""

    model_config = ApiModel.model_config | {
        "json_schema_extra": rules(
            cel(
                "has(self.warning) || has(self.critical)",
                expression="'guard ' + self.name + "
                "' has no threshold; give warning, critical or both, e.g. critical: {above: 10}'",
            ),
            cel(
                "!(has(self.warning) && has(self.critical)) || self.warning.above <= self.critical.above",
                "warning.above is higher than critical.above; a warning comes first, so lower it",
                path=".warning",
            ),
            cel(
                "self.reduce == 'Last' ? !has(self.window) : has(self.window)",
                expression="self.reduce == 'Last' ? 'Last takes the newest value and no window; remove window' : "
                "self.reduce + ' needs a window; add one, e.g. window: 5m'",
                path=".window",
            ),
            cel(
                "self.metric.from == 'prometheus' ? "
                "has(self.metric.query) && !has(self.metric.name) && !has(self.metric.per) : "
                "has(self.metric.name) && !has(self.metric.query) && !has(self.metric.perQuery)",
                expression="self.metric.from == 'prometheus' ? "
                "'prometheus is asked with metric.query, and metric.perQuery of a Ratio; "
                "write these, not name and per' : "
                "self.metric.from + ' is read by metric.name, and metric.per of a Ratio; write these, "
                "not query and perQuery'",
                path=".metric",
            ),
            cel(
                "self.reduce == 'Ratio' ? (has(self.metric.per) || has(self.metric.perQuery)) : "
                "(!has(self.metric.per) && !has(self.metric.perQuery))",
                expression="self.reduce == 'Ratio' ? "
                "'Ratio needs the counter to divide by; add metric.per, e.g. per: crm_sync_jobs_total, or "
                "metric.perQuery with prometheus' : "
                "'metric.per and perQuery are for Ratio only; remove them or write reduce: Ratio'",
                path=".metric",
            ),
            cel(
                f"!(self.reduce in ['Increase', 'Rate', 'Ratio', 'Quantile']) || !has(self.metric.query) || "
                f"!(self.metric.query + (has(self.metric.perQuery) ? ' ' + self.metric.perQuery : ''))"
                f".matches({cel_text(_AGGREGATES)})",
                expression="self.reduce + ' adds the series up itself, after it has looked for restarts in each; write "
                "the bare counter, without sum() or rate()'",
                path=".metric",
            ),
            cel(
                "self.reduce == 'Quantile' ? has(self.metric.quantile) : !has(self.metric.quantile)",
                expression="self.reduce == 'Quantile' ? "
                "'Quantile needs to know which one; add metric.quantile, e.g. quantile: 0.95' : "
                "'metric.quantile is for Quantile only; remove it or write reduce: Quantile'",
                path=".metric",
            ),
            cel(
                "self.metric.from != 'queue' || !has(self.metric.name) || "
                "self.metric.name in ['waiting', 'running', 'delayed', 'dead']",
                expression="'metric.name ' + self.metric.name + "
                "' is unknown to a queue; use waiting, running, delayed or dead'",
                path=".metric",
            ),
            cel(
                "self.metric.from != 'queue' || !(self.reduce in ['Ratio', 'Quantile'])",
                expression="'a queue has no second counter and no histograms, so ' + self.reduce + "
                "' does not work; write Last, Average, Max, Increase or Rate'",
                path=".reduce",
            ),
            cel(
                "!has(self.minWorkspaces) || self.minWorkspaces == 0 || self.metric.from == 'pods'",
                expression="'minWorkspaces counts the label workspace of metrics from pods, and ' + self.metric.from + "
                "' has none; remove minWorkspaces, or read the metric from pods' + "
                "(self.metric.from == 'prometheus' ? '; a query can count workspaces itself' : '')",
                path=".minWorkspaces",
            ),
            cel(
                "!has(self.minWorkspaces) || self.minWorkspaces == 0 || "
                "(self.reduce in ['Increase', 'Rate', 'Ratio'] && has(self.critical))",
                "minWorkspaces counts the workspaces in which a counter grew, before a breach is Critical; "
                "write reduce: Increase, Rate or Ratio, and critical, or remove minWorkspaces",
                path=".minWorkspaces",
            ),
            cel(
                "!has(self.breaches) || !has(self.breaches.total) || has(self.critical)",
                "breaches.total counts what is above critical, which is missing; add critical, or remove total",
                path=".breaches",
            ),
            cel(
                "!has(self.minJobs) || self.minJobs == 0 || self.reduce != 'Last'",
                "minJobs counts the jobs of a window, and Last has none; remove minJobs, "
                "or write reduce: Average or Max",
                path=".minJobs",
            ),
            cel(
                "self.metric.from != 'backend' || self.reduce != 'Quantile'",
                "a JSON endpoint has no histograms, so Quantile does not work; read it from pods, "
                "or a quantile of its own with reduce: Last",
                path=".reduce",
            ),
        )
    }

    name: DnsLabel = Field(description="Shown in status, events and metrics.")
    metric: GuardMetric
    reduce: Reduce = Field(
        description="Increase: of a counter over the window. Rate: the same per second. Ratio: of two counters' "
        "increases. Quantile: of a histogram over the window. Average, Max: of a gauge over the window. "
        "Last: the newest value, of the worst pod."
    )
    window: duration_between("5s", "1h") | None = Field(default=None, description="Of all but Last.")  # type: ignore[valid-type]
    warning: Threshold | None = Field(default=None, description="Holds the rollout.")
    critical: Threshold | None = Field(default=None, description="Rolls the release back when it is to blame.")
    breaches: Breaches | None = Field(
        default=None,
        description="How often the value must be above a limit. Default: once; twice running with Last, Average and "
        "Max.",
    )
    min_jobs: int = Field(
        default=0,
        ge=0,
        le=1_000_000,
        description="Jobs that the judged version must have finished within the window; with fewer the guard is "
        "Unknown. Needs metrics.pods. Default 0.",
    )
    min_workspaces: int = Field(
        default=0,
        ge=0,
        le=100,
        description="Workspaces in which the counter must have grown within the window for a breach to be Critical; "
        "with fewer it is a Warning. By the label workspace of the workers' metrics. Default 0.",
    )
