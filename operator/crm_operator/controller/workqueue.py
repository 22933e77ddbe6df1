"""The work queue: which CrmIntegrations to look at, one look at a time each.

Keys, never events: however often and from wherever a key is added, what matters is the world when its turn comes.
Watches, timers, the resync and the sources add; `loop.py`'s reconcile is what runs.

Rules
- One key is worked on by one worker at a time. Added while it is worked on, it runs once more afterwards.
- Two lanes: `background` keys (the resync) wait until no other key does, so that a release gone bad does not stand in
  line behind a thousand healthy integrations. An ordinary add lifts a background key.
- Several times to look again: the earliest wins. The start of a run clears them, because the run's answer says anew
  when to look; times set during the run are kept beside that answer.
- A run that raises is tried again after 0.2 s, 0.4 s, ... 30 s (with jitter), or after the error's `retry_after` if
  that is longer. An add in between runs at once: news may be what the failed run was waiting for.

Time is the running loop's, so that tests run on a virtual clock.
"""

import asyncio
import logging
import random
from collections import deque
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Protocol

from crm_operator.domain.key import Key

log = logging.getLogger(__name__)

Reconcile = Callable[[Key], Awaitable[timedelta | None]]

FIRST_BACKOFF = 0.2  # seconds
LAST_BACKOFF = 30.0


class QueueObserver(Protocol):
    """What the queue tells of itself; `telemetry.QueueMetrics`."""

    def added(self) -> None: ...
    def started(self, waited: float) -> None: ...
    def finished(self, took: float, result: str) -> None: ...
    def retried(self) -> None: ...


class WorkQueue:
    """De-duplicating keyed queue with its workers. Made outside a loop, used inside one."""

    def __init__(
        self, *, concurrency: int, observer: QueueObserver, jitter: Callable[[], float] = random.random
    ) -> None:
        """`jitter` gives 0..1; a retry waits between half of its backoff and the whole."""
        self.concurrency = concurrency
        self._observer = observer
        self._jitter = jitter
        self._front: deque[Key] = deque()
        self._back: deque[Key] = deque()
        self._waiting: dict[Key, float] = {}  # in a lane, since
        self._working: dict[Key, float] = {}  # since
        self._again: set[Key] = set()  # added while being worked on
        self._timers: dict[Key, asyncio.TimerHandle] = {}
        self._failures: dict[Key, int] = {}
        self._wake = asyncio.Event()
        self._closed = False
        self.running = False
        #: Loop time of the last start or end of a run.
        self.last_progress = 0.0

    # --- adding

    def add(self, key: Key, *, background: bool = False) -> None:
        """Look at this key as soon as a worker is free."""
        if self._closed:
            return
        if key in self._working:
            self._again.add(key)
            return
        if key in self._waiting:
            if not background and key in self._back:
                self._back.remove(key)
                self._front.append(key)
            return
        self._waiting[key] = self._now()
        (self._back if background else self._front).append(key)
        self._observer.added()
        self._wake.set()

    def add_after(self, key: Key, delay: timedelta) -> None:
        """Look at this key after `delay`, or earlier if an earlier time is set already."""
        if self._closed:
            return
        seconds = delay.total_seconds()
        if seconds <= 0:
            self.add(key)
            return
        due = self._now() + seconds
        timer = self._timers.get(key)
        if timer is not None:
            if timer.when() <= due:
                return
            timer.cancel()
        self._timers[key] = asyncio.get_running_loop().call_at(due, self._fire, key)

    def forget(self, key: Key) -> None:
        """The CrmIntegration is gone: no more looks by time. One that waits or runs still happens, and finds that."""
        timer = self._timers.pop(key, None)
        if timer is not None:
            timer.cancel()
        self._failures.pop(key, None)

    # --- running

    async def run(self, reconcile: Reconcile) -> None:
        """Work until `close`, then return when the runs under way are done. Cancelled: drop them."""
        self.running = True
        self.last_progress = self._now()
        try:
            async with asyncio.TaskGroup() as group:
                for n in range(self.concurrency):
                    group.create_task(self._work(reconcile), name=f"worker {n}")
        finally:
            self.running = False
            self.close()

    def close(self) -> None:
        """Take no more keys and start no more runs."""
        self._closed = True
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        self._wake.set()

    # --- looking at it

    @property
    def depth(self) -> int:
        """Keys that wait for a worker."""
        return len(self._waiting)

    @property
    def active(self) -> int:
        """Keys being worked on."""
        return len(self._working)

    def longest_running(self) -> timedelta:
        """Age of the oldest run under way; zero when none is."""
        return timedelta(seconds=self._now() - min(self._working.values())) if self._working else timedelta()

    def unfinished(self) -> timedelta:
        """Ages of all runs under way, summed."""
        return timedelta(seconds=sum(self._now() - since for since in self._working.values()))

    def slow(self, limit: timedelta) -> list[Key]:
        """Keys that have been worked on for longer than `limit`."""
        before = self._now() - limit.total_seconds()
        return [key for key, since in self._working.items() if since < before]

    # --- inside

    async def _work(self, reconcile: Reconcile) -> None:
        while not self._closed:
            key = self._take()
            if key is None:
                self._wake.clear()
                await self._wake.wait()
                continue
            await self._run_one(key, reconcile)

    def _take(self) -> Key | None:
        lane = self._front or self._back
        return lane.popleft() if lane else None

    async def _run_one(self, key: Key, reconcile: Reconcile) -> None:
        began = self.last_progress = self._now()
        self._observer.started(began - self._waiting.pop(key))
        self._working[key] = began
        timer = self._timers.pop(key, None)
        if timer is not None:
            timer.cancel()
        result = "cancelled"
        try:
            after = await reconcile(key)
        # The queue is where errors of any kind end: this key waits, the others go on, and nothing is lost.
        except Exception as error:  # noqa: BLE001
            result = "error"
            self._retry(key, error)
        else:
            result = "success" if after is None else "requeue_after"
            self._failures.pop(key, None)
            if after is not None:
                self.add_after(key, after)
        finally:
            del self._working[key]
            self.last_progress = self._now()
            self._observer.finished(self.last_progress - began, result)
            if key in self._again:
                self._again.discard(key)
                self.add(key)

    def _retry(self, key: Key, error: Exception) -> None:
        failures = self._failures[key] = self._failures.get(key, 0) + 1
        backoff = min(LAST_BACKOFF, FIRST_BACKOFF * 2 ** min(failures - 1, 20))
        delay = timedelta(seconds=backoff * (0.5 + self._jitter() / 2))
        asked = getattr(error, "retry_after", None)
        if isinstance(asked, timedelta):
            delay = max(delay, asked)
        # An error that names itself (Unavailable and the like) needs no stack; the first of another kind shows one.
        expected = hasattr(error, "retry_after")
        log.warning(
            "Reconcile failed, will retry",
            extra={
                "integration": str(key),
                "failures": failures,
                "retry_seconds": round(delay.total_seconds(), 2),
                "reason": f"{type(error).__name__}: {error}",
            },
            exc_info=None if expected or failures > 1 else error,
        )
        self._observer.retried()
        self.add_after(key, delay)

    def _fire(self, key: Key) -> None:
        del self._timers[key]
        self.add(key)

    def _now(self) -> float:
        return asyncio.get_running_loop().time()
