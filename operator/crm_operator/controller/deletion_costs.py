"""Writes pods' deletion costs, which say who goes first when a Deployment shrinks, and remembers when it could not.

A cost is a wish: without it a ReplicaSet chooses by itself. So no failure here is an error of the plan.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from crm_operator.api.names import ANNOTATION_DELETION_COST, FIELD_MANAGER_DELETION_COST
from crm_operator.controller.cache import Cache, uid_of
from crm_operator.controller.kube import Conflict, Kube, KubeError, NotFound, Object, Refused
from crm_operator.controller.resources import PODS
from crm_operator.domain.key import Key
from crm_operator.domain.world import Unknown

log = logging.getLogger(__name__)

#: For one pod; the Deployment is held meanwhile.
TIMEOUT = timedelta(seconds=2)
#: Requests at once.
CONCURRENCY = 8


@dataclass(frozen=True, slots=True)
class Refusal:
    """The newest costs could not be written."""

    why: Unknown
    at: datetime


class DeletionCosts:
    """In memory: after a restart it tries again, and says so again."""

    def __init__(self, *, kube: Kube, cache: Cache, clock: Callable[[], datetime]) -> None:
        self._kube = kube
        self._cache = cache
        self._clock = clock
        self._refusals: dict[Key, Refusal] = {}

    def refusal(self, key: Key) -> Refusal | None:
        """Why the newest costs of an integration's pods could not be written; None: they could."""
        return self._refusals.get(key)

    def forget(self, key: Key) -> None:
        self._refusals.pop(key, None)

    async def write(self, key: Key, costs: Mapping[str, int | None]) -> None:
        """`costs` by pod name; None takes a pod's cost away. After a failure no more are begun."""
        turn, failures = asyncio.Semaphore(CONCURRENCY), list[KubeError]()

        async def write_one(name: str, cost: int | None) -> None:
            async with turn:
                if failures:
                    return
                try:
                    await self._apply(key, name, cost)
                except KubeError as error:
                    failures.append(error)

        async with asyncio.TaskGroup() as tasks:
            for name, cost in costs.items():
                tasks.create_task(write_one(name, cost))
        before = self._refusals.pop(key, None)
        if failures:
            why = _why(failures[0])
            self._refusals[key] = Refusal(why, self._clock())
            if before is None or before.why != why:
                log.warning("Could not write deletion costs", extra={"integration": str(key), "reason": why.why})

    async def _apply(self, key: Key, name: str, cost: int | None) -> None:
        pod = self._cache.get(PODS.kind, key.namespace, name)
        if pod is None:
            return
        body: Object = {"metadata": {"uid": uid_of(pod)}}
        if cost is not None:
            body["metadata"]["annotations"] = {ANNOTATION_DELETION_COST: str(cost)}
        try:
            stored = await self._kube.apply(
                PODS, key.namespace, name, body, manager=FIELD_MANAGER_DELETION_COST, timeout=TIMEOUT
            )
        except (NotFound, Conflict):
            return  # it is gone, or its name is another pod's by now
        self._cache.upsert(PODS.kind, stored)


def _why(error: KubeError) -> Unknown:
    """In the same words for every pod, so that it is said once."""
    match error:
        case Refused(status=403):
            return Unknown(
                "the operator has no right to patch pods; grant it as manifests/base/rbac.yaml does", "Forbidden"
            )
        case Refused(reason=reason):
            return Unknown(f"the API server refused a deletion cost ({reason})", reason)
        case _:
            return Unknown("the API server did not take a deletion cost", "Unavailable")
