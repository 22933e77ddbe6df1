"""HTTP with one host that a custom resource names: looked up and checked, then dialled by address.

TLS is checked against the name. Bounded in time and size, without redirects, proxies or encodings. Credentials are
sent to this host only. Used by RabbitMQ's management API and by the metric endpoints, which turn what it raises into
words.
"""

import asyncio
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache

import httpx

from crm_operator.domain.world import Unknown
from crm_operator.sources.address import AddressPolicy
from crm_operator.sources.bounded_http import HEADERS, new_client, read_body
from crm_operator.sources.look_up import look_up

#: What an exchange can raise, beside HostRefused.
EXCHANGE_ERRORS = (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError)


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpHost:
    """Where to ask. `repr` shows no credentials."""

    host: str  # the name or address to look up
    port: int
    tls: bool
    ca: str | None = field(default=None, repr=False)  # PEM, trusted beside the usual ones

    @property
    def shown(self) -> str:
        """host:port, for texts and for the Host header."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back."""

    status: int
    headers: httpx.Headers
    body: bytes | Unknown  # or why it is not taken


class PinnedClient:
    """Keeps a connection; looks the name up at first and after each failure. Not for concurrent use."""

    def __init__(
        self, host: HttpHost, *, policy: AddressPolicy, auth: httpx.Auth | None, timeout_seconds: float, max_bytes: int
    ) -> None:
        self._host = host
        self._policy = policy
        self._auth = auth
        self._timeout = timeout_seconds
        self._max_bytes = max_bytes
        # Without TLS there is nothing to verify, and loading the authorities takes 20 ms of everybody's time.
        self._client = new_client(verify=host.tls and _trust(host.ca))
        self._ip: str | None = None
        self.served = False  # the last exchange went well

    async def get(self, path: str, headers: Mapping[str, str]) -> Answer:
        """The answer to a GET of `path`, which is percent-encoded and may have a query.

        Raises EXCHANGE_ERRORS, TimeoutError or HostRefused.
        """
        try:
            async with asyncio.timeout(self._timeout):
                if self._ip is None:
                    self._ip = await look_up(self._host.host, self._host.port, self._policy)
                answer = await self._exchange(self._ip, path, headers)
        except BaseException:
            self._ip, self.served = None, False
            raise
        self.served = True
        return answer

    async def close(self) -> None:
        """Does not wait for a peer that is stuck."""
        await self._client.aclose()

    async def _exchange(self, ip: str, path: str, headers: Mapping[str, str]) -> Answer:
        host = self._host
        scheme = "https" if host.tls else "http"
        address = f"[{ip}]" if ":" in ip else ip
        request = self._client.build_request(
            "GET",
            f"{scheme}://{address}:{host.port}{path}",
            headers={**HEADERS, **headers, "Host": host.shown},
            extensions={"sni_hostname": host.host},  # the certificate is checked against the name, not the address
        )
        response = await self._client.send(request, auth=self._auth, stream=True)
        try:
            body = await read_body(
                response.aiter_raw(), encoding=response.headers.get("Content-Encoding"), max_bytes=self._max_bytes
            )
        finally:
            await response.aclose()
        return Answer(response.status_code, response.headers, body)


@lru_cache(maxsize=64)
def _trust(ca: str | None) -> ssl.SSLContext:
    """The usual authorities, and `ca` (PEM) beside them."""
    context = ssl.create_default_context()
    if ca is not None:
        context.load_verify_locations(cadata=ca)
    return context
