"""`/livez`, `/readyz` and `/metrics`.

A check is a function that returns what is wrong, or None; it only looks at memory, so that a probe costs nothing. Live:
restarting would help (watch dead, loop stuck, run stuck). Ready: this process has what it needs to act. Who leads is
not part of it: two replicas that wait for each other's readiness would never finish a rolling update.
"""

import logging
from collections.abc import Callable, Mapping

from aiohttp import web
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

log = logging.getLogger(__name__)

#: What is wrong, in a few words; None: nothing.
Check = Callable[[], str | None]


class Health:
    """The HTTP server of the probes. `live` and `ready` are named checks, evaluated at each request."""

    def __init__(self, registry: CollectorRegistry, *, live: Mapping[str, Check], ready: Mapping[str, Check]) -> None:
        self._registry = registry
        self._live, self._ready = live, ready
        self._runner: web.AppRunner | None = None

    async def start(self, host: str, port: int) -> int:
        """Listen, and return the port, which matters when `port` is 0."""
        app = web.Application()
        app.router.add_get("/livez", self._livez)
        app.router.add_get("/readyz", self._readyz)
        app.router.add_get("/metrics", self._metrics)
        self._runner = web.AppRunner(app, access_log=None, handle_signals=False)
        await self._runner.setup()
        await web.TCPSite(self._runner, host, port).start()
        address = self._runner.addresses[0]
        log.info("Serving probes and metrics", extra={"address": f"{address[0]}:{address[1]}"})
        return int(address[1])

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _livez(self, _: web.Request) -> web.Response:
        return _answer(self._live, "live")

    async def _readyz(self, _: web.Request) -> web.Response:
        return _answer(self._ready, "ready")

    async def _metrics(self, _: web.Request) -> web.Response:
        return web.Response(body=generate_latest(self._registry), headers={"Content-Type": CONTENT_TYPE_PLAIN_0_0_4})


def _answer(checks: Mapping[str, Check], word: str) -> web.Response:
    failed = [f"{name}: {why}" for name, check in checks.items() if (why := check()) is not None]
    return web.Response(status=500 if failed else 200, text="\n".join(failed or [word]) + "\n")
