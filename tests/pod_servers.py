"""HTTP servers for pods of fake nodes: all on one port, each on a loopback address of its own."""

import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from aiohttp import web

#: Is told which pod is asked.
Serve = Callable[[str, web.BaseRequest], Awaitable[web.StreamResponse]]

#: Addresses in one network of three bytes: 127.A.B.1 is the first.
_IN_A_NETWORK = 254


class PodServers:
    """Made by `pod_servers`."""

    def __init__(self, runner: web.ServerRunner, network: int, port: int, at_address: dict[str, str]) -> None:
        self.port = port
        self._runner = runner
        self._network = network
        self._at_address = at_address
        self._addresses: dict[str, str] = {}  # by pod
        self._sites: dict[str, web.TCPSite] = {}  # by pod, those that listen

    def has(self, pod: str) -> bool:
        return pod in self._addresses

    async def open(self, pod: str) -> str:
        """The pod's address, at which it listens from now on."""
        number = len(self._addresses) + 2
        if pod not in self._addresses:
            block, last = divmod(number, _IN_A_NETWORK)
            address = f"127.{self._network}.{block}.{last + 1}"
            self._addresses[pod] = address
            self._at_address[address] = pod
        address = self._addresses[pod]
        if pod not in self._sites:
            site = web.TCPSite(self._runner, address, self.port)
            await site.start()
            self._sites[pod] = site
        return address

    async def refuse(self, pod: str) -> None:
        """Connections are refused until `open`; those that are open stay so."""
        site = self._sites.pop(pod, None)
        if site is not None:
            await site.stop()


@asynccontextmanager
async def pod_servers(serve: Serve) -> AsyncIterator[PodServers]:
    """Until the end of the block."""
    at_address: dict[str, str] = {}

    async def handler(request: web.BaseRequest) -> web.StreamResponse:
        assert request.transport is not None
        return await serve(at_address[request.transport.get_extra_info("sockname")[0]], request)

    network = random.randrange(1, 255)  # other runs may be on this machine
    runner = web.ServerRunner(web.Server(handler, handler_cancellation=True), shutdown_timeout=0)
    await runner.setup()
    try:
        await web.TCPSite(runner, f"127.{network}.0.1", 0).start()
        yield PodServers(runner, network, runner.addresses[0][1], at_address)
    finally:
        await runner.cleanup()
