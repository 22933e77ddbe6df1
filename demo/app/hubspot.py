"""A fake HubSpot: a real HTTP server that checks what it gets and counts every write.

`python -m demo.app.hubspot` serves until SIGTERM; `FakeHubSpot` serves from a thread, for tests. The path, the body
and the bearer token are those of HubSpot's contacts API; `_stats`, `_reset`, `_mode` and `_health` are ours.
"""

import argparse
import json
import os
import re
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import FrameType, TracebackType
from typing import Any, Self

from demo.app.hubspot_stats import Books, HubSpotStats

CONTACT = re.compile(r"^/crm/v3/objects/contacts/([0-9]{1,12})$")
MAX_BODY_BYTES = 64 * 1024
FAILURES = (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.INTERNAL_SERVER_ERROR)

Answer = tuple[HTTPStatus, dict[str, Any]]


class Refused(Exception):
    """The call is wrong; the status and the reason that the caller is told, and that the books count."""

    def __init__(self, status: HTTPStatus, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


@dataclass(slots=True)
class _Failing:
    """Which calls fail as asked: all, or each `every`-th write of one version."""

    status: HTTPStatus
    until: float  # seconds since the epoch
    revision: str | None
    every: int
    writes: int = 0  # of that version, since it was asked for

    def hits(self, revision: str) -> bool:
        """Whether the next write of `revision` fails."""
        if revision != self.revision:
            return False
        self.writes += 1
        return self.writes % self.every == 0


class FakeHubSpot:
    """The server and its books. One lock: no request is counted half."""

    def __init__(self, *, host: str = "127.0.0.1", port: int = 0, token: str = "demo-token") -> None:
        self._token = token
        self._lock = threading.Lock()
        self._books = Books()
        self._failing: _Failing | None = None
        self._server = _Server((host, port), _handler_for(self))
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), name="hubspot", daemon=True)

    @property
    def url(self) -> str:
        host, port = self._server.server_address[:2]
        return f"http://{host!s}:{port}"

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.stop()

    def stats(self) -> HubSpotStats:
        with self._lock:
            return self._books.stats(now=time.time())

    def handle(self, method: str, path: str, headers: Callable[[str], str], body: bytes) -> Answer:
        """Answer one request. `headers` gives a header's value, or "" where there is none."""
        try:
            if (own := self._own_pages(method, path, body)) is not None:
                return own
            return self._contacts(method, path, headers, body)
        except Refused as refusal:
            with self._lock:
                self._books.refused(refusal.reason)
            return refusal.status, {"status": "error", "message": refusal.reason}

    def _contacts(self, method: str, path: str, headers: Callable[[str], str], body: bytes) -> Answer:
        now = time.time()
        failing = self._failing if self._failing is not None and now < self._failing.until else None
        if failing is not None and failing.revision is None:
            raise Refused(failing.status, f"failing with {failing.status} as asked")
        match = CONTACT.match(path)
        if match is None:
            raise Refused(HTTPStatus.NOT_FOUND, "unknown path")
        if headers("Authorization") != f"Bearer {self._token}":
            raise Refused(HTTPStatus.UNAUTHORIZED, "wrong or missing bearer token")
        contact = match.group(1)
        revision, role = headers("x-worker-revision") or "unknown", headers("x-worker-role") or "unknown"
        if method == "GET":
            with self._lock:
                self._books.job_started(revision=revision, role=role, at=now)
            return HTTPStatus.OK, {"id": contact, "properties": {}}
        if method != "PATCH":
            raise Refused(HTTPStatus.METHOD_NOT_ALLOWED, "method not allowed")
        properties = _properties(body)
        key = headers("Idempotency-Key")
        if not key:
            raise Refused(HTTPStatus.BAD_REQUEST, "missing Idempotency-Key")
        with self._lock:
            if failing is not None and failing.hits(revision):
                self._books.write_failed(revision=revision, role=role, at=now)
                raise Refused(failing.status, f"failing with {failing.status} for one version as asked")
            self._books.contact_written(
                contact, key=key, bad="corrupt" in properties, revision=revision, role=role, at=now
            )
        return HTTPStatus.OK, {"id": contact, "properties": properties}

    def _own_pages(self, method: str, path: str, body: bytes) -> Answer | None:
        match method, path:
            case "GET", "/_health":
                return HTTPStatus.OK, {"status": "ok"}
            case "GET", "/_stats":
                return HTTPStatus.OK, self.stats().as_json()
            case "POST", "/_reset":
                with self._lock:
                    self._books = Books()
                return HTTPStatus.OK, {"status": "ok"}
            case "POST", "/_mode":
                self._failing = _mode(body)
                return HTTPStatus.OK, {"status": "ok"}
        return None


def _properties(body: bytes) -> dict[str, str]:
    data = _json(body)
    properties = data.get("properties")
    if not isinstance(properties, dict) or not properties:
        raise Refused(HTTPStatus.BAD_REQUEST, "body has no properties")
    if not all(isinstance(value, str) for value in properties.values()):
        raise Refused(HTTPStatus.BAD_REQUEST, "a property is not a string")
    return properties


def _mode(body: bytes) -> _Failing:
    data = _json(body)
    status, seconds, revision, every = (data.get(name) for name in ("status", "seconds", "revision", "every"))
    if status not in FAILURES or not isinstance(seconds, int | float):
        raise Refused(HTTPStatus.BAD_REQUEST, 'mode must be like {"status": 429 or 500, "seconds": 10}')
    if not isinstance(revision, str | None) or not (every is None or (isinstance(every, int) and every > 0)):
        raise Refused(HTTPStatus.BAD_REQUEST, 'mode of one version must have {"revision": "a text", "every": 3}')
    return _Failing(HTTPStatus(status), time.time() + seconds, revision, every or 1)


def _json(body: bytes) -> dict[str, Any]:
    try:
        data = json.loads(body)
    except ValueError as error:
        raise Refused(HTTPStatus.BAD_REQUEST, "body is not JSON") from error
    if not isinstance(data, dict):
        raise Refused(HTTPStatus.BAD_REQUEST, "body is not a JSON object")
    return data


class _Server(ThreadingHTTPServer):
    request_queue_size = 256  # the default of 5 refuses connections when twenty workers start at once
    daemon_threads = True


def _handler_for(hubspot: FakeHubSpot) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = 10  # seconds for a caller that stops sending

        def _serve(self) -> None:
            length = int(self.headers.get("Content-Length", "0") or "0")
            body = self.rfile.read(min(length, MAX_BODY_BYTES))
            status, answer = hubspot.handle(self.command, self.path, lambda name: self.headers.get(name, ""), body)
            data = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            if status is HTTPStatus.TOO_MANY_REQUESTS:
                self.send_header("Retry-After", "1")
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = _serve

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing: the books are the record, and a line per call would cost more than the call."""

    return Handler


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (in a pod: 0.0.0.0)")
    parser.add_argument("--port", type=int, default=8080)
    arguments = parser.parse_args()
    stopped = threading.Event()

    def stop(signum: int, frame: FrameType | None) -> None:
        stopped.set()

    # As a container's first process it would otherwise never see SIGTERM.
    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    hubspot = FakeHubSpot(host=arguments.host, port=arguments.port, token=os.environ.get("HUBSPOT_TOKEN", "demo-token"))
    with hubspot:
        print(f"fake HubSpot on {hubspot.url}", flush=True)
        stopped.wait()


if __name__ == "__main__":
    main()
