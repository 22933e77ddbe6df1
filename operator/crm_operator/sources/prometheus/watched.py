"""One integration's Prometheus: each guard's query over its window, again and again.

The server has the past, so nothing is remembered between looks, and a window is whole at once after a restart of the
operator. A series is taken for one process: what Prometheus's own `increase` does for each is done here, by the same
rules as for pods.
"""

import asyncio
import math
from dataclasses import replace
from datetime import datetime, timedelta
from typing import NamedTuple
from urllib.parse import urlencode

from crm_operator.api.v1alpha1 import Guard
from crm_operator.domain.key import Key
from crm_operator.domain.reductions import Group
from crm_operator.domain.scraped import Scraped
from crm_operator.domain.world import Evidence, Reading, Unknown
from crm_operator.sources.endpoint import EndpointClient
from crm_operator.sources.polling import Polled, PollingHub, Surroundings
from crm_operator.sources.prometheus.answer import Span, members
from crm_operator.sources.prometheus.source import PrometheusSource, RangeQuery, queries_of

PrometheusHub = PollingHub[PrometheusSource]

#: A window has at most this many samples of a series.
MAX_POINTS = 240
#: A larger answer is parsed beside the event loop, in bytes.
_PARSED_AT_ONCE = 16 * 1024

_CLAUSES = {
    400: ("Prometheus cannot read the query; try it there", "QueryInvalid"),
    422: ("Prometheus cannot carry the query out; try it there", "QueryFailed"),
}


class _Found(NamedTuple):
    """What one query gave."""

    members: tuple[Scraped, ...] | Unknown
    at: datetime

    def newest(self) -> Unknown | tuple[tuple[float | None, bool], ...]:
        """What has to differ to be news: the newest values, and whether there is one before."""
        if isinstance(self.members, Unknown):
            return self.members
        memories = [memory for member in self.members for memory in member.metrics.values()]
        return tuple((memory.newest and memory.newest[0], memory.before is not None) for memory in memories)

    def moves(self, query: RangeQuery) -> bool:
        """An average changes although no new value comes."""
        return not isinstance(self.members, Unknown) and any(
            member.moves(query.window, self.at) for member in self.members
        )


class WatchedPrometheus(Polled[PrometheusSource]):
    """See `Polled`."""

    def __init__(self, key: Key, source: PrometheusSource, surroundings: Surroundings) -> None:
        super().__init__(key, source, surroundings)
        self.begin_anew()

    def begin_anew(self) -> None:
        self._found: dict[RangeQuery, _Found] = {}
        self._failed: dict[RangeQuery, Unknown] = {}  # why the newest exchange gave nothing
        self._order: list[RangeQuery] = []  # those that failed of late are asked last

    def evidence(self, guard: Guard) -> Evidence:
        """By revision if the query asks for it; over all of them in any case."""
        sides = queries_of(guard, self.source.revisions)
        if None in sides:
            return Evidence(overall=self._reduce(guard, sides[None], compared=False))
        by_revision = {
            side: self._reduce(guard, queries, compared=len(sides) > 1)
            for side, queries in sides.items()
            if side is not None
        }
        every = tuple(query for queries in sides.values() for query in queries)
        return Evidence(by_revision=by_revision, overall=self._reduce(guard, every, compared=False))

    async def look(self, client: EndpointClient) -> bool:
        now, found = self._around.clock(), self._found
        self._plan()
        is_new, answered, failed = False, False, None
        for query in list(self._order):
            answer = await self._ask(client, query, now)
            if found is not self._found:
                return False  # another place is asked by now
            if isinstance(answer, Unknown):
                failed = self._failed[query] = answer
                self._order.remove(query)
                self._order.append(query)
                if not answered or answer.reason == "Timeout":
                    break  # the others would wait as long, or fail alike
                continue
            answered = True
            self._failed.pop(query, None)
            before, found[query] = found.get(query), answer
            is_new = is_new or before is None or before.newest() != answer.newest() or answer.moves(query)
        # What one query does wrong is its own; the server is read when it answers any.
        self.fault = None if answered or failed is None else failed
        return is_new

    def _plan(self) -> None:
        """Take the queries that are wanted now; new ones first."""
        wanted = self.source.queries
        known = [query for query in self._order if query in wanted]
        new = sorted(wanted.difference(known), key=lambda query: (query.key, query.text, query.window))
        self._order = new + known
        for memory in (self._found, self._failed):
            for query in [query for query in memory if query not in wanted]:
                del memory[query]

    def _reduce(self, guard: Guard, queries: tuple[RangeQuery, ...], *, compared: bool) -> Reading | Unknown:
        now, together = self._around.clock(), list[Scraped]()
        for query in queries:
            found = self._found.get(query)
            if found is None or now - found.at > self.stale_after:
                return self._failed.get(query) or self.fault or Unknown(f"{query.key}: not read yet", "Starting")
            if isinstance(found.members, Unknown):
                return found.members
            if not any(member.is_there for member in found.members):
                limit = self.stale_after.total_seconds()
                return Unknown(f"{query.key}: its newest sample is older than {limit:g}s", "Stale")
            together += found.members
        if not together:
            return Unknown("no version is known to ask for", "NoPods")
        group = Group(together, now=now, stale_after=2 * self.stale_after, called="series")
        reading = group.reduce(guard)
        if compared and isinstance(reading, Reading):
            # Nobody counts jobs here, so versions are compared by series, or by what a Ratio divides by.
            return replace(reading, recent=group.recent(guard, jobs=""))
        return reading

    async def _ask(self, client: EndpointClient, query: RangeQuery, now: datetime) -> _Found | Unknown:
        """What the query gave; an Unknown if nothing came that would be its answer."""
        # Whole seconds, so that the last sample is that of now.
        step = max(self.source.interval, timedelta(seconds=math.ceil(query.window.total_seconds() / MAX_POINTS)))
        # One sample more than the window has, to see what was added in its first step.
        start = now - step * (query.window // step + 1)
        span = Span(start, now, apart=max(self.stale_after, 2 * step), stale_after=self.stale_after)
        answer = await client.get(_path(client.endpoint.path, query, span, step))
        if isinstance(answer, Unknown):
            return answer
        assert isinstance(answer.body, bytes), "EndpointClient.get gives no other"
        if answer.status in _CLAUSES:
            clause, reason = _CLAUSES[answer.status]
            return _Found(Unknown(f"{query.key}: {clause}", reason), now)
        if answer.status != 200:
            return client.endpoint.unknown(f"HTTP status {answer.status}; check the URL", "HttpStatus")
        if len(answer.body) <= _PARSED_AT_ONCE:
            return _Found(members(answer.body, query, span), now)
        return _Found(await asyncio.to_thread(members, answer.body, query, span), now)


def _path(path: str, query: RangeQuery, span: Span, step: timedelta) -> str:
    base, _, own = path.partition("?")
    parameters = {
        "query": query.text,
        "start": f"{span.start.timestamp():.3f}",
        "end": f"{span.end.timestamp():.3f}",
        "step": f"{step.total_seconds():g}",
        "timeout": "2s",
        # By default a sample counts for 5 minutes after it was taken. Servers before 2.44 ignore this.
        "lookback_delta": f"{span.stale_after.total_seconds():g}s",
    }
    return f"{base.rstrip('/')}/api/v1/query_range?{own + '&' if own else ''}{urlencode(parameters)}"


def prometheus_hub(surroundings: Surroundings) -> PrometheusHub:
    """All integrations' Prometheus servers."""
    return PollingHub(WatchedPrometheus, surroundings)
