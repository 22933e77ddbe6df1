"""Builds the World of one integration: reads only, and a failed read is a fact in it.

From the cache what the watches say, from the hubs what the sources read, and from the API server the little that
neither has: a template's verdict by dry run, a stored template, a Secret's key.
"""

import dataclasses
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from crm_operator.api.names import LABEL_REVISION, LABEL_ROLE, annotation
from crm_operator.api.v1alpha1 import (
    CrmIntegrationSpec,
    CrmIntegrationStatus,
    Guard,
    GuardMetric,
    MetricOrigin,
    Reduce,
    RolloutPhase,
    SyncPauseSpec,
    SyncPauseStatus,
    Verb,
)
from crm_operator.controller import workloads
from crm_operator.controller.cache import Cache, key_of
from crm_operator.controller.kube import CRMINTEGRATIONS, PODS, SYNCPAUSES, Object
from crm_operator.controller.render import (
    TemplateError,
    deployment,
    deployment_name,
    fingerprint,
    is_owned,
    is_urgent,
    worker_container,
)
from crm_operator.controller.revisions import Revisions
from crm_operator.controller.secrets import Secrets
from crm_operator.controller.templates import TemplateChecks
from crm_operator.controller.workloads import Ledger
from crm_operator.domain.default_guards import guards_of
from crm_operator.domain.fleet import JOB_TIME_METRICS, JOB_TIME_WINDOW
from crm_operator.domain.key import Key
from crm_operator.domain.load import LoadMemory
from crm_operator.domain.pause import effective, matches
from crm_operator.domain.plan import ROLES, Role
from crm_operator.domain.rate_limit import HITS_METRIC, PACE
from crm_operator.domain.reductions import metric_names, needs_levels
from crm_operator.domain.revision import revision_of
from crm_operator.domain.world import (
    Evidence,
    OwnPause,
    Pause,
    QueueReading,
    Reading,
    Template,
    Unknown,
    Workload,
    World,
)
from crm_operator.sources.pods import PodHub, PodSource, PodTarget
from crm_operator.sources.queues import QueueHub, QueueSource
from crm_operator.sources.secret import Secret

#: Workers are scraped this often while a version is on trial: seconds of a bad version are jobs done wrong.
TRIAL_INTERVAL = timedelta(seconds=1)
#: ... and this often while it fails and nobody can be blamed yet.
BLAME_INTERVAL = timedelta(milliseconds=250)
_ON_TRIAL = (RolloutPhase.CANARY, RolloutPhase.PROMOTING, RolloutPhase.BAKING, RolloutPhase.ROLLING_BACK)
#: How the refusals of the provider are read.
_HITS = Guard(
    name="rate-limit-hits",
    metric=GuardMetric(from_=MetricOrigin.PODS, name=HITS_METRIC),
    reduce=Reduce.INCREASE,
    window=PACE,
)


class Observer:
    """Reads what a decision about one integration may look at."""

    def __init__(
        self,
        *,
        cache: Cache,
        ledger: Ledger,
        revisions: Revisions,
        templates: TemplateChecks,
        secrets: Secrets,
        queues: QueueHub,
        pods: PodHub,
        clock: Callable[[], datetime],
    ) -> None:
        self._cache = cache
        self._ledger = ledger
        self._revisions = revisions
        self._templates = templates
        self._secrets = secrets
        self._queues = queues
        self._pods = pods
        self._clock = clock
        self._loads: dict[Key, LoadMemory] = {}

    async def observe(
        self,
        key: Key,
        integration: Object,
        spec: CrmIntegrationSpec,
        status: CrmIntegrationStatus,
        refused: Unknown | None,
    ) -> World:
        """The world of `integration`, which is the cached object that `spec` and `status` were read from."""
        now = self._clock()
        uid = integration["metadata"]["uid"]
        template: Template = spec.workers.template
        target = revision_of(template)
        known = await self._known(integration, status, target, now)
        verdict = None if target in known else await self._templates.verdict(integration, target, template, now)
        await self._watch_queue(key, spec)
        guards = [guard for guard, _ in guards_of(spec.guards)]
        self._watch_pods(key, spec, status, guards)
        world = World(
            now=now,
            namespace=key.namespace,
            name=key.name,
            uid=uid,
            generation=int(integration["metadata"]["generation"]),
            spec=spec,
            status=status,
            target=target,
            template=verdict,
            stable=self._workload(key, integration, "stable"),
            canary=self._workload(key, integration, "canary"),
            known_revisions=known,
            queue=self._queues.view(key),
            evidence={guard.name: self._evidence(key, spec, guard) for guard in guards},
            jobs_done=self._pods.jobs_done(key) if spec.metrics.pods is not None else {},
            job_times=self._pods.job_times(key) if spec.metrics.pods is not None else {},
            in_progress=self._pods.in_progress(key) if spec.metrics.pods is not None else {},
            rate_limit_hits=self._hits(key, spec),
            sharing=self._sharing(key, integration),
            metrics=self._pods.health(key) if spec.metrics.pods is not None else None,
            scaled_by=self._scaled_by(key),
            pauses=self.pauses(key, spec.provider, now),
            own_pause=self._own_pause(key, uid, status, now),
            verbs=_verbs(integration),
            refused=refused,
        )
        return dataclasses.replace(world, load=self._loads.setdefault(key, LoadMemory()).notice(world))

    def pauses(self, key: Key, provider: str, now: datetime) -> tuple[Pause, ...]:
        """The effective SyncPauses that match, by name."""
        found = []
        for item in self._cache.objects(SYNCPAUSES.kind, key.namespace):
            spec = SyncPauseSpec.model_validate(item["spec"])
            if not matches(spec, provider=provider, integration=key.name):
                continue
            status = SyncPauseStatus.model_validate(item.get("status") or {})
            pause = effective(item["metadata"]["name"], spec, status, now)
            if pause is not None:
                found.append(pause)
        return tuple(sorted(found, key=lambda pause: pause.name))

    def _own_pause(self, key: Key, uid: str, status: CrmIntegrationStatus, now: datetime) -> OwnPause:
        if status.automatic_pause is None:
            return OwnPause.ABSENT
        name = status.automatic_pause.name
        item = self._cache.get(SYNCPAUSES.kind, key.namespace, name)
        if item is None:
            return OwnPause.ABSENT
        if not is_owned(item, uid):
            return OwnPause.FOREIGN
        spec = SyncPauseSpec.model_validate(item["spec"])
        seen = SyncPauseStatus.model_validate(item.get("status") or {})
        return OwnPause.LIFTED if effective(name, spec, seen, now) is None else OwnPause.PAUSED

    def forget(self, key: Key) -> None:
        """The integration is gone."""
        self._queues.forget(key)
        self._pods.forget(key)
        self._ledger.forget(key)
        self._loads.pop(key, None)

    async def _known(
        self, integration: Object, status: CrmIntegrationStatus, target: str, now: datetime
    ) -> frozenset[str]:
        rollout = status.rollout
        wanted = {target}
        if rollout is not None:
            named = (rollout.stable_revision, rollout.candidate_revision)
            wanted |= {revision for revision in named if revision is not None}
        for role in ROLES:
            live = self._live(integration, role)
            if live is not None and (revision := workloads.revision_of(live)):
                wanted.add(revision)
        return await self._revisions.known(integration, sorted(wanted), now)

    def _live(self, integration: Object, role: Role) -> Object | None:
        metadata = integration["metadata"]
        return workloads.find(self._cache, Key(metadata["namespace"], metadata["name"]), role, metadata["uid"])

    def _workload(self, key: Key, integration: Object, role: Role) -> Workload | None:
        live = self._live(integration, role)
        if live is None:
            return None
        revision = workloads.revision_of(live)
        template = self._revisions.template(integration["metadata"]["uid"], revision)
        worker: str | None = None
        # Without the template there is nothing to compare with, or to put right.
        intact = workloads.labels_right(live, key, role)
        if template is not None:
            worker = worker_container(template)
            intent = deployment(
                integration,
                role=role,
                revision=revision,
                template=template,
                urgent=role == "stable" and is_urgent(live),
            )
            intact = intact and self._ledger.intact(key, role, live, fingerprint(intent))
        pods = workloads.pods_of(self._cache, key, role)
        return workloads.workload(live, pods, role=role, intact=intact, worker=worker)

    def _scaled_by(self, key: Key) -> dict[str, str]:
        found: dict[str, str] = {}
        for role in ROLES:
            named = Key(key.namespace, deployment_name(key.name, role))
            for scaler in self._cache.autoscalers(named):
                found[role] = _scaler(scaler)
        return found

    async def _watch_queue(self, key: Key, spec: CrmIntegrationSpec) -> None:
        self._queues.watch(key, await self._queue_source(key, spec))

    async def _queue_source(self, key: Key, spec: CrmIntegrationSpec) -> QueueSource | Unknown:
        queue = spec.queue
        # Whatever is wrong with the broker, a new password or certificate may be the cure.
        renew = not isinstance(self._queues.view(key).latest, QueueReading)
        url: Secret | Unknown
        if queue.url_from is None:
            assert queue.url is not None, "the API server lets one of url and urlFrom through"
            url, field = Secret(queue.url), "spec.queue.url"
        else:
            ref = queue.url_from.secret_key_ref
            url = await self._secrets.read(key.namespace, ref, renew=renew, field="spec.queue.urlFrom")
            field = f"spec.queue.urlFrom (Secret {ref.name}, key {ref.key})"
        ca: Secret | Unknown | None = None
        ca_field = "spec.queue.tls.caFrom"
        if queue.tls is not None:
            ref = queue.tls.ca_from.secret_key_ref
            ca = await self._secrets.read(key.namespace, ref, renew=renew, field=ca_field)
            ca_field = f"{ca_field} (Secret {ref.name}, key {ref.key})"
        if isinstance(url, Unknown):
            return url
        if isinstance(ca, Unknown):
            return ca
        return QueueSource(
            url=url,
            namespace=queue.namespace,
            names=tuple(queue.names),
            window=spec.scaling.scale_down_after,
            field=field,
            ca=ca,
            ca_field=ca_field,
            broker=queue.broker,
        )

    def _watch_pods(
        self, key: Key, spec: CrmIntegrationSpec, status: CrmIntegrationStatus, guards: Sequence[Guard]
    ) -> None:
        pods = spec.metrics.pods
        if pods is None:
            self._pods.watch(key, None)
            return
        wanted = [guard for guard in guards if guard.metric.from_ is MetricOrigin.PODS]
        names = {name for guard in wanted for name in metric_names(guard) if name is not None}
        names |= {*JOB_TIME_METRICS} if spec.scaling.backlog_per_replica is None or spec.scaling.rate_limit else set()
        names |= {HITS_METRIC} if spec.scaling.rate_limit else set()
        self._pods.watch(
            key,
            PodSource(
                port=pods.port,
                path=pods.path,
                interval=_scrape_interval(pods.interval, status),
                metrics=frozenset(names),
                window=max([guard.window for guard in wanted if guard.window] + [JOB_TIME_WINDOW]),
                targets=self._targets(key, spec),
                levels=frozenset(metric_names(guard)[0] for guard in wanted if needs_levels(guard)),
            ),
        )

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

    def _hits(self, key: Key, spec: CrmIntegrationSpec) -> Reading | Unknown | None:
        if spec.scaling.rate_limit is None or spec.metrics.pods is None:
            return None
        return self._pods.evidence(key, _HITS).overall

    def _sharing(self, key: Key, integration: Object) -> tuple[int | None, ...]:
        """Backlogs of the others of this namespace that spend from the same account of the same provider."""
        account = _account(integration)
        if account is None:
            return ()
        others = sorted(
            key_of(item)
            for item in self._cache.objects(CRMINTEGRATIONS.kind, key.namespace)
            if key_of(item) != key and _account(item) == account
        )
        readings = [self._queues.view(other).latest for other in others]
        return tuple(reading.backlog if isinstance(reading, QueueReading) else None for reading in readings)

    def _evidence(self, key: Key, spec: CrmIntegrationSpec, guard: Guard) -> Evidence:
        if guard.metric.from_ is MetricOrigin.QUEUE:
            return self._queues.evidence(key, guard)
        if spec.metrics.pods is None:
            return Evidence(overall=Unknown("spec.metrics.pods is not set", "NotConfigured"))
        return self._pods.evidence(key, guard)


def _scrape_interval(asked: timedelta, status: CrmIntegrationStatus) -> timedelta:
    if status.rollout is None or status.rollout.phase not in _ON_TRIAL:
        return asked
    if any(guard.blame == "undecided" for guard in status.guards):
        return BLAME_INTERVAL
    return min(asked, TRIAL_INTERVAL)


def _scaler(autoscaler: Object) -> str:
    """`HorizontalPodAutoscaler NAME`, and what made it: KEDA makes one for each ScaledObject."""
    metadata = autoscaler["metadata"]
    makers = [f"{owner['kind']} {owner['name']}" for owner in metadata.get("ownerReferences") or ()]
    return f"HorizontalPodAutoscaler {metadata['name']}" + (f" of {makers[0]}" if makers else "")


def _verbs(integration: Object) -> dict[Verb, str]:
    """The annotations by which people ask something of the rollout."""
    annotations = integration["metadata"].get("annotations") or {}
    return {verb: str(annotations[annotation(verb)]) for verb in Verb if annotation(verb) in annotations}


def _account(integration: Object) -> tuple[str, str] | None:
    """Provider and account that a stored integration's rate limit names. None: it shares with nobody."""
    spec = integration["spec"]
    account = ((spec.get("scaling") or {}).get("rateLimit") or {}).get("account")
    return None if account is None else (str(spec.get("provider")), str(account))
