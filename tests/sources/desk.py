"""What the tests of queues share: a hub with its log of changes."""

from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

from crm_operator.domain.key import Key
from crm_operator.domain.world import QueueReading, QueueView, Unknown
from crm_operator.sources.address import AddressPolicy
from crm_operator.sources.queues import QueueHub, QueueSource
from crm_operator.sources.secret import Secret
from tests.redisserver import RedisServer
from tests.sources.conftest import Changes, now

KEY = Key("crm", "hubspot")
LOCAL = AddressPolicy(("127.0.0.1",))
WINDOW = timedelta(seconds=20)
REPOSITORY = Path(__file__).resolve().parents[2]


def a_source(server: RedisServer, *names: str, url: str | None = None, window: timedelta = WINDOW) -> QueueSource:
    return QueueSource(Secret(url or server.url), "test", names or ("sync",), window)


class Desk:
    """A hub with a short interval and what it reported."""

    def __init__(
        self,
        *,
        policy: AddressPolicy = LOCAL,
        interval: float = 0.1,
        timeout: float = 0.3,
        clock: Callable[[], datetime] = now,
    ) -> None:
        self.changes = Changes()
        self.hub = QueueHub(
            policy=policy,
            on_change=self.changes,
            clock=clock,
            interval=timedelta(seconds=interval),
            timeout=timedelta(seconds=timeout),
        )

    async def reading(self, key: Key = KEY) -> QueueReading:
        """A reading that begins now."""
        await self.hub.refresh(key)
        latest = self.hub.view(key).latest
        assert isinstance(latest, QueueReading), latest
        return latest

    async def unknown(self, key: Key = KEY) -> Unknown:
        await self.hub.refresh(key)
        latest = self.hub.view(key).latest
        assert isinstance(latest, Unknown), latest
        return latest

    async def when_good(self, key: Key = KEY, within: float = 10) -> QueueView:
        return await self.changes.until(
            lambda: self.hub.view(key), is_so=lambda view: isinstance(view.latest, QueueReading), within=within
        )

    async def when_bad(self, key: Key = KEY, within: float = 10) -> QueueView:
        return await self.changes.until(
            lambda: self.hub.view(key), is_so=lambda view: view.good_since is None, within=within
        )


def counts_of(view: QueueView) -> tuple[int, int, int]:
    """Waiting, running, dead."""
    latest = view.latest
    return (latest.waiting, latest.running, latest.dead) if isinstance(latest, QueueReading) else (-1, -1, -1)
