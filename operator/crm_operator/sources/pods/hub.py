"""The worker pods' metrics of all integrations. The controller says which pods there are; scrapes run on their own.

Every integration has a task; all share one bound on running scrapes, of which one integration takes at most a part,
so that an integration whose pods hang does not starve the others. One event loop, no locks: only `run` waits.
"""

import asyncio
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

from crm_operator.api.v1alpha1 import Guard
from crm_operator.domain.busy_pods import InProgress
from crm_operator.domain.key import Key
from crm_operator.domain.min_jobs import JobsWithin
from crm_operator.domain.world import STARTING, Evidence, JobsDone, JobTime, Unknown
from crm_operator.sources.pods.scrape import Scraper, new_session
from crm_operator.sources.pods.source import PodSource
from crm_operator.sources.pods.watched import WatchedPods

_NOT_WATCHED = Unknown("the pods are not read yet", STARTING)


class PodHub:
    """`on_change(key)` is called in the event loop when a needed value, the jobs or the health changed."""

    def __init__(
        self,
        *,
        on_change: Callable[[Key], None],
        clock: Callable[[], datetime],
        timeout: timedelta = timedelta(seconds=2),
        concurrency: int = 50,
        max_bytes: int = 1024 * 1024,
    ) -> None:
        self._on_change = on_change
        self._clock = clock
        self._timeout = timeout
        self._concurrency = concurrency
        self._max_bytes = max_bytes
        self._watched: dict[Key, WatchedPods] = {}
        self._arrived: asyncio.Queue[WatchedPods] = asyncio.Queue()

    def watch(self, key: Key, source: PodSource | None) -> None:
        """Scrape these pods for `key` from now on; None: there are no metrics to read. Cheap when unchanged."""
        if source is None:
            self.forget(key)
            return
        watched = self._watched.get(key)
        if watched is None:
            watched = self._watched[key] = WatchedPods(key, source, on_change=self._on_change, clock=self._clock)
            self._arrived.put_nowait(watched)
        else:
            watched.update(source)

    def forget(self, key: Key) -> None:
        """The integration is gone, or has no metrics any more."""
        watched = self._watched.pop(key, None)
        if watched is not None:
            watched.end()

    def evidence(self, key: Key, guard: Guard) -> Evidence:
        """What a guard with metric.from = pods reads, by revision and over all."""
        watched = self._watched.get(key)
        return Evidence(overall=_NOT_WATCHED) if watched is None else watched.evidence(guard)

    def jobs_done(self, key: Key) -> Mapping[str, JobsDone | Unknown]:
        """Jobs that each revision's pods have finished since they started, for revisions that have pods."""
        watched = self._watched.get(key)
        return {} if watched is None else watched.jobs_done()

    def jobs_within(self, key: Key, window: timedelta) -> JobsWithin:
        """Jobs finished within `window`, which must not be longer than the source's."""
        watched = self._watched.get(key)
        return JobsWithin(by_revision={}, overall=_NOT_WATCHED) if watched is None else watched.jobs_within(window)

    def job_times(self, key: Key) -> Mapping[str, JobTime]:
        """How long each revision's jobs took of late; needs JOB_TIME_METRICS among the source's metrics."""
        watched = self._watched.get(key)
        return {} if watched is None else watched.job_times()

    def in_progress(self, key: Key) -> Mapping[str, InProgress]:
        """Jobs that each pod works on now, by pod name: of pods that are Ready, do not drain, and were read of late."""
        watched = self._watched.get(key)
        return {} if watched is None else watched.in_progress()

    def health(self, key: Key) -> Unknown | None:
        """Why pods cannot be read, and how many; None: all can, or there is nothing to read."""
        watched = self._watched.get(key)
        return None if watched is None else watched.health()

    async def run(self) -> None:
        """Scrape until cancelled."""
        running = asyncio.Semaphore(self._concurrency)
        async with new_session() as session, asyncio.TaskGroup() as tasks:
            scraper = Scraper(session, timeout_seconds=self._timeout.total_seconds(), max_bytes=self._max_bytes)
            while True:
                watched = await self._arrived.get()
                share = max(1, self._concurrency // 4)
                tasks.create_task(watched.run(scraper, running=running, share=share), name=f"pods of {watched.key}")
