"""The fake HubSpot in a process of its own, so that its clock is not slowed by ours."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import httpx

from bench.records import REPOSITORY
from bench.stage import free_port
from dev.cluster.waiting import wait_until


@contextmanager
def hubspot(host: str) -> Iterator[str]:
    """Its URL on `host`, a free port. Raises TimeoutError when it does not answer, RuntimeError when it ended."""
    port = free_port(host)
    command = [sys.executable, "-m", "demo.app.hubspot", "--host", host, "--port", str(port)]
    process = subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.DEVNULL)
    url = f"http://{host}:{port}"
    try:
        wait_until(lambda: _answers(process, url), f"an answer of the fake HubSpot at {url}", within_seconds=20)
        yield url
    finally:
        process.terminate()
        process.wait(10)


def _answers(process: subprocess.Popen[bytes], url: str) -> bool:
    if process.poll() is not None:
        raise RuntimeError(f"the fake HubSpot ended with code {process.returncode}")
    try:
        return httpx.get(f"{url}/_health", timeout=2, trust_env=False).is_success
    except httpx.TransportError:
        return False
