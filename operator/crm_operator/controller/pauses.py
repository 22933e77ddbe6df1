"""Reconciles a SyncPause: wakes the integrations that it holds, and says what became of it.

The workers themselves are stopped by the integrations' own reconcile, which looks at all pauses; here nothing is
written but the pause's status.
"""

from collections.abc import Callable
from datetime import datetime, timedelta

from pydantic import ValidationError

from crm_operator.api.names import FIELD_MANAGER_STATUS
from crm_operator.api.v1alpha1 import CrmIntegrationStatus, Mode, SyncPauseSpec, SyncPauseStatus, SyncStatus
from crm_operator.controller.cache import Cache
from crm_operator.controller.kube import Conflict, Kube, NotFound
from crm_operator.controller.resources import CRMINTEGRATIONS, SYNCPAUSES
from crm_operator.domain.key import Key
from crm_operator.domain.pause import effective, matches, pause_status


class PauseReconciler:
    """One SyncPause at a time."""

    def __init__(
        self, *, kube: Kube, cache: Cache, clock: Callable[[], datetime], enqueue: Callable[[Key], None]
    ) -> None:
        self._kube = kube
        self._cache = cache
        self._clock = clock
        self._enqueue = enqueue

    def wake(self, pause: Key) -> None:
        """A SyncPause changed or is gone: every integration of its namespace looks again.

        All of them, because the old version may have named others than the new one, and old versions are not kept.
        """
        for item in self._cache.objects(CRMINTEGRATIONS.kind, pause.namespace):
            self._enqueue(Key(pause.namespace, item["metadata"]["name"]))

    def concerned(self, integration: Key) -> list[Key]:
        """The SyncPauses whose status may change with this integration's."""
        return [
            Key(integration.namespace, item["metadata"]["name"])
            for item in self._cache.objects(SYNCPAUSES.kind, integration.namespace)
        ]

    async def reconcile(self, key: Key) -> timedelta | None:
        """Raises Unavailable or Refused, for the queue to retry."""
        item = self._cache.get(SYNCPAUSES.kind, key.namespace, key.name)
        if item is None or item["metadata"].get("deletionTimestamp"):
            return None
        now = self._clock()
        spec = SyncPauseSpec.model_validate(item["spec"])
        was = SyncPauseStatus.model_validate(item.get("status") or {})
        status = pause_status(
            key.name,
            spec,
            was,
            generation=int(item["metadata"]["generation"]),
            syncs=self._syncs(key.namespace, spec),
            now=now,
        )
        wire = status.to_wire()
        if wire != (item.get("status") or {}):
            metadata = item["metadata"]
            body = {
                "metadata": {"uid": metadata["uid"], "resourceVersion": metadata["resourceVersion"]},
                "status": wire,
            }
            try:
                stored = await self._kube.patch_status(
                    SYNCPAUSES, key.namespace, key.name, body, manager=FIELD_MANAGER_STATUS
                )
            except (Conflict, NotFound):
                return timedelta(milliseconds=200)  # it changed meanwhile; the watch brings the new version
            self._cache.upsert(SYNCPAUSES.kind, stored)
            if status.effective_time != was.effective_time or status.phase != was.phase:
                self.wake(key)
        pause = effective(key.name, spec, status, now)
        if pause is not None and pause.expires is not None:
            return pause.expires - now
        return None

    def _syncs(self, namespace: str, spec: SyncPauseSpec) -> dict[str, SyncStatus | None]:
        found: dict[str, SyncStatus | None] = {}
        for item in self._cache.objects(CRMINTEGRATIONS.kind, namespace):
            name = item["metadata"]["name"]
            if item["spec"].get("mode") == Mode.OBSERVE:
                continue  # its workers are not stopped
            if not matches(spec, provider=item["spec"]["provider"], integration=name):
                continue
            try:
                found[name] = CrmIntegrationStatus.model_validate(item.get("status") or {}).sync
            except ValidationError:
                found[name] = None  # a status that cannot be read proves nothing
        return found
