"""The fake HubSpot in a process of its own, so that its clock is not slowed by ours."""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx

from bench.records import REPOSITORY
from bench.stage import free_port


@contextmanager
def hubspot(host: str) -> Iterator[str]:
    """Its URL on `host`, a free port. Raises RuntimeError when it does not answer."""
    port = free_port(host)
    command = [sys.executable, "-m", "demo.app.hubspot", "--host", host, "--port", str(port)]
    process = subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.DEVNULL)
    url = f"http://{host}:{port}"
    try:
        deadline = time.monotonic() + 20
        while not _answers(url):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the fake HubSpot does not answer at {url}")
            time.sleep(0.05)
        yield url
    finally:
        process.terminate()
        process.wait(10)


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/_health", timeout=2, trust_env=False).is_success
    except httpx.TransportError:
        return False
