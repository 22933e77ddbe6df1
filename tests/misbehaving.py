"""An HTTP server whose handler a test sets, and handlers that do what servers should not (fault F15)."""

import asyncio
import gzip
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]

#: What bodies hold that must not be seen anywhere.
SECRET = "s3cret"


def answers(**kwargs: Any) -> Handler:
    async def handler(request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(**kwargs)

    return handler


async def hang(request: web.BaseRequest) -> web.StreamResponse:
    await asyncio.Event().wait()
    raise AssertionError


async def drip(request: web.BaseRequest) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    while True:
        await response.write(b"#")
        await asyncio.sleep(0.02)


async def flood(request: web.BaseRequest) -> web.StreamResponse:
    """100 MB, in parts and without a length."""
    response = web.StreamResponse()
    await response.prepare(request)
    for _ in range(1600):
        await response.write(b"# " + b"x" * 65_534)
    return response


async def cut(request: web.BaseRequest) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Length": "1000"})
    await response.prepare(request)
    await response.write(b"x 1")
    assert request.transport is not None
    request.transport.abort()
    return response


#: By what it does: the handler, and the reason of the Unknown.
FAULTS: dict[str, tuple[Handler, str]] = {
    "hangs": (hang, "Timeout"),
    "drips": (drip, "Timeout"),
    "floods": (flood, "TooLarge"),
    "is cut off": (cut, "ProtocolError"),
    "fails": (answers(status=500, text=SECRET), "HttpStatus"),
    "is elsewhere": (answers(status=404, text=SECRET), "HttpStatus"),
    "redirects": (answers(status=302, headers={"Location": "http://169.254.169.254/"}), "Redirected"),
    "redirects in a loop": (answers(status=307, headers={"Location": "/"}), "Redirected"),
    "sends a gzip bomb": (
        answers(body=gzip.compress(b"0" * 10_000_000), headers={"Content-Encoding": "gzip"}),
        "EncodingRefused",
    ),
}


class Server:
    """`handler` may change while it runs."""

    def __init__(self, handler: Handler) -> None:
        self.handler = handler
        self.port = 0
        self.requests: list[web.BaseRequest] = []

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        self.requests.append(request)
        return await self.handler(request)


@asynccontextmanager
async def served(handler: Handler, tls: ssl.SSLContext | None = None) -> AsyncIterator[Server]:
    """On a free port of 127.0.0.1."""
    server = Server(handler)
    runner = web.ServerRunner(web.Server(server, handler_cancellation=True), shutdown_timeout=0)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
        server.port = runner.addresses[0][1]
        yield server
    finally:
        await runner.cleanup()
