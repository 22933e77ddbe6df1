"""The work queue's promises, on a virtual clock."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest

from crm_operator.controller.kube import Unavailable
from crm_operator.controller.workqueue import LAST_BACKOFF, WorkQueue
from crm_operator.domain.key import Key
from tests.controller.virtual import run

A, B, C = Key("crm", "a"), Key("crm", "b"), Key("crm", "c")


class Counts:
    """A QueueObserver that remembers."""

    def __init__(self) -> None:
        self.adds = self.retries = 0
        self.waited: list[float] = []
        self.results: list[str] = []

    def added(self) -> None:
        self.adds += 1

    def started(self, waited: float) -> None:
        self.waited.append(waited)

    def finished(self, took: float, result: str) -> None:
        self.results.append(result)

    def retried(self) -> None:
        self.retries += 1


class Runs:
    """A reconcile that records when it ran; `takes` seconds each, and does what it is told to."""

    def __init__(self, takes: float = 0.0) -> None:
        self.takes = takes
        self.log: list[tuple[float, Key]] = []
        self.now_running: list[Key] = []
        self.most = 0
        self.answers: Callable[[Key], Awaitable[timedelta | None]] | None = None

    async def __call__(self, key: Key) -> timedelta | None:
        assert key not in self.now_running, "two workers on one key"
        self.log.append((round(asyncio.get_running_loop().time(), 3), key))
        self.now_running.append(key)
        self.most = max(self.most, len(self.now_running))
        try:
            await asyncio.sleep(self.takes)
            return await self.answers(key) if self.answers else None
        finally:
            self.now_running.remove(key)

    @property
    def keys(self) -> list[Key]:
        return [key for _, key in self.log]

    @property
    def times(self) -> list[float]:
        return [at for at, _ in self.log]


def a_queue(concurrency: int = 2, counts: Counts | None = None) -> WorkQueue:
    return WorkQueue(concurrency=concurrency, observer=counts or Counts(), jitter=lambda: 1.0)


@asynccontextmanager
async def working(queue: WorkQueue, runs: Runs) -> AsyncIterator[None]:
    task = asyncio.create_task(queue.run(runs))
    await asyncio.sleep(0)
    try:
        yield
    finally:
        queue.close()
        await task


def test_a_key_added_many_times_before_its_turn_runs_once() -> None:
    async def main() -> None:
        counts, runs = Counts(), Runs()
        queue = a_queue(counts=counts)
        for _ in range(5):
            queue.add(A)
        async with working(queue, runs):
            await asyncio.sleep(1)
        assert runs.keys == [A]
        assert counts.adds == 1

    run(main())


def test_a_key_added_while_it_runs_runs_once_more_and_never_beside_itself() -> None:
    async def main() -> None:
        runs = Runs(takes=10)
        queue = a_queue(concurrency=4)
        async with working(queue, runs):
            queue.add(A)
            await asyncio.sleep(1)
            for _ in range(5):
                queue.add(A)
            await asyncio.sleep(30)
        assert runs.log == [(0, A), (10, A)]

    run(main())


def test_no_more_keys_than_workers_run_at_a_time() -> None:
    async def main() -> None:
        runs = Runs(takes=1)
        queue = a_queue(concurrency=3)
        async with working(queue, runs):
            for n in range(9):
                queue.add(Key("crm", f"k{n}"))
            await asyncio.sleep(10)
        assert runs.most == 3
        assert runs.times == [0, 0, 0, 1, 1, 1, 2, 2, 2]

    run(main())


def test_a_background_key_waits_until_no_other_does() -> None:
    async def main() -> None:
        runs = Runs(takes=1)
        queue = a_queue(concurrency=1)
        queue.add(A, background=True)
        queue.add(B, background=True)
        queue.add(C)
        queue.add(B)  # an ordinary add lifts it
        async with working(queue, runs):
            await asyncio.sleep(10)
        assert runs.keys == [C, B, A]

    run(main())


def test_errors_back_off_from_200_ms_to_30_s_and_success_starts_over() -> None:
    async def main() -> None:
        counts, runs = Counts(), Runs()
        queue = a_queue(counts=counts)
        broken = True

        async def answer(_: Key) -> timedelta | None:
            if broken:
                raise RuntimeError("boom")
            return None

        runs.answers = answer
        async with working(queue, runs):
            queue.add(A)
            await asyncio.sleep(100)
            gaps = [b - a for a, b in zip(runs.times, runs.times[1:], strict=False)]
            assert gaps[:4] == pytest.approx([0.2, 0.4, 0.8, 1.6])
            assert max(gaps) == LAST_BACKOFF
            broken = False
            await asyncio.sleep(60)
            assert counts.results[-1] == "success"
            done = len(runs.log)
            broken = True
            queue.add(A)
            await asyncio.sleep(0.25)
            assert len(runs.log) == done + 2
        assert counts.retries == counts.results.count("error")

    run(main())


def test_one_failing_key_does_not_hold_up_another() -> None:
    async def main() -> None:
        runs = Runs()
        queue = a_queue(concurrency=1)

        async def answer(key: Key) -> timedelta | None:
            if key == A:
                raise RuntimeError("boom")
            return None

        runs.answers = answer
        async with working(queue, runs):
            queue.add(A)
            queue.add(B)
            await asyncio.sleep(0.1)
        assert runs.log == [(0, A), (0, B)]

    run(main())


def test_a_server_that_says_when_to_come_back_is_not_asked_earlier() -> None:
    async def main() -> None:
        runs = Runs()
        queue = a_queue()

        async def answer(_: Key) -> timedelta | None:
            if len(runs.log) == 1:
                raise Unavailable("429", retry_after=timedelta(seconds=7))
            return None

        runs.answers = answer
        async with working(queue, runs):
            queue.add(A)
            await asyncio.sleep(20)
        assert runs.times == [0, 7]

    run(main())


def test_a_run_says_when_to_look_again() -> None:
    async def main() -> None:
        counts, runs = Counts(), Runs()
        queue = a_queue(counts=counts)

        async def answer(_: Key) -> timedelta | None:
            return timedelta(seconds=5) if len(runs.log) < 3 else None

        runs.answers = answer
        async with working(queue, runs):
            queue.add(A)
            await asyncio.sleep(60)
        assert runs.times == [0, 5, 10]
        assert counts.results == ["requeue_after", "requeue_after", "success"]

    run(main())


def test_of_several_times_the_earliest_wins() -> None:
    async def main() -> None:
        runs = Runs()
        queue = a_queue()
        async with working(queue, runs):
            queue.add_after(A, timedelta(seconds=5))
            queue.add_after(A, timedelta(seconds=2))
            queue.add_after(A, timedelta(seconds=9))
            queue.add_after(B, timedelta(0))
            await asyncio.sleep(60)
        assert runs.log == [(0, B), (2, A)]

    run(main())


def test_a_run_makes_times_set_before_it_void_and_keeps_those_set_during_it() -> None:
    async def main() -> None:
        runs = Runs(takes=1)
        queue = a_queue()
        async with working(queue, runs):
            queue.add_after(A, timedelta(seconds=30))
            queue.add(A)
            await asyncio.sleep(0.5)
            queue.add_after(A, timedelta(seconds=4))
            await asyncio.sleep(60)
        assert runs.times == [0, 4.5]

    run(main())


def test_a_forgotten_key_is_not_looked_at_by_time() -> None:
    async def main() -> None:
        runs = Runs()
        queue = a_queue()
        async with working(queue, runs):
            queue.add_after(A, timedelta(seconds=5))
            queue.forget(A)
            await asyncio.sleep(60)
        assert runs.log == []

    run(main())


def test_close_lets_runs_under_way_finish_and_starts_no_more() -> None:
    async def main() -> None:
        counts, runs = Counts(), Runs(takes=5)
        queue = a_queue(concurrency=1, counts=counts)
        task = asyncio.create_task(queue.run(runs))
        queue.add(A)
        queue.add(B)
        await asyncio.sleep(1)
        queue.add(A)
        queue.add_after(C, timedelta(seconds=1))
        queue.close()
        await task
        assert asyncio.get_running_loop().time() == 5
        assert runs.keys == [A]
        assert counts.results == ["success"]
        assert not queue.running

    run(main())


def test_cancelling_drops_runs_under_way_and_counts_them_as_neither_success_nor_error() -> None:
    async def main() -> None:
        counts, runs = Counts(), Runs(takes=500)
        queue = a_queue(counts=counts)
        task = asyncio.create_task(queue.run(runs))
        queue.add(A)
        await asyncio.sleep(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert counts.results == ["cancelled"]

    run(main())


def test_it_shows_how_long_runs_take_and_which_are_stuck() -> None:
    async def main() -> None:
        runs = Runs(takes=100)
        queue = a_queue(concurrency=2)
        async with working(queue, runs):
            assert queue.longest_running() == timedelta()
            queue.add(A)
            await asyncio.sleep(61)
            queue.add(B)
            await asyncio.sleep(1)
            assert queue.longest_running() == timedelta(seconds=62)
            assert queue.unfinished() == timedelta(seconds=63)
            assert queue.slow(timedelta(seconds=60)) == [A]
            assert (queue.active, queue.depth, queue.last_progress) == (2, 0, 61)

    run(main())
