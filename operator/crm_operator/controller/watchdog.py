"""What notices that this process has stopped working, and ends it so that Kubernetes starts another.

Restarting is the repair for a watcher that died, a loop that no longer turns, and a run that never ends. It is no
repair for an API server that is away: then the watch is not fresh, the process is not ready, and it waits.

`watch.py` runs `guard_watchers` and reports to `Freshness`; `main.py` starts `LoopWatchdog` and hands the checks to
`health.py`.
"""

import asyncio
import faulthandler
import itertools
import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import NoReturn

from crm_operator.controller.workqueue import WorkQueue

log = logging.getLogger(__name__)

#: The process's exit code when something in it has died or hangs.
EXIT_BROKEN = 70

#: Quiet kinds are heard of once a minute, by bookmarks; a silent connection is dropped after 70 s and opened again.
STALE_AFTER = timedelta(seconds=120)
RUN_LIMIT = timedelta(seconds=60)
LOOP_LIMIT = timedelta(seconds=30)

_WATCHER = "watcher for "  # how Kopf names its tasks


def die(why: str, exit_code: int = EXIT_BROKEN) -> NoReturn:
    """End the process now, without cleaning up: what is broken cannot be trusted to stop in order.

    Also for a lost lease (`lease.EXIT_LOST`): from then on, another's writes must not meet ours.
    """
    log.critical("Ending the process", extra={"reason": why, "exit_code": exit_code})
    logging.shutdown()
    os._exit(exit_code)


#: A kind and a namespace, None for all of them: what one watch covers.
Scope = tuple[str, str | None]


class Freshness:
    """When each watch was last heard of: a list, an event, a bookmark, an accepted request.

    Written by the watch thread, read by the main one; each is one assignment.
    """

    def __init__(self, kinds: Iterable[str]) -> None:
        self._kinds = tuple(kinds)
        self._heard: dict[Scope, float | None] = {}
        self._beat = time.monotonic()
        self.expect((None,))

    def expect(self, namespaces: Iterable[str | None]) -> None:
        """There will be one watch per kind and namespace. `watch.watch` says so as it starts."""
        self._heard = dict.fromkeys(itertools.product(self._kinds, tuple(namespaces)))
        self._beat = time.monotonic()

    @property
    def watches(self) -> int:
        """How many there should be."""
        return len(self._heard)

    def heard(self, scope: Scope) -> None:
        self._heard[scope] = time.monotonic()

    def beat(self) -> None:
        """The watch thread's loop turns."""
        self._beat = time.monotonic()

    def ages(self) -> dict[Scope, timedelta | None]:
        """None: never heard of."""
        now = time.monotonic()
        return {scope: None if at is None else timedelta(seconds=now - at) for scope, at in self._heard.items()}

    def samples(self) -> dict[tuple[str, ...], float]:
        """For `crm_watch_last_event_age_seconds{kind}`: the oldest of the kind's watches."""
        samples: dict[tuple[str, ...], float] = {}
        for (kind, _), age in self.ages().items():
            if age is not None:
                samples[kind,] = max(age.total_seconds(), samples.get((kind,), 0.0))
        return samples

    def ready(self) -> str | None:
        """The check for /readyz."""
        ages = self.ages()
        never = [_name(scope) for scope, age in ages.items() if age is None]
        if never:
            return f"not watched yet: {', '.join(never)}"
        stale = [f"{_name(s)} {age.total_seconds():.0f} s" for s, age in ages.items() if age and age > STALE_AFTER]
        return f"nothing heard for too long: {', '.join(stale)}" if stale else None

    def live(self) -> str | None:
        """The check for /livez: the watch thread is stuck. Use once the watch has been started."""
        silent = time.monotonic() - self._beat
        return f"the watch thread has been stuck for {silent:.0f} s" if silent > LOOP_LIMIT.total_seconds() else None


def _name(scope: Scope) -> str:
    kind, namespace = scope
    return kind if namespace is None else f"{kind} in {namespace}"


async def guard_watchers(freshness: Freshness, fail: Callable[[str], object], period: float = 2.0) -> None:
    """Call `fail` when a watcher task that existed is gone. Runs in Kopf's loop, made before Kopf, ended before it."""
    complete = False
    while True:
        freshness.beat()
        present = sum(task.get_name().startswith(_WATCHER) for task in asyncio.all_tasks())
        # Kopf makes them together, once it has found the kinds; one that was heard of existed even if we never saw it.
        complete = complete or present == freshness.watches or None not in freshness.ages().values()
        if complete and present < freshness.watches:
            fail(f"{freshness.watches - present} of {freshness.watches} watchers are gone")
            return
        await asyncio.sleep(period)


class LoopWatchdog:
    """A thread that ends the process when the main loop has not turned for `limit`."""

    def __init__(self, fail: Callable[[str], object], limit: timedelta = LOOP_LIMIT) -> None:
        self._fail = fail
        self._limit = limit.total_seconds()
        self._period = self._limit / 10
        self._beat = time.monotonic()
        self._stop = threading.Event()
        #: Seconds that the last beat came late: how long other code kept the loop.
        self.lag = 0.0

    async def run(self) -> None:
        """Beat, on the loop to be watched, until cancelled."""
        self._beat = time.monotonic()
        thread = threading.Thread(target=self._watch, name="loop watchdog", daemon=True)
        thread.start()
        try:
            while True:
                asked = time.monotonic()
                await asyncio.sleep(min(1.0, self._period))
                self._beat = time.monotonic()
                self.lag = max(0.0, self._beat - asked - min(1.0, self._period))
        finally:
            self._stop.set()

    def _watch(self) -> None:
        while True:
            asked = time.monotonic()
            if self._stop.wait(self._period):
                return
            now = time.monotonic()
            if now - asked > 2 * self._period:
                continue  # this thread stood still too: the whole process was stopped, and the loop gets its turn first
            if now - self._beat > self._limit:
                faulthandler.dump_traceback(file=sys.__stderr__ or 2)
                self._fail(f"the event loop has been stuck for {now - self._beat:.0f} s")
                return


def queue_runs(queue: WorkQueue) -> Callable[[], str | None]:
    """The check for /readyz."""
    return lambda: None if queue.running else "the work queue does not run"


def no_run_is_stuck(queue: WorkQueue, limit: timedelta = RUN_LIMIT) -> Callable[[], str | None]:
    """The check for /livez: every call has a deadline, so that a run this long is a defect."""

    def check() -> str | None:
        slow = queue.slow(limit)
        return f"running for over {limit.total_seconds():.0f} s: {', '.join(map(str, slow[:5]))}" if slow else None

    return check
