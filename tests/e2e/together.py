"""Runs scenarios side by side, each in its own namespace, and gives every test its own outcome.

A scenario waits most of its time: for a hold to end, a pod to start, a kubelet to try again. One after the other they
would take many minutes. The first test that asks for its outcome starts all that were selected, a few at once.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from functools import update_wrapper
from pathlib import Path
from types import TracebackType
from typing import Self
from uuid import uuid4

import pytest

from dev.cluster import Cluster
from dev.operator import OperatorProcess
from tests.cluster.kube import connect
from tests.e2e.scene import Scene

#: On two cores; more at once only make each other's pods start later.
AT_ONCE = int(os.environ.get("CRM_E2E_AT_ONCE", "4"))
LONGEST = 300.0  # seconds for one scenario, once it has begun

Body = Callable[[Scene], Awaitable[None]]


@dataclass(frozen=True, eq=False)
class Scenario:
    """A test's body, and whether it needs an operator of its own, which it may kill."""

    body: Body
    own_operator: bool


def scenario(*, own_operator: bool = False) -> Callable[[Body], Callable[["Together"], Awaitable[None]]]:
    """Makes a test of `async def test_...(scene: Scene)`."""

    def decorate(body: Body) -> Callable[[Together], Awaitable[None]]:
        this = Scenario(body, own_operator)

        async def test(together: Together) -> None:
            await together.outcome(this)

        update_wrapper(test, body)
        del test.__wrapped__  # type: ignore[attr-defined]  # pytest would take the body's arguments for fixtures
        test.__annotations__ = {"together": Together, "return": None}
        test.scenario = this  # type: ignore[attr-defined]
        return pytest.mark.asyncio(loop_scope="session")(test)

    return decorate


def selected(items: Sequence[pytest.Item]) -> list[Scenario]:
    """The scenarios among the tests of this run."""
    return [item.function.scenario for item in items if isinstance(item, pytest.Function) and is_scenario(item)]


def is_scenario(item: pytest.Item) -> bool:
    return isinstance(item, pytest.Function) and hasattr(item.function, "scenario")


class Together:
    """The scenarios of a run. Those without an operator of their own share one."""

    def __init__(self, cluster: Cluster, scenarios: Sequence[Scenario], folder: Path) -> None:
        self._cluster = cluster
        self._namespaces = {each: f"e2e-{uuid4().hex[:10]}" for each in scenarios}
        self._folder = folder
        self._limit = asyncio.Semaphore(AT_ONCE)
        self._tasks: dict[Scenario, asyncio.Task[None]] = {}

    async def __aenter__(self) -> Self:
        shared = [name for each, name in self._namespaces.items() if not each.own_operator]
        self._shared = self._operator("shared", shared)
        if shared:
            await asyncio.to_thread(self._shared.start)
        self._tasks = {each: asyncio.create_task(self._run(each)) for each in self._namespaces}
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        await asyncio.to_thread(self._shared.stop)

    async def outcome(self, this: Scenario) -> None:
        """Ends when the scenario has ended, and raises what it raised."""
        await self._tasks[this]

    async def _run(self, this: Scenario) -> None:
        async with self._limit, AsyncExitStack() as stack:
            operator = self._shared
            if this.own_operator:
                operator = self._operator(self._namespaces[this], [self._namespaces[this]])
                await asyncio.to_thread(operator.start)
                stack.push_async_callback(asyncio.to_thread, operator.stop)
            await play(self._cluster, this.body, namespace=self._namespaces[this], operator=operator)

    def _operator(self, name: str, namespaces: Sequence[str]) -> OperatorProcess:
        return OperatorProcess(self._cluster.kubeconfig, log=self._folder / f"{name}.log", namespaces=namespaces)


async def play(cluster: Cluster, body: Body, *, namespace: str, operator: OperatorProcess | None) -> None:
    """Run a scenario in a new namespace; a failure gets what can be seen of it as a note."""
    async with connect(cluster.kubeconfig) as kube:
        scene = Scene(cluster, kube, namespace, operator)
        try:
            async with asyncio.timeout(LONGEST):
                await scene.set_up()
                await body(scene)
        except Exception as error:
            with suppress(Exception):
                error.add_note(await scene.report())
            raise
        finally:
            await scene.tear_down()
