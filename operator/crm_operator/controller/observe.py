"""Builds the World of one integration: reads only, and a failed read is a fact in it.

From the cache what the watches say, from the hubs what the sources read, and from the API server the little that
neither has: a template's verdict by dry run, a stored template, a Secret's key.
"""

import dataclasses
from collections.abc import Callable
from datetime import datetime

from crm_operator.api.names import annotation
from crm_operator.api.v1alpha1 import (
    CrmIntegrationSpec,
    CrmIntegrationStatus,
    RolloutPhase,
    Strategy,
    SyncPauseSpec,
    SyncPauseStatus,
    SyncState,
    Verb,
)
from crm_operator.controller import workloads
from crm_operator.controller.cache import Cache, key_of
from crm_operator.controller.deletion_costs import DeletionCosts
from crm_operator.controller.kube import Object
from crm_operator.controller.metric_sources import Hubs, MetricSources
from crm_operator.controller.neighbours import neighbours
from crm_operator.controller.render import (
    deployment,
    deployment_name,
    fingerprint,
    is_owned,
    is_urgent,
    worker_container,
    worker_image,
)
from crm_operator.controller.resources import CRMINTEGRATIONS, SYNCPAUSES
from crm_operator.controller.revisions import Revisions
from crm_operator.controller.secrets import Secrets
from crm_operator.controller.templates import TemplateChecks
from crm_operator.controller.workloads import Ledger
from crm_operator.domain.baseline import BaselineMemory
from crm_operator.domain.blame import is_finding
from crm_operator.domain.breaches import BreachMemory
from crm_operator.domain.idle import WorkMemory
from crm_operator.domain.key import Key
from crm_operator.domain.load import LoadMemory
from crm_operator.domain.pause import effective, matches
from crm_operator.domain.plan import ROLES, Plan, Role
from crm_operator.domain.revision import revision_of
from crm_operator.domain.scale_in import is_choosing
from crm_operator.domain.world import (
    OwnPause,
    Pause,
    QueueReading,
    QueueView,
    RefusedWrite,
    Shrink,
    Template,
    Unknown,
    Workload,
    World,
)
from crm_operator.sources.queues import QueueSource
from crm_operator.sources.secret import Secret


@dataclasses.dataclass(frozen=True, slots=True)
class _Intent:
    """What makes an intent for a Deployment; all else follows from the template of the revision."""

    uid: str  # of the integration
    revision: str
    strategy: Strategy
    urgent: bool


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
        hubs: Hubs,
        costs: DeletionCosts,
        clock: Callable[[], datetime],
    ) -> None:
        self._cache = cache
        self._ledger = ledger
        self._revisions = revisions
        self._templates = templates
        self._secrets = secrets
        self._queues = hubs.queues
        self._pods = hubs.pods
        self._costs = costs
        self._metrics = MetricSources(cache=cache, secrets=secrets, hubs=hubs)
        self._clock = clock
        self._loads: dict[Key, LoadMemory] = {}
        self._held: dict[Key, datetime] = {}  # since when a Deployment is to shrink and is held
        self._fingerprints: dict[tuple[Key, Role], tuple[_Intent, str]] = {}
        self._work: dict[Key, WorkMemory] = {}
        self._baselines: dict[Key, BaselineMemory] = {}
        self._breaches: dict[Key, BreachMemory] = {}

    async def observe(
        self,
        key: Key,
        integration: Object,
        spec: CrmIntegrationSpec,
        status: CrmIntegrationStatus,
        refused: RefusedWrite | None,
    ) -> World:
        """The world of `integration`, which is the cached object that `spec` and `status` were read from."""
        now = self._clock()
        uid = integration["metadata"]["uid"]
        template: Template = spec.workers.template
        target, image = revision_of(template), worker_image(template)
        known = await self._known(integration, status, target, now)
        verdict = None if target in known else await self._templates.verdict(integration, target, spec.workers, now)
        shrink = self._shrink(key)
        closely = is_choosing(shrink, now) or is_finding(status.guards, now)
        await self._metrics.watch(key, spec, status, closely=closely)
        in_progress = self._pods.in_progress(key) if spec.metrics.pods is not None else {}
        world = World(
            now=now,
            namespace=key.namespace,
            name=key.name,
            uid=uid,
            generation=int(integration["metadata"]["generation"]),
            spec=spec,
            status=status,
            target=target,
            image=image,
            image_failed_in=self._image_failed_in(key, status, target, image),
            template=verdict,
            stable=self._workload(key, integration, spec, "stable"),
            canary=self._workload(key, integration, spec, "canary"),
            known_revisions=known,
            queue=self._queues.view(key),
            evidence=self._metrics.evidence(key, spec),
            jobs_done=self._pods.jobs_done(key) if spec.metrics.pods is not None else {},
            job_times=self._pods.job_times(key) if spec.metrics.pods is not None else {},
            in_progress={pod: found.jobs for pod, found in in_progress.items()},
            in_progress_at={pod: found.at for pod, found in in_progress.items()},
            shrink=shrink,
            rate_limit_hits=self._metrics.rate_limit_hits(key, spec),
            sharing=self._sharing(key, integration),
            metrics=self._metrics.health(key, spec),
            scaled_by=self._scaled_by(key),
            pauses=self.pauses(key, spec.provider, now),
            own_pause=self._own_pause(key, uid, status, now),
            neighbours=neighbours(self._cache, key, spec.provider) if _stands_alone(status) else (),
            verbs=_verbs(integration),
            refused=refused,
        )
        return dataclasses.replace(
            world,
            load=self._loads.setdefault(key, LoadMemory()).notice(world),
            idle=self._work.setdefault(key, WorkMemory()).notice(world),
            baseline=self._baselines.setdefault(key, BaselineMemory()).notice(world),
            evidence=self._breaches.setdefault(key, BreachMemory()).notice(world),
        )

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

    async def decided(self, key: Key, world: World, plan: Plan) -> None:
        """What a later look has to know of this one's plan, whether it can be carried out or not."""
        if plan.holds:
            self._held.setdefault(key, world.now)
        else:
            self._held.pop(key, None)
        if is_finding(plan.status.guards, world.now) and not is_finding(world.status.guards, world.now):
            # Our own write brings no pass: the next may come with the next news only, and jobs go wrong meanwhile.
            await self._metrics.watch(key, world.spec, world.status, closely=True)

    def forget(self, key: Key) -> None:
        """The integration is gone."""
        self._queues.forget(key)
        self._metrics.forget(key)
        self._ledger.forget(key)
        self._loads.pop(key, None)
        self._held.pop(key, None)
        self._costs.forget(key)
        for role in ROLES:
            self._fingerprints.pop((key, role), None)
        self._work.pop(key, None)
        self._baselines.pop(key, None)
        self._breaches.pop(key, None)

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

    def _workload(self, key: Key, integration: Object, spec: CrmIntegrationSpec, role: Role) -> Workload | None:
        live = self._live(integration, role)
        if live is None:
            return None
        revision = workloads.revision_of(live)
        template = self._revisions.template(integration["metadata"]["uid"], revision)
        worker: str | None = None
        # Without the template there is nothing to compare with, or to put right.
        intact = workloads.labels_right(live, key, role)
        applied = not intact or self._ledger.knows(key, role, live)
        if template is not None:
            worker = worker_container(template)
            urgent = role == "stable" and is_urgent(live)
            of = _Intent(integration["metadata"]["uid"], revision, spec.workers.strategy, urgent)
            wanted = self._fingerprint(key, integration, role, of, template)
            intact = intact and self._ledger.intact(key, role, live, wanted)
        pods = workloads.pods_of(self._cache, key, role)
        return workloads.workload(live, pods, role=role, intact=intact, applied=applied, worker=worker)

    def _fingerprint(self, key: Key, integration: Object, role: Role, of: "_Intent", template: Template) -> str:
        """Of the intent for a Deployment as it is; made once for all looks, as it costs as much as one of them."""
        held = self._fingerprints.get((key, role))
        if held is None or held[0] != of:
            intent = deployment(
                integration,
                role=role,
                revision=of.revision,
                template=template,
                strategy=of.strategy,
                urgent=of.urgent,
            )
            held = self._fingerprints[key, role] = (of, fingerprint(intent))
        return held[1]

    def _scaled_by(self, key: Key) -> dict[str, str]:
        found: dict[str, str] = {}
        for role in ROLES:
            named = Key(key.namespace, deployment_name(key.name, role))
            for scaler in self._cache.autoscalers(named):
                found[role] = _scaler(scaler)
        return found

    async def watch_queue(self, key: Key, spec: CrmIntegrationSpec) -> QueueView:
        """Have the queue of `spec` read from now on; what is known of it. To be called before each `observe`."""
        self._queues.watch(key, await self._queue_source(key, spec))
        return self._queues.view(key)

    async def _queue_source(self, key: Key, spec: CrmIntegrationSpec) -> QueueSource | Unknown:
        queue = spec.queue
        # Whatever is wrong with the broker, a new password or certificate may be the cure.
        renew = not isinstance(self._queues.view(key).latest, QueueReading)
        url: Secret | Unknown
        if queue.url_from is None:
            assert queue.url is not None, "the API server lets one of url and urlFrom through"
            url, field = Secret(queue.url), "spec.queue.url"
        else:
            url, field = await self._secrets.follow(
                key.namespace, queue.url_from, renew=renew, field="spec.queue.urlFrom"
            )
        ca, ca_field = await self._secrets.follow_any(
            key.namespace, queue.tls.ca_from if queue.tls else None, renew=renew, field="spec.queue.tls.caFrom"
        )
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

    def _shrink(self, key: Key) -> Shrink:
        refusal = self._costs.refusal(key)
        return Shrink(
            since=self._held.get(key),
            refused=None if refusal is None else refusal.why,
            refused_at=None if refusal is None else refusal.at,
        )

    def _sharing(self, key: Key, integration: Object) -> tuple[int | None, ...]:
        """Backlogs of the others of this namespace that spend from the same account of the same provider.

        A paused one spends nothing.
        """
        account = _account(integration)
        if account is None:
            return ()
        others = sorted(
            key_of(item)
            for item in self._cache.objects(CRMINTEGRATIONS.kind, key.namespace)
            if key_of(item) != key and _account(item) == account and not _is_paused(item)
        )
        readings = [self._queues.view(other).latest for other in others]
        return tuple(reading.backlog if isinstance(reading, QueueReading) else None for reading in readings)

    def _image_failed_in(self, key: Key, status: CrmIntegrationStatus, target: str, image: str | None) -> str | None:
        """The first other integration of this namespace that rolled `image` back, if the answer can matter."""
        rollout = status.rollout
        if image is None or rollout is None:
            return None
        if target in (rollout.stable_revision, rollout.candidate_revision, rollout.failed_revision):
            return None
        others = sorted(self._cache.objects(CRMINTEGRATIONS.kind, key.namespace), key=key_of)
        return next((key_of(item).name for item in others if key_of(item) != key and image in _failed(item)), None)


def _stands_alone(status: CrmIntegrationStatus) -> bool:
    """A version on trial may have no stable worker beside it."""
    return status.rollout is not None and status.rollout.phase in (RolloutPhase.PROMOTING, RolloutPhase.BAKING)


def _scaler(autoscaler: Object) -> str:
    """`HorizontalPodAutoscaler NAME`, and what made it: KEDA makes one for each ScaledObject."""
    metadata = autoscaler["metadata"]
    makers = [f"{owner['kind']} {owner['name']}" for owner in metadata.get("ownerReferences") or ()]
    return f"HorizontalPodAutoscaler {metadata['name']}" + (f" of {makers[0]}" if makers else "")


def _failed(integration: Object) -> list[str]:
    """Images that a stored integration rolled back."""
    rollout = (integration.get("status") or {}).get("rollout") or {}
    return rollout.get("failedImages") or []


def _verbs(integration: Object) -> dict[Verb, str]:
    """The annotations by which people ask something of the rollout."""
    annotations = integration["metadata"].get("annotations") or {}
    return {verb: str(annotations[annotation(verb)]) for verb in Verb if annotation(verb) in annotations}


def _is_paused(integration: Object) -> bool:
    """Whether no worker of a stored integration can start a job until a pause ends."""
    sync = (integration.get("status") or {}).get("sync") or {}
    return bool(sync.get("state") == SyncState.PAUSED)


def _account(integration: Object) -> tuple[str, str] | None:
    """Provider and account that a stored integration's rate limit names. None: it shares with nobody."""
    spec = integration["spec"]
    account = ((spec.get("scaling") or {}).get("rateLimit") or {}).get("account")
    return None if account is None else (str(spec.get("provider")), str(account))
