"""HTTP as the sources speak it: no redirects, proxies, cookies of the environment or compression, and a limit on size.

Who calls bounds the time, with `asyncio.timeout` around the whole exchange.
"""

import ssl
from collections.abc import AsyncIterator

import httpx

from crm_operator.domain.world import Unknown

HEADERS = {
    "Accept-Encoding": "identity",  # a compressed answer could be far larger than it looks
    "User-Agent": "crm-operator",
}


def new_client(*, verify: ssl.SSLContext | bool = True) -> httpx.AsyncClient:
    """For one host: keeps an idle connection for a minute; uses nothing of the process's environment."""
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=1, keepalive_expiry=60)
    return httpx.AsyncClient(
        trust_env=False, follow_redirects=False, limits=limits, timeout=None, cookies=None, http2=False, verify=verify
    )


async def read_body(parts: AsyncIterator[bytes], *, encoding: str | None, max_bytes: int) -> bytes | Unknown:
    """The raw body of an answer with that Content-Encoding, or why it is not taken. Raises what `parts` raises."""
    if encoding not in (None, "identity"):
        return Unknown("the answer is compressed although that was not asked for", "EncodingRefused")
    body = bytearray()
    async for part in parts:
        body += part
        if len(body) > max_bytes:
            return Unknown(f"the answer is larger than {max_bytes} bytes", "TooLarge")
    return bytes(body)
