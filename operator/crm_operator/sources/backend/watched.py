"""One integration's JSON endpoint: asked by a task, remembered like one process that is scraped.

Who answers is not known, as a Service may lead to several processes: a counter that fell counts for nothing. Windows
are kept in memory only, so after a restart of the operator they fill anew.
"""

import asyncio

from crm_operator.api.v1alpha1 import Guard
from crm_operator.domain.key import Key
from crm_operator.domain.reductions import Group
from crm_operator.domain.scraped import Scrape, Scraped
from crm_operator.domain.world import Evidence, Unknown
from crm_operator.sources.backend.answer import parse
from crm_operator.sources.backend.source import BackendSource
from crm_operator.sources.endpoint import EndpointClient
from crm_operator.sources.pinned_http import Answer
from crm_operator.sources.polling import Polled, PollingHub, Surroundings

BackendHub = PollingHub[BackendSource]

#: A larger answer is parsed beside the event loop, in bytes.
_PARSED_AT_ONCE = 16 * 1024


class WatchedBackend(Polled[BackendSource]):
    """See `Polled`."""

    def __init__(self, key: Key, source: BackendSource, surroundings: Surroundings) -> None:
        super().__init__(key, source, surroundings)
        self.begin_anew()

    def begin_anew(self) -> None:
        self._memory = Scraped(started_at=None, first_at=self._around.clock(), one_process=False)
        self._said: Scrape | Unknown | None = None

    def update(self, source: BackendSource) -> None:
        root = self.source.root
        super().update(source)
        if source.root != root:
            self.begin_anew()  # a number of the same name is another one there

    def evidence(self, guard: Guard) -> Evidence:
        """Never by revision: the application does not know which worker did what."""
        group = Group([self._memory], now=self._around.clock(), stale_after=self.stale_after, called="")
        return Evidence(overall=group.reduce(guard))

    async def look(self, client: EndpointClient) -> bool:
        source, memory = self.source, self._memory
        found = await self._ask(client, source)
        if memory is not self._memory:
            return False  # another place is asked by now
        self.fault = found if isinstance(found, Unknown) else None
        memory.record(found, self._around.clock(), keep=source.window, apart=self.stale_after, levels=source.levels)
        is_new = found != self._said or memory.moves(source.window, self._around.clock())
        self._said = found
        return is_new

    async def _ask(self, client: EndpointClient, source: BackendSource) -> Scrape | Unknown:
        answer = await client.get(client.endpoint.path)
        if isinstance(answer, Unknown):
            return answer
        assert isinstance(answer.body, bytes), "EndpointClient.get gives no other"
        if answer.status != 200:
            return client.endpoint.unknown(f"HTTP status {answer.status}; check the URL", "HttpStatus")
        age = _age(answer)
        if age is None or age > self.stale_after.total_seconds():
            return client.endpoint.unknown("the answer is from a cache and too old; check what is between", "Stale")
        if len(answer.body) <= _PARSED_AT_ONCE:
            found = parse(answer.body, root=source.root, names=source.metrics)
        else:
            found = await asyncio.to_thread(parse, answer.body, root=source.root, names=source.metrics)
        return client.endpoint.unknown(found.why, found.reason) if isinstance(found, Unknown) else found


def _age(answer: Answer) -> float | None:
    """Seconds that a cache says it kept the answer, 0 if there is none; None: it says nonsense."""
    said = answer.headers.get("Age", "0")
    return float(said) if said.isascii() and said.isdigit() and len(said) < 16 else None


def backend_hub(surroundings: Surroundings) -> BackendHub:
    """All integrations' JSON endpoints."""
    return PollingHub(WatchedBackend, surroundings)
