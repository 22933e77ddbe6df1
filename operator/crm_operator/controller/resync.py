"""The periodic list: what the watches missed, and the first fill of the cache.

Kopf does not tell of what was deleted while a watch was down (docs/decisions.md), so a full list every few minutes
prunes it. The first one runs before Kopf starts: decisions begin with a whole view, and Kopf, which looks for the kinds
only once, finds them installed.
"""

import asyncio
import functools
import logging
import random
from collections.abc import Callable, Iterable
from datetime import timedelta

from crm_operator.api.names import LABEL_MANAGED_BY, MANAGED_BY
from crm_operator.controller.cache import CHILDREN, KINDS, Cache, trim
from crm_operator.controller.kube import Kube, KubeError, NotFound
from crm_operator.controller.resources import CRMINTEGRATIONS, SYNCPAUSES
from crm_operator.domain.key import Key

log = logging.getLogger(__name__)

#: Of Deployments and Pods; list and watch must select the same.
CHILD_SELECTOR = f"{LABEL_MANAGED_BY}={MANAGED_BY}"

EVERY = timedelta(minutes=5)
LIST_TIMEOUT = timedelta(seconds=30)
FIRST_RETRY, LAST_RETRY = 0.5, 15.0  # seconds


class Resync:
    """Lists all kinds into the cache and puts every CrmIntegration on the queue."""

    def __init__(
        self,
        kube: Kube,
        cache: Cache,
        *,
        enqueue: Callable[[Key], None],
        enqueue_pause: Callable[[Key], None],
        every: timedelta = EVERY,
    ) -> None:
        """`enqueue` should add in the background; `enqueue_pause` is told of SyncPauses that changed."""
        self._kube, self._cache = kube, cache
        self._enqueue, self._enqueue_pause = enqueue, enqueue_pause
        self._every = every

    async def first(self) -> None:
        """List until it succeeds once. Errors are waited out and logged; cancel to give up."""
        delay, said = FIRST_RETRY, ""
        while errors := await self.once():
            why = _reasons(errors)
            if why != said:
                log.warning("Cannot list, will retry", extra={"reason": why})
            said = why
            await asyncio.sleep(delay * (0.5 + random.random() / 2))
            delay = min(LAST_RETRY, delay * 2)

    async def run(self) -> None:
        """List again and again; for ever. A list that fails is logged and tried at the next turn."""
        while True:
            await asyncio.sleep(self._every.total_seconds() * (0.9 + 0.2 * random.random()))
            if errors := await self.once():
                log.warning("Resync failed", extra={"reason": _reasons(errors)})

    async def once(self) -> list[KubeError]:
        """One round; what failed of it. The other kinds are in the cache."""
        touched: dict[str, set[Key]] = {kind: set() for kind in KINDS}
        errors: list[KubeError] = []
        async with asyncio.TaskGroup() as group:
            for kind in KINDS:
                for scope in self._cache.scopes:
                    group.create_task(self._list(kind, scope, touched[kind], errors))
        for pause in touched.pop(SYNCPAUSES.kind):
            self._enqueue_pause(pause)
        for key in set(self._cache.keys(CRMINTEGRATIONS.kind)).union(*touched.values()):
            self._enqueue(key)
        return errors

    async def _list(self, kind: str, scope: str | None, touched: set[Key], errors: list[KubeError]) -> None:
        selector = CHILD_SELECTOR if kind in CHILDREN else None
        small = functools.partial(trim, kind)
        try:
            items, version = await self._kube.list(
                KINDS[kind], scope, label_selector=selector, trim=small, timeout=LIST_TIMEOUT
            )
        except KubeError as error:
            errors.append(error)
        else:
            touched |= self._cache.replace(kind, items, version, scope)


def _reasons(errors: Iterable[KubeError]) -> str:
    return "; ".join(sorted({_reason(error) for error in errors}))


def _reason(error: KubeError) -> str:
    return f"{error} (are the CustomResourceDefinitions installed?)" if isinstance(error, NotFound) else str(error)
