"""Tells the metric sources what an integration's guards and its scaling read, and gathers what they found.

Where a guard reads is in its `metric.from`. A default guard has no such wish: it is read from the first configured
source that has its metric. Used by the observer; nothing here waits but for Secrets.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from crm_operator.api.names import LABEL_REVISION, LABEL_ROLE
from crm_operator.api.v1alpha1 import (
    BackendMetrics,
    CrmIntegrationSpec,
    CrmIntegrationStatus,
    Guard,
    GuardMetric,
    MetricOrigin,
    PrometheusMetrics,
    Reduce,
    RolloutPhase,
)
from crm_operator.controller import workloads
from crm_operator.controller.cache import Cache
from crm_operator.controller.render import TemplateError, worker_container
from crm_operator.controller.resources import PODS
from crm_operator.controller.scrape_pace import ScrapePace
from crm_operator.controller.secrets import Secrets
from crm_operator.domain.busy_pods import IN_PROGRESS_METRIC
from crm_operator.domain.default_guards import guards_of, lacks_metric, readings_of
from crm_operator.domain.fleet import JOB_TIME_METRICS, JOB_TIME_WINDOW, JOBS_METRIC
from crm_operator.domain.key import Key
from crm_operator.domain.min_jobs import with_enough_jobs
from crm_operator.domain.rate_limit import HITS_METRIC, PACE
from crm_operator.domain.reductions import metric_names, needs_levels
from crm_operator.domain.world import Evidence, Reading, Unknown
from crm_operator.sources.backend import BackendHub, BackendSource
from crm_operator.sources.endpoint import EndpointSource
from crm_operator.sources.pods import PodHub, PodSource, PodTarget
from crm_operator.sources.prometheus import PrometheusHub, PrometheusSource, queries_of
from crm_operator.sources.queues import QueueHub
from crm_operator.sources.secret import Secret

_ON_TRIAL = (RolloutPhase.CANARY, RolloutPhase.PROMOTING, RolloutPhase.BAKING, RolloutPhase.ROLLING_BACK)
#: How the refusals of the provider are read.
_HITS = Guard(
    name="rate-limit-hits",
    metric=GuardMetric(from_=MetricOrigin.PODS, name=HITS_METRIC),
    reduce=Reduce.INCREASE,
    window=PACE,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Hubs:
    """Where facts from outside the API server come from."""

    queues: QueueHub
    pods: PodHub
    backends: BackendHub
    prometheus: PrometheusHub


class MetricSources:
    """Of all integrations."""

    def __init__(self, *, cache: Cache, secrets: Secrets, hubs: Hubs) -> None:
        self._cache = cache
        self._secrets = secrets
        self._hubs = hubs
        self._pace = ScrapePace()

    async def watch(self, key: Key, spec: CrmIntegrationSpec, status: CrmIntegrationStatus, *, closely: bool) -> None:
        """Read from now on what `spec` asks for, the workers as often as can be if `closely`. Cheap when unchanged."""
        wanted = [reading for guard, _ in guards_of(spec.guards) for reading in _readings(key, spec, guard)]
        by_origin = {origin: [guard for guard in wanted if guard.metric.from_ is origin] for origin in MetricOrigin}
        counting = [guard for guard in wanted if guard.metric.from_ is MetricOrigin.PODS or guard.min_jobs]
        self._hubs.pods.watch(
            key,
            self._pod_source(key, spec, status, by_origin[MetricOrigin.PODS], counting=counting, closely=closely),
        )
        self._hubs.backends.watch(key, await self._backend_source(key, spec, by_origin[MetricOrigin.BACKEND]))
        self._hubs.prometheus.watch(
            key, await self._prometheus_source(key, spec, status, by_origin[MetricOrigin.PROMETHEUS])
        )

    def evidence(self, key: Key, spec: CrmIntegrationSpec) -> dict[str, Evidence]:
        """What each guard in force reads, by its name."""
        found: dict[str, Evidence] = {}
        for guard, _ in guards_of(spec.guards):
            readings = [(reading, self._judgeable(key, spec, reading)) for reading in _readings(key, spec, guard)]
            if not readings:
                continue
            # The first that has it, or could not be read and may have it.
            asked, evidence = next((pair for pair in readings if not lacks_metric(pair[1])), readings[0])
            found[guard.name] = evidence if asked is guard else replace(evidence, asked=asked)
        return found

    def rate_limit_hits(self, key: Key, spec: CrmIntegrationSpec) -> Reading | Unknown | None:
        """The provider's refusals, where there is a limit and somebody counts them."""
        if spec.scaling.rate_limit is None or spec.metrics.pods is None:
            return None
        return self._hubs.pods.evidence(key, _HITS).overall

    def health(self, key: Key, spec: CrmIntegrationSpec) -> Unknown | None:
        """Why a configured source cannot be read, the first one in order; None: all can."""
        metrics, hubs = spec.metrics, self._hubs
        faults = [
            hubs.pods.health(key) if metrics.pods is not None else None,
            hubs.backends.health(key) if metrics.backend is not None else None,
            hubs.prometheus.health(key) if metrics.prometheus is not None else None,
        ]
        return next((fault for fault in faults if fault is not None and fault.reason != "Starting"), None)

    def forget(self, key: Key) -> None:
        """The integration is gone."""
        self._pace.forget(key)
        self._hubs.pods.forget(key)
        self._hubs.backends.forget(key)
        self._hubs.prometheus.forget(key)

    def _judgeable(self, key: Key, spec: CrmIntegrationSpec, guard: Guard) -> Evidence:
        found = self._read(key, spec, guard)
        if not guard.min_jobs or guard.window is None:
            return found
        return with_enough_jobs(guard, found, self._hubs.pods.jobs_within(key, guard.window))

    def _read(self, key: Key, spec: CrmIntegrationSpec, guard: Guard) -> Evidence:
        match guard.metric.from_:
            case MetricOrigin.QUEUE:
                return self._hubs.queues.evidence(key, guard)
            case MetricOrigin.PODS if spec.metrics.pods is not None:
                return self._hubs.pods.evidence(key, guard)
            case MetricOrigin.BACKEND if spec.metrics.backend is not None:
                return self._hubs.backends.evidence(key, guard)
            case MetricOrigin.PROMETHEUS if spec.metrics.prometheus is not None:
                return self._hubs.prometheus.evidence(key, guard)
            case MetricOrigin.PODS | MetricOrigin.BACKEND | MetricOrigin.PROMETHEUS:
                field = f"spec.metrics.{guard.metric.from_.value}"
                return Evidence(overall=Unknown(f"{field} is not set", "NotConfigured"))

    def _pod_source(
        self,
        key: Key,
        spec: CrmIntegrationSpec,
        status: CrmIntegrationStatus,
        guards: Sequence[Guard],
        *,
        counting: Sequence[Guard],
        closely: bool,
    ) -> PodSource | None:
        pods, rollout = spec.metrics.pods, status.rollout
        if pods is None:
            self._pace.forget(key)
            return None
        interval, targets = self._pace.paced(
            key,
            self._targets(key, spec),
            asked=pods.interval,
            on_trial=rollout is not None and rollout.phase in _ON_TRIAL,
            candidate=None if rollout is None else rollout.candidate_revision,
            closely=closely,
        )
        names = _names(guards)
        names |= {*JOB_TIME_METRICS} if spec.scaling.backlog_per_replica is None or spec.scaling.rate_limit else set()
        names |= {HITS_METRIC} if spec.scaling.rate_limit else set()
        return PodSource(
            port=pods.port,
            path=pods.path,
            interval=interval,
            metrics=names,
            window=max(_window(counting), JOB_TIME_WINDOW),
            targets=targets,
            levels=_levels(guards),
            by_workspace=frozenset(metric_names(guard)[0] for guard in guards if guard.min_workspaces),
            background=frozenset() if closely else _background(guards, counting=counting),
        )

    async def _backend_source(
        self, key: Key, spec: CrmIntegrationSpec, guards: Sequence[Guard]
    ) -> BackendSource | Unknown | None:
        backend = spec.metrics.backend
        if backend is None:
            return None
        # Whatever is wrong, a new password or certificate may be the cure.
        renew = self._hubs.backends.health(key) is not None
        endpoint = await self._endpoint(key, backend, field="spec.metrics.backend", renew=renew)
        if isinstance(endpoint, Unknown):
            return endpoint
        return BackendSource(
            endpoint=endpoint,
            root=tuple(backend.root.split(".")) if backend.root else (),
            interval=backend.interval,
            metrics=_names(guards),
            levels=_levels(guards),
            window=_window(guards),
        )

    async def _prometheus_source(
        self, key: Key, spec: CrmIntegrationSpec, status: CrmIntegrationStatus, guards: Sequence[Guard]
    ) -> PrometheusSource | Unknown | None:
        prometheus = spec.metrics.prometheus
        if prometheus is None:
            return None
        renew = self._hubs.prometheus.health(key) is not None
        endpoint = await self._endpoint(key, prometheus, field="spec.metrics.prometheus", renew=renew)
        if isinstance(endpoint, Unknown):
            return endpoint
        revisions = _revisions(status)
        asked = [queries for guard in guards for queries in queries_of(guard, revisions).values()]
        return PrometheusSource(
            endpoint=endpoint,
            interval=prometheus.interval,
            revisions=revisions,
            queries=frozenset(query for queries in asked for query in queries),
        )

    async def _endpoint(
        self, key: Key, given: BackendMetrics | PrometheusMetrics, *, field: str, renew: bool
    ) -> EndpointSource | Unknown:
        """The URL and the credentials of `given`, or why one of them cannot be had."""
        url: Secret | Unknown
        if given.url_from is None:
            assert given.url is not None, "the API server lets one of url and urlFrom through"
            url, url_field = Secret(given.url), f"{field}.url"
        else:
            url, url_field = await self._secrets.follow(
                key.namespace, given.url_from, renew=renew, field=f"{field}.urlFrom"
            )
        token, token_field = await self._secrets.follow_any(
            key.namespace, given.token_from, renew=renew, field=f"{field}.tokenFrom"
        )
        ca, ca_field = await self._secrets.follow_any(
            key.namespace, given.tls.ca_from if given.tls else None, renew=renew, field=f"{field}.tls.caFrom"
        )
        if isinstance(url, Unknown):
            return url
        if isinstance(token, Unknown):
            return token
        if isinstance(ca, Unknown):
            return ca
        return EndpointSource(url=url, field=url_field, token=token, token_field=token_field, ca=ca, ca_field=ca_field)

    def _targets(self, key: Key, spec: CrmIntegrationSpec) -> tuple[PodTarget, ...]:
        try:
            worker = worker_container(spec.workers.template)
        except TemplateError:
            worker = None
        targets = []
        for item in self._cache.children(PODS.kind, key):
            status = item.get("status") or {}
            # A pod on its host's network has its node's address, where other programs listen.
            if not status.get("podIP") or (item.get("spec") or {}).get("hostNetwork"):
                continue
            if status.get("phase") != "Running":
                continue
            labels = item["metadata"].get("labels") or {}
            targets.append(
                PodTarget(
                    name=item["metadata"]["name"],
                    uid=item["metadata"]["uid"],
                    ip=status["podIP"],
                    role=str(labels.get(LABEL_ROLE, "")),
                    revision=str(labels.get(LABEL_REVISION, "")),
                    started_at=workloads.started_at(item, worker),
                    serving=workloads.serves(item),
                )
            )
        return tuple(targets)


def _readings(key: Key, spec: CrmIntegrationSpec, guard: Guard) -> tuple[Guard, ...]:
    return readings_of(guard, spec, namespace=key.namespace, name=key.name)


def _revisions(status: CrmIntegrationStatus) -> tuple[str, ...]:
    """The versions that may run now: stable, and the one on trial."""
    rollout = status.rollout
    named = [rollout.stable_revision, rollout.candidate_revision] if rollout is not None else []
    return tuple(dict.fromkeys(revision for revision in named if revision is not None))


def _names(guards: Sequence[Guard]) -> frozenset[str]:
    return frozenset(name for guard in guards for name in metric_names(guard) if name is not None)


def _levels(guards: Sequence[Guard]) -> frozenset[str]:
    return frozenset(metric_names(guard)[0] for guard in guards if needs_levels(guard))


def _background(guards: Sequence[Guard], *, counting: Sequence[Guard]) -> frozenset[str]:
    """What only scaling, a step's end and the sight of idle workers rest on; `counting` are guards that count jobs."""
    jobs = frozenset() if any(guard.min_jobs for guard in counting) else frozenset({JOBS_METRIC})
    return (jobs | {IN_PROGRESS_METRIC, *JOB_TIME_METRICS}) - _names(guards)


def _window(guards: Sequence[Guard]) -> timedelta:
    return max([guard.window for guard in guards if guard.window], default=timedelta())
