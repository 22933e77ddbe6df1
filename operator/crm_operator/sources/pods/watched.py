"""One integration's pods: scraped in rounds by a task, remembered in a `PodFleet`."""

import asyncio
import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import NamedTuple

from crm_operator.api.v1alpha1 import Guard
from crm_operator.domain.busy_pods import IN_PROGRESS_METRIC, BusyPods, InProgress
from crm_operator.domain.fleet import JOBS_METRIC, PodFleet
from crm_operator.domain.key import Key
from crm_operator.domain.min_jobs import JobsWithin
from crm_operator.domain.scraped import Scrape
from crm_operator.domain.world import Evidence, JobsDone, JobTime, Unknown
from crm_operator.sources.pods.news import LastAnswers, News
from crm_operator.sources.pods.scrape import Scraper
from crm_operator.sources.pods.source import PodSource, PodTarget

log = logging.getLogger(__name__)

#: A sample is stale after this many intervals, and never before this time.
_STALE_INTERVALS, _STALE_LEAST = 3, timedelta(seconds=3)

#: A round is over for the others when a pod has not answered for this time, in seconds; what it says later counts too.
_ROUND_WAIT = 0.5
#: A pod that hangs is asked at least this often, in seconds: a few times while a stable version that cannot be read is
#: waited for (domain/blame.py).
_LONGEST_REST = 10.0
#: Seconds between looks for what can wait.
_LATER = 1.0


class _Rest(NamedTuple):
    """A pod that hung is left alone for a while."""

    until: float  # of the loop's clock, in seconds
    times: int  # it hung in a row


class WatchedPods:
    """Created by the hub; `run` ends after `end`."""

    def __init__(
        self, key: Key, source: PodSource, *, on_change: Callable[[Key], None], clock: Callable[[], datetime]
    ) -> None:
        self.key = key
        self._source = source
        self._on_change = on_change
        self._clock = clock
        self._begin_anew()
        self._uids = {target.uid for target in source.targets}
        self._asking: dict[str, asyncio.Task[News]] = {}  # by uid, those that have not answered yet
        self._rounds = 0
        self._untold = False  # something that can wait is new
        self._told_at = -_LATER  # by the loop's clock
        self._moved = False
        self._health: Unknown | None = None
        self._ended = False
        self._wake = asyncio.Event()
        self._wake.set()

    def _begin_anew(self) -> None:
        """Nothing is known yet of what the pods say there."""
        source = self._source
        self._fleet = PodFleet(keep=source.window, stale_after=_stale_after(source), levels=source.levels)
        self._fleet.targets(_targets(source), self._clock())
        self._busy = BusyPods()
        self._answers = LastAnswers()
        self._resting: dict[str, _Rest] = {}

    def update(self, source: PodSource) -> None:
        """Take the pods that are there now. New ones are read at once, and all where another place is to be read."""
        if source == self._source:
            return
        before, self._source = self._source, source
        if source.place != before.place:
            # Another counter of the same name: what it shows more than this one is no increase.
            self._begin_anew()
            self._wake.set()
        self._fleet.keep = max(source.window, timedelta(0))
        self._fleet.levels = source.levels
        self._fleet.stale_after = max(_stale_after(source), _stale_after(before))  # until the next round is in
        self._fleet.targets(_targets(source), self._clock())
        known, self._uids = self._uids, {target.uid for target in source.targets}
        self._busy.keep(self._uids)
        self._answers.keep(self._uids)
        self._resting = {uid: rest for uid, rest in self._resting.items() if uid in self._uids}
        if source.interval < before.interval or self._uids - known or _is_asked_oftener(source, before):
            self._wake.set()

    def end(self) -> None:
        self._ended = True
        self._wake.set()

    def evidence(self, guard: Guard) -> Evidence:
        return self._fleet.evidence(guard, self._clock())

    def jobs_done(self) -> dict[str, JobsDone | Unknown]:
        return self._fleet.jobs_done(self._clock())

    def jobs_within(self, window: timedelta) -> JobsWithin:
        return self._fleet.jobs_within(window, self._clock())

    def job_times(self) -> dict[str, JobTime]:
        return self._fleet.job_times(self._clock())

    def in_progress(self) -> dict[str, InProgress]:
        found = self._busy.jobs(since=self._clock() - self._fleet.stale_after)
        return {
            target.name: found[target.uid] for target in self._source.targets if target.serving and target.uid in found
        }

    def health(self) -> Unknown | None:
        """Why serving pods cannot be read. One that was never read has as long as a sample lives to come up."""
        serving = {target.uid for target in self._source.targets if target.serving}
        found = self._fleet.unread(self._clock(), among=serving)
        if found is None:
            return None
        fault, count, of = found
        where = f"port {self._source.port}{self._source.path}"
        return Unknown(
            f"metrics.pods ({where}): {fault.why} on {count} of {of} pods; check metrics.pods and that the worker "
            "serves metrics there",
            fault.reason,
        )

    async def run(self, scraper: Scraper, *, running: asyncio.Semaphore, share: int) -> None:
        """Round after round until `end`. `running` bounds the scrapes of all integrations, `share` those of this."""
        loop = asyncio.get_running_loop()
        own = asyncio.Semaphore(share)
        due = loop.time()
        async with asyncio.TaskGroup() as tasks:
            while not self._ended:
                try:
                    async with asyncio.timeout_at(due):
                        await self._wake.wait()
                except TimeoutError:
                    pass  # the usual end: the round is due
                self._wake.clear()
                if self._ended:
                    break
                due = loop.time() + self._source.interval.total_seconds()
                await self._round(scraper, tasks, running=running, own=own)
            for late in self._asking.values():
                late.cancel()

    async def _round(
        self, scraper: Scraper, tasks: asyncio.TaskGroup, *, running: asyncio.Semaphore, own: asyncio.Semaphore
    ) -> None:
        """Ask every pod at once and tell what is new; one that hangs keeps nobody from being heard."""
        source = self._source
        names, fleet = source.metrics | {JOBS_METRIC, IN_PROGRESS_METRIC}, self._fleet

        async def ask(target: PodTarget) -> News:
            async with own, running:
                found = await scraper.scrape(
                    ip=target.ip,
                    port=source.port,
                    path=source.path,
                    names=names,
                    not_before=(self._clock() - self._fleet.stale_after).timestamp(),
                    by_workspace=source.by_workspace,
                )
            del self._asking[target.uid]
            if fleet is not self._fleet:
                return News.NONE  # another place is asked by now
            self._rest(target.uid, found, timeout_seconds=scraper.timeout_seconds)
            news = self._take(target, found)
            if over:
                self._tell(news)
            return news

        over = False
        round_: set[asyncio.Task[News]] = set()
        now = asyncio.get_running_loop().time()
        self._rounds += 1
        for target in source.targets:
            if target.uid in self._answers and self._rounds % target.every:
                continue
            rest = self._resting.get(target.uid)
            if target.uid in self._asking or (rest is not None and rest.until > now):
                continue
            self._asking[target.uid] = tasks.create_task(ask(target))
            round_.add(self._asking[target.uid])
        answered, _ = await asyncio.wait(round_, timeout=_ROUND_WAIT) if round_ else (set(), set())
        over = True
        if source.interval == self._source.interval:
            self._fleet.stale_after = _stale_after(source)
        news = max((task.result() for task in answered), default=News.NONE)
        moves, health = self._fleet.moves(self._clock()), self.health()
        self._say(health)
        if health != self._health:
            news = News.NOW
        elif moves or self._moved:
            news = max(news, News.LATER)  # an average goes over its limit no sooner
        self._tell(news)
        self._moved, self._health = moves, health

    def _tell(self, news: News) -> None:
        """Have somebody look, now or with what is new within the next second."""
        now = asyncio.get_running_loop().time()
        self._untold = self._untold or news is News.LATER
        if news is News.NOW or (self._untold and now - self._told_at >= _LATER):
            self._untold, self._told_at = False, now
            self._on_change(self.key)

    def _take(self, target: PodTarget, found: Scrape | Unknown) -> News:
        """Remember what a pod said."""
        if target.uid not in self._uids:
            return News.NONE
        now = self._clock()
        self._fleet.record(target.uid, found, now)
        self._busy.record(target.uid, target.revision, found, now)
        return self._answers.take(target.uid, target.revision, found, background=self._source.background)

    def _rest(self, uid: str, found: Scrape | Unknown, *, timeout_seconds: float) -> None:
        """A pod that hangs is asked less often, or a few of them would make every round last as long as they hang."""
        if not isinstance(found, Unknown) or found.reason != "Timeout":
            self._resting.pop(uid, None)
            return
        times = self._resting[uid].times + 1 if uid in self._resting else 1
        pause = min(_LONGEST_REST, timeout_seconds * 2.0 ** min(times, 10))
        self._resting[uid] = _Rest(until=asyncio.get_running_loop().time() + pause, times=times)

    def _say(self, health: Unknown | None) -> None:
        """One line when reading the pods fails in another way than before, one when it works again."""
        if health is not None and (self._health is None or self._health.reason != health.reason):
            log.warning("Pods cannot be read", extra={"integration": str(self.key), "reason": health.reason})
        elif health is None and self._health is not None:
            log.info("Pods can be read again", extra={"integration": str(self.key)})


def _is_asked_oftener(source: PodSource, before: PodSource) -> bool:
    """Whether a pod is to be scraped in more of the rounds than before."""
    was = {target.uid: target.every for target in before.targets}
    return any(target.every < was.get(target.uid, target.every) for target in source.targets)


def _stale_after(source: PodSource) -> timedelta:
    return max(_STALE_INTERVALS * source.interval, _STALE_LEAST)


def _targets(source: PodSource) -> list[tuple[str, str, datetime | None]]:
    return [(target.uid, target.revision, target.started_at) for target in source.targets]
