"""A real Redis per test and waiting for what a hub reports."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Protocol, TypeVar

import pytest

from crm_operator.domain.key import Key
from tests.redisserver import RedisServer
from tests.sources.shop import Shop

T = TypeVar("T")


def now() -> datetime:
    return datetime.now(UTC)


class Runs(Protocol):
    async def run(self) -> None: ...


class Changes:
    """Collects what `on_change` says, and lets a test wait for it."""

    def __init__(self) -> None:
        self.keys: list[Key] = []
        self._news = asyncio.Event()

    def __call__(self, key: Key) -> None:
        self.keys.append(key)
        self._news.set()

    async def until(self, look: Callable[[], T], *, is_so: Callable[[T], bool], within: float = 10) -> T:
        """Look at each change until it is so; returns what was seen."""
        seen = look()
        try:
            async with asyncio.timeout(within):
                while not is_so(seen):
                    await self._news.wait()
                    self._news.clear()
                    seen = look()
        except TimeoutError:
            raise AssertionError(f"not so after {within:g} s; last seen: {seen}") from None
        return seen


async def eventually(
    look: Callable[[], T],
    *,
    is_so: Callable[[T], bool],
    step: Callable[[], Awaitable[None]],
    within: float = 10,
) -> T:
    """Do a step (a refresh, say) and look, until it is so."""
    seen = look()
    try:
        async with asyncio.timeout(within):
            while not is_so(seen):
                await step()
                seen = look()
    except TimeoutError:
        raise AssertionError(f"not so after {within:g} s; last seen: {seen}") from None
    return seen


@asynccontextmanager
async def running(hub: Runs) -> AsyncIterator[None]:
    """The hub's `run` in the background; its errors fail the test."""
    task = asyncio.create_task(hub.run())
    try:
        yield
        assert not task.done(), task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.fixture
def redis_server() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


@pytest.fixture
def shop(redis_server: RedisServer) -> Iterator[Shop]:
    shop = Shop(redis_server)
    yield shop
    shop.go.set()
    shop.broker.close()
    shop.broker.client.connection_pool.disconnect()
