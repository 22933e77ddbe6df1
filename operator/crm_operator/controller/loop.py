"""The loop: one key in, observe, decide, apply, and when to look again."""

import logging
from collections.abc import Callable
from datetime import datetime, timedelta

from pydantic import ValidationError

from crm_operator.api.names import FIELD_MANAGER_STATUS
from crm_operator.api.v1alpha1 import CrmIntegrationSpec, CrmIntegrationStatus
from crm_operator.controller.apply import ActionRefused, Applier
from crm_operator.controller.cache import Cache
from crm_operator.controller.kube import Conflict, Kube, NotFound, Object
from crm_operator.controller.live_turns import LiveTurns
from crm_operator.controller.observe import Observer
from crm_operator.controller.pace import Pace
from crm_operator.controller.pauses import PauseReconciler
from crm_operator.controller.resources import CRMINTEGRATIONS
from crm_operator.controller.revisions import Revisions
from crm_operator.controller.telemetry import Telemetry
from crm_operator.controller.templates import TemplateChecks
from crm_operator.domain.decide import decide
from crm_operator.domain.invalid import invalid_spec_status
from crm_operator.domain.key import Key
from crm_operator.domain.plan import Plan, RecordRevision
from crm_operator.domain.world import STARTING, QueueReading, QueueView, RefusedWrite, Unknown, World

log = logging.getLogger(__name__)

#: After a conflict: the watch, or the next read, brings what changed.
CONFLICT_DELAY = timedelta(milliseconds=200)
#: After a write that the API server refused: its cause (quota, admission, RBAC) is not something we can watch.
REFUSED_DELAY = timedelta(seconds=10)
#: While a broker cannot be read, or a template not be checked, the cause may be something that we do not watch: a
#: Secret, somebody else's Deployment.
UNREAD_DELAY = timedelta(seconds=10)
#: A look waits so long for an integration's first reading before it decides without: the hub's interval and timeout.
FIRST_READING = timedelta(seconds=2)


class Reconciler:
    """Reconciles CrmIntegrations, one key at a time; the work queue sees to it that a key is not run twice at once."""

    def __init__(
        self,
        *,
        kube: Kube,
        cache: Cache,
        observer: Observer,
        applier: Applier,
        revisions: Revisions,
        templates: TemplateChecks,
        pauses: PauseReconciler,
        enqueue_pause: Callable[[Key], None],
        telemetry: Telemetry,
        clock: Callable[[], datetime],
    ) -> None:
        self._kube = kube
        self._cache = cache
        self._observer = observer
        self._applier = applier
        self._revisions = revisions
        self._templates = templates
        self._pauses = pauses
        self._enqueue_pause = enqueue_pause
        self._telemetry = telemetry
        self._clock = clock
        self._uids: dict[Key, str] = {}
        self._refused: dict[Key, RefusedWrite] = {}
        self._first_looks: dict[Key, datetime] = {}
        self._pace = Pace()
        self._live_turns = LiveTurns()

    async def reconcile(self, key: Key) -> timedelta | None:
        """Look at one integration; the time after which to look again.

        Raises Unavailable when the API server is away: the queue tries again, later and later.
        """
        integration = self._cache.get(CRMINTEGRATIONS.kind, key.namespace, key.name)
        if integration is None or integration["metadata"].get("deletionTimestamp"):
            self._forget(key)
            return None
        self._remember(key, integration["metadata"]["uid"])
        status = _recorded(integration)
        try:
            spec = CrmIntegrationSpec.model_validate(integration["spec"])
        except ValidationError as error:
            await self._say_invalid(key, integration, status, error)
            return None
        if (wait := self._first_reading(key, await self._observer.watch_queue(key, spec))) is not None:
            return wait
        world = await self._observer.observe(key, integration, spec, status, self._refused.get(key))
        plan = decide(world)
        await self._observer.decided(key, world, plan)
        return await self._carry_out(key, integration, world, plan)

    def _first_reading(self, key: Key, queue: QueueView) -> timedelta | None:
        """How long to wait for the first reading; None: it is there, or was waited for.

        It is there within a tenth of a second, as a rule. Deciding without it would say after each restart, of each
        integration, that its queue is not read yet, and a moment later that it is.
        """
        now = self._clock()
        left = self._first_looks.setdefault(key, now) + FIRST_READING - now
        if isinstance(queue.latest, QueueReading) or queue.latest.reason != STARTING or left <= timedelta(0):
            return None
        return left

    async def _carry_out(self, key: Key, integration: Object, world: World, plan: Plan) -> timedelta | None:
        try:
            wait = await self._apply(key, integration, world, plan)
        except (Conflict, NotFound) as error:
            log.info("The world changed during a write", extra={"integration": str(key), "reason": str(error)})
            return CONFLICT_DELAY
        except ActionRefused as error:
            log.warning("A write was refused", extra={"integration": str(key), "reason": error.message[:600]})
            if isinstance(error.action, RecordRevision):
                self._templates.refuse(world.uid, error.action.revision, error, self._clock())
                return CONFLICT_DELAY
            self._refused[key] = _refused_write(error, world.refused_since)
            return CONFLICT_DELAY if world.refused is None else REFUSED_DELAY
        reading = world.queue.latest
        known = reading if isinstance(reading, QueueReading) else None
        self._telemetry.integrations.show(key, plan.status, reading=known)
        if plan.status.sync != world.status.sync:
            for pause in self._pauses.concerned(key):
                self._enqueue_pause(pause)
        times = [time for time in (plan.requeue_after, wait) if time is not None]
        if wait is None and self._refused.pop(key, None) is not None:
            times.append(CONFLICT_DELAY)  # say that it is over
        if not isinstance(reading, QueueReading) or isinstance(world.template, Unknown):
            times.append(UNREAD_DELAY)
        return min(times, default=None)

    async def _apply(self, key: Key, integration: Object, world: World, plan: Plan) -> timedelta | None:
        """None when the plan is carried out; else it can wait, and has to for so long."""
        if not plan.only_tells:
            self._live_turns.forget(key)
        if not plan.can_wait:
            await self._applier.apply(integration, world, plan)
            return None
        wait = self._live_turns.wait(key, world.now, of=len(self._uids)) if plan.only_tells else None
        if wait is None:
            wait = self._pace.wait(key, world.now)
        if wait is None:
            if plan.only_tells:
                self._live_turns.took(key)
            began = self._clock()
            with self._pace.writing(key):
                await self._applier.apply(integration, world, plan)
            ended = self._clock()
            self._pace.took(ended - began, ended)
        return wait

    async def _say_invalid(
        self, key: Key, integration: Object, status: CrmIntegrationStatus, error: ValidationError
    ) -> None:
        """A spec that the CRD of today would refuse; what runs is left alone."""
        generation = int(integration["metadata"]["generation"])
        faults = "; ".join(
            f"spec.{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors(include_input=False)
        )
        wanted = invalid_spec_status(status, generation=generation, why=faults[:800], now=self._clock())
        if wanted != status:
            metadata = integration["metadata"]
            body = {
                "metadata": {"uid": metadata["uid"], "resourceVersion": metadata["resourceVersion"]},
                "status": wanted.to_wire(),
            }
            stored = await self._kube.patch_status(
                CRMINTEGRATIONS, key.namespace, key.name, body, manager=FIELD_MANAGER_STATUS
            )
            self._cache.upsert(CRMINTEGRATIONS.kind, stored)

    def _remember(self, key: Key, uid: str) -> None:
        if self._uids.get(key, uid) != uid:
            self._forget(key)  # deleted and made again between two looks: nothing of the old one may count
        self._uids[key] = uid

    def _forget(self, key: Key) -> None:
        uid = self._uids.pop(key, None)
        if uid is None:
            return
        self._revisions.forget(uid)
        self._templates.forget(uid)
        self._observer.forget(key)
        self._refused.pop(key, None)
        self._first_looks.pop(key, None)
        self._pace.forget(key)
        self._live_turns.forget(key)
        self._telemetry.integrations.forget(key)
        for pause in self._pauses.concerned(key):
            self._enqueue_pause(pause)


def _refused_write(error: ActionRefused, since: datetime) -> RefusedWrite:
    """The API server's words, or our own where we refused it ourselves (code 0) and the reason is ours."""
    if not error.status:
        return RefusedWrite(action=error.action, why=error.message[:600], reason=error.reason, since=since)
    why = f"the API server refused a write: {error.message[:600]}"
    return RefusedWrite(action=error.action, why=why, reason="WriteRefused", since=since)


def _recorded(integration: Object) -> CrmIntegrationStatus:
    """The stored status; one that cannot be read is as good as none, since all of it but the rollout is derived."""
    try:
        return CrmIntegrationStatus.model_validate(integration.get("status") or {})
    except ValidationError as error:
        log.warning(
            "Cannot read the recorded status, starting from what runs",
            extra={"integration": integration["metadata"]["name"], "reason": f"{error.error_count()} faults"},
        )
        return CrmIntegrationStatus()
