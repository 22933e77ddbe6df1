"""One scrape of one pod: bounded in time and size, without redirects, proxies or encodings. Never raises for a pod.

Texts name what happened and the remedy, never what the pod said.

Through aiohttp, where the other sources use httpx: a scrape costs less CPU, and there can be two hundred a second.
"""

import asyncio
from dataclasses import dataclass
from http import HTTPStatus

import aiohttp

from crm_operator.domain.fleet import REFUSED
from crm_operator.domain.scraped import Scrape
from crm_operator.domain.world import Unknown
from crm_operator.sources.bounded_http import HEADERS, read_body
from crm_operator.sources.network_fault import NetworkFault, fault_in
from crm_operator.sources.pods.exposition import parse

#: A larger answer is parsed beside the event loop, in bytes.
_PARSED_AT_ONCE = 16 * 1024

_HEADERS = HEADERS | {"Accept": "text/plain;version=0.0.4"}
_REDIRECTS = (301, 302, 303, 307, 308)
#: Seconds that an idle connection is kept. Pods that are read every second keep theirs; thousands that are read every
#: five do not hold one each.
_KEPT = 3.0


def new_session() -> aiohttp.ClientSession:
    """For all scrapes; uses nothing of the process's environment. Made inside the event loop."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=_KEPT),
        headers=_HEADERS,
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=None),
        auto_decompress=False,
        trust_env=False,
    )


@dataclass(frozen=True, slots=True)
class Scraper:
    """What all scrapes share."""

    session: aiohttp.ClientSession
    timeout_seconds: float
    max_bytes: int

    async def scrape(
        self,
        *,
        ip: str,
        port: int,
        path: str,
        names: frozenset[str],
        not_before: float,
        by_workspace: frozenset[str] = frozenset(),
    ) -> Scrape | Unknown:
        """The metrics `names` of the pod at `ip`, or why it could not be read; the rest is as of `parse`."""
        host = f"[{ip}]" if ":" in ip else ip
        try:
            async with asyncio.timeout(self.timeout_seconds):
                body = await self._fetch(f"http://{host}:{port}{path}")
        except TimeoutError:
            return Unknown(f"no answer within {self.timeout_seconds:g}s", "Timeout")
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return _failure_of(error)
        if isinstance(body, Unknown):
            return body
        if len(body) <= _PARSED_AT_ONCE:
            return parse(body, names, not_before=not_before, by_workspace=by_workspace)
        return await asyncio.to_thread(parse, body, names, not_before=not_before, by_workspace=by_workspace)

    async def _fetch(self, url: str) -> bytes | Unknown:
        async with self.session.get(url, allow_redirects=False) as response:
            if response.status in _REDIRECTS:
                return Unknown("the answer is a redirect, which is not followed; check metrics.pods.path", "Redirected")
            if response.status != HTTPStatus.OK:
                return Unknown(f"HTTP status {response.status}; check metrics.pods.path", "HttpStatus")
            encoding = response.headers.get("Content-Encoding")
            return await read_body(response.content.iter_any(), encoding=encoding, max_bytes=self.max_bytes)


def _failure_of(error: Exception) -> Unknown:
    if fault_in(error) is NetworkFault.REFUSED:
        return Unknown("connection refused", REFUSED)
    if isinstance(error, aiohttp.ClientError) and not isinstance(error, aiohttp.ClientConnectorError):
        return Unknown("the connection was cut, or the answer is not HTTP", "ProtocolError")
    return Unknown("the pod cannot be reached", "Unreachable")
