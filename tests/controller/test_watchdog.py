"""A process that has stopped working notices it, and says what is wrong."""

import asyncio
import time
from datetime import timedelta

import pytest

from crm_operator.controller.watchdog import Freshness, LoopWatchdog, guard_watchers, no_run_is_stuck, queue_runs
from crm_operator.domain.key import Key
from tests.controller.test_workqueue import Runs, a_queue, working
from tests.controller.virtual import run


def test_a_watch_that_was_never_heard_of_or_has_gone_silent_is_not_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    freshness = Freshness(["Pod", "Deployment"])
    freshness.expect(["crm"])
    assert freshness.ready() == "not watched yet: Pod in crm, Deployment in crm"
    freshness.heard(("Pod", "crm"))
    freshness.heard(("Deployment", "crm"))
    assert freshness.ready() is None
    now += 100
    freshness.heard(("Pod", "crm"))
    now += 21
    assert freshness.ready() == "nothing heard for too long: Deployment in crm 121 s"
    assert freshness.samples() == {("Pod",): 21.0, ("Deployment",): 121.0}


def test_a_watch_thread_that_stands_still_is_not_live(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    freshness = Freshness(["Pod"])
    assert freshness.live() is None
    now += 31
    assert freshness.live() == "the watch thread has been stuck for 31 s"
    freshness.beat()
    assert freshness.live() is None


def test_the_guard_waits_for_the_watchers_to_come_and_tells_when_one_goes() -> None:
    async def main() -> None:
        freshness = Freshness(["Pod", "Deployment"])
        failed: list[str] = []
        guard = asyncio.create_task(guard_watchers(freshness, failed.append))
        await asyncio.sleep(60)
        assert failed == []
        watchers = [asyncio.create_task(asyncio.sleep(1e6), name=f"watcher for {n}@None") for n in "ab"]
        await asyncio.sleep(60)
        assert failed == []
        watchers[0].cancel()
        await asyncio.sleep(2.1)
        assert failed == ["1 of 2 watchers are gone"]
        watchers[1].cancel()
        await guard

    run(main())


async def test_a_loop_that_stands_still_ends_the_process_and_a_busy_one_does_not() -> None:
    failed: list[str] = []
    dog = LoopWatchdog(failed.append, timedelta(seconds=0.5))
    beating = asyncio.create_task(dog.run())
    for _ in range(8):
        await asyncio.sleep(0.01)
        time.sleep(0.1)  # noqa: ASYNC251 (the defect that it is for)
    assert failed == []
    await asyncio.sleep(0.1)
    time.sleep(0.8)  # noqa: ASYNC251
    assert len(failed) == 1
    assert "the event loop has been stuck for" in failed[0]
    beating.cancel()
    await asyncio.gather(beating, return_exceptions=True)


def test_a_run_that_never_ends_is_named() -> None:
    async def main() -> None:
        queue, runs = a_queue(), Runs(takes=1000)
        stuck, running = no_run_is_stuck(queue), queue_runs(queue)
        assert running() == "the work queue does not run"
        async with working(queue, runs):
            queue.add(Key("crm", "hubspot"))
            await asyncio.sleep(59)
            assert (stuck(), running()) == (None, None)
            await asyncio.sleep(2)
            assert stuck() == "running for over 60 s: crm/hubspot"

    run(main())
