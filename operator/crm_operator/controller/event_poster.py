"""Posts Events beside the work: who decides does not wait until everybody has been told.

An Event tells; it does not do, and the decision stands in status. So a slow API server delays only Events, one that is
away loses them, and what waits is bounded. `apply` adds, after the decision is recorded.
"""

import asyncio
import logging
import uuid
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, Protocol

from crm_operator.controller.kube import KubeError, Object
from crm_operator.controller.resources import CRMINTEGRATIONS, EVENTS, Resource
from crm_operator.domain.plan import EmitEvent

log = logging.getLogger(__name__)

REPORTER = "crm-operator"
#: Events that wait at most, and how many are posted at a time.
MOST, AT_ONCE = 1000, 2


class Creates(Protocol):
    """What is needed of `Kube`."""

    async def create(self, resource: Resource, namespace: str, body: Object) -> Object: ...


class EventPoster:
    """Posts in the order in which Events were added, two at a time."""

    def __init__(self, *, kube: Creates, identity: str, may_write: Callable[[], bool], most: int = MOST) -> None:
        """`may_write`: whether this process is the active one; what is added is dropped as long as it is not."""
        self._kube = kube
        self._identity = identity
        self._may_write = may_write
        self._waiting: asyncio.Queue[Object] = asyncio.Queue(most)

    def add(self, integration: Object, event: EmitEvent, now: datetime) -> None:
        """Post it soon. When too many wait already it is lost, and the log says so."""
        body = self._body(integration, event, now)
        try:
            self._waiting.put_nowait(body)
        except asyncio.QueueFull:
            self._lost(body, f"{self._waiting.qsize()} wait already")

    async def run(self) -> None:
        """Post for ever."""
        async with asyncio.TaskGroup() as group:
            for _ in range(AT_ONCE):
                group.create_task(self._work())

    async def finish(self, within: timedelta) -> None:
        """Wait until all that was added is posted, but no longer than this."""
        try:
            await asyncio.wait_for(self._waiting.join(), within.total_seconds())
        except TimeoutError:
            log.warning("Events are lost at the end", extra={"events": self._waiting.qsize()})

    async def _work(self) -> None:
        while True:
            body = await self._waiting.get()
            try:
                if self._may_write():
                    await self._kube.create(EVENTS, body["metadata"]["namespace"], body)
            except KubeError as error:
                self._lost(body, str(error))
            finally:
                self._waiting.task_done()

    def _lost(self, body: Object, why: str) -> None:
        key = f"{body['regarding']['namespace']}/{body['regarding']['name']}"
        log.warning("Could not post an Event", extra={"integration": key, "event": body["reason"], "reason": why})

    def _body(self, integration: Object, event: EmitEvent, now: datetime) -> dict[str, Any]:
        metadata = integration["metadata"]
        return {
            "metadata": {"name": f"{metadata['name']}.{uuid.uuid4().hex[:16]}", "namespace": metadata["namespace"]},
            "regarding": {
                "apiVersion": CRMINTEGRATIONS.api_version,
                "kind": CRMINTEGRATIONS.kind,
                "namespace": metadata["namespace"],
                "name": metadata["name"],
                "uid": metadata["uid"],
            },
            "eventTime": f"{now:%Y-%m-%dT%H:%M:%S.%f}Z",
            "reportingController": REPORTER,
            "reportingInstance": self._identity,
            "type": event.type,
            "reason": event.reason,
            "action": "Reconcile",
            "note": event.message,
        }
