"""The one place that writes to workers and status: carries a Plan out, in its order.

A failed write ends the plan, but for what `domain/course` lets go on: what takes work away from a bad version, and
Events. Nothing is retried here; the next pass looks at the world again and decides anew.
"""

import logging
from collections.abc import Callable
from typing import assert_never

from crm_operator.api.names import FIELD_MANAGER_SCALE, FIELD_MANAGER_STATUS, FIELD_MANAGER_TEMPLATE
from crm_operator.api.v1alpha1 import Strategy
from crm_operator.controller.cache import Cache, key_of
from crm_operator.controller.deletion_costs import DeletionCosts
from crm_operator.controller.event_poster import EventPoster
from crm_operator.controller.kube import Kube, KubeError, NotFound, Object, Refused, Unavailable
from crm_operator.controller.render import (
    NAME_TAKEN,
    deployment,
    deployment_name,
    fingerprint,
    is_owned,
    name_taken,
    sync_pause,
)
from crm_operator.controller.resources import CRMINTEGRATIONS, DEPLOYMENTS, SYNCPAUSES
from crm_operator.controller.revisions import Revisions
from crm_operator.controller.workloads import Ledger, find
from crm_operator.domain.course import Course
from crm_operator.domain.key import Key
from crm_operator.domain.plan import (
    Action,
    ApplyTemplate,
    CountDecision,
    CreatePause,
    DeleteWorkload,
    EmitEvent,
    Plan,
    RecordRevision,
    Role,
    SetDeletionCosts,
    SetReplicas,
    WriteStatus,
)
from crm_operator.domain.world import World

log = logging.getLogger(__name__)


class ActionRefused(Refused):
    """An action of a plan, and the refusal that it met."""

    def __init__(self, refused: Refused, action: Action) -> None:
        super().__init__(refused.status, refused.reason, refused.message)
        self.action = action


class Applier:
    """Carries plans out."""

    def __init__(
        self,
        *,
        kube: Kube,
        cache: Cache,
        ledger: Ledger,
        revisions: Revisions,
        costs: DeletionCosts,
        events: EventPoster,
        decided: Callable[[str], None],  # told of each decision's name once it is recorded, for metrics
        pause_made: Callable[[Key], None],  # told of each SyncPause that was made: it is to be looked at
        may_write: Callable[[], bool],  # whether this process is the active one
    ) -> None:
        self._kube = kube
        self._cache = cache
        self._ledger = ledger
        self._revisions = revisions
        self._costs = costs
        self._events = events
        self._decided = decided
        self._pause_made = pause_made
        self._may_write = may_write

    async def apply(self, integration: Object, world: World, plan: Plan) -> None:
        """Raises the KubeError that counts most, when all was tried that can be; a refusal as ActionRefused."""
        failure: KubeError | None = None
        course = Course()
        for action in plan.actions:
            if not course.goes_on_with(action):
                continue
            try:
                await self._do(integration, world, action)
            except KubeError as error:
                if course.failed(action, refused=isinstance(error, Refused)):
                    failure = ActionRefused(error, action) if isinstance(error, Refused) else error
        if failure is not None:
            raise failure

    async def _do(self, integration: Object, world: World, action: Action) -> None:
        if not self._may_write():
            raise Unavailable("this process does not hold the lease")
        match action:
            case RecordRevision():
                await self._revisions.record(integration, action.revision, world.spec.workers.template, action.keep)
            case WriteStatus():
                await self._write_status(integration, action)
            case ApplyTemplate():
                await self._apply_template(integration, world.spec.workers.strategy, action)
            case SetReplicas():
                await self._set_replicas(integration, action)
            case SetDeletionCosts():
                await self._costs.write(_key(integration), action.costs)
            case DeleteWorkload():
                await self._delete(integration, action)
            case CreatePause():
                await self._create_pause(integration, action)
            case CountDecision():
                self._decided(action.what)
            case EmitEvent():
                self._decided(action.reason)
                self._events.add(integration, action, world.now)
            case _:
                assert_never(action)

    async def _write_status(self, integration: Object, action: WriteStatus) -> None:
        metadata = integration["metadata"]
        # The version is a precondition: a status is never decided on one spec and written beside another.
        body = {
            "metadata": {"uid": metadata["uid"], "resourceVersion": metadata["resourceVersion"]},
            "status": action.status.to_wire(),
        }
        stored = await self._kube.patch_status(
            CRMINTEGRATIONS, metadata["namespace"], metadata["name"], body, manager=FIELD_MANAGER_STATUS
        )
        self._cache.upsert(CRMINTEGRATIONS.kind, stored)

    async def _apply_template(self, integration: Object, strategy: Strategy, action: ApplyTemplate) -> None:
        metadata = integration["metadata"]
        key = _key(integration)
        template = self._revisions.template(metadata["uid"], action.revision)
        if template is None:
            raise Refused(0, "TemplateLost", f"the template of revision {action.revision} is not stored any more")
        intent = deployment(
            integration,
            role=action.role,
            revision=action.revision,
            template=template,
            strategy=strategy,
            urgent=action.urgent,
        )
        name = deployment_name(metadata["name"], action.role)
        body = intent
        if find(self._cache, key, action.role, metadata["uid"]) is None:
            await self._refuse_foreign(integration, name)
            # A Deployment starts with one pod unless told otherwise, and a paused one must not.
            body = {**intent, "spec": {**intent["spec"], "replicas": action.replicas}}
        stored = await self._kube.apply(DEPLOYMENTS, metadata["namespace"], name, body, manager=FIELD_MANAGER_TEMPLATE)
        self._cache.upsert(DEPLOYMENTS.kind, stored)
        self._ledger.templated(key, action.role, stored, fingerprint(intent))
        log.info(
            "Applied template",
            extra={"integration": str(key), "deployment": name, "revision": action.revision, "reason": action.why},
        )
        if body is not intent:
            # Hand the size over to its own field manager, so that the next template does not carry it.
            await self._scale(integration, action.role, action.replicas)

    async def _refuse_foreign(self, integration: Object, name: str) -> None:
        """A Deployment of this name that is somebody else's is not taken over."""
        metadata = integration["metadata"]
        live = await self._kube.get(DEPLOYMENTS, metadata["namespace"], name)
        if live is None:
            return
        if not is_owned(live, metadata["uid"]):
            raise Refused(0, NAME_TAKEN, name_taken(DEPLOYMENTS.kind, name))

    async def _set_replicas(self, integration: Object, action: SetReplicas) -> None:
        await self._scale(integration, action.role, action.replicas)
        log.info(
            "Scaled",
            extra={
                "integration": str(_key(integration)),
                "role": action.role,
                "from": action.was,
                "to": action.replicas,
                "reason": action.why,
            },
        )

    async def _scale(self, integration: Object, role: Role, replicas: int) -> None:
        metadata = integration["metadata"]
        key = _key(integration)
        live = find(self._cache, key, role, metadata["uid"])
        if live is None:
            raise NotFound(f"Deployment {deployment_name(metadata['name'], role)} is gone")
        body = {"metadata": {"uid": live["metadata"]["uid"]}, "spec": {"replicas": replicas}}
        stored = await self._kube.apply(
            DEPLOYMENTS, metadata["namespace"], live["metadata"]["name"], body, manager=FIELD_MANAGER_SCALE
        )
        self._cache.upsert(DEPLOYMENTS.kind, stored)
        self._ledger.scaled(key, role, stored)

    async def _delete(self, integration: Object, action: DeleteWorkload) -> None:
        metadata = integration["metadata"]
        live = find(self._cache, _key(integration), action.role, metadata["uid"])
        if live is not None:
            await self._kube.delete(
                DEPLOYMENTS, metadata["namespace"], live["metadata"]["name"], uid=live["metadata"]["uid"]
            )

    async def _create_pause(self, integration: Object, action: CreatePause) -> None:
        metadata = integration["metadata"]
        stored = await self._kube.create(SYNCPAUSES, metadata["namespace"], sync_pause(integration, action))
        self._cache.upsert(SYNCPAUSES.kind, stored)
        self._pause_made(key_of(stored))
        log.info(
            "Created SyncPause",
            extra={"integration": str(_key(integration)), "pause": action.name, "reason": action.why},
        )


def _key(integration: Object) -> Key:
    return Key(integration["metadata"]["namespace"], integration["metadata"]["name"])
