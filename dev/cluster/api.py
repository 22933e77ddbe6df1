"""A small client of the API server, for what the launcher itself asks: readiness, and a few objects to create."""

import ssl
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

from dev.cluster.errors import ClusterError
from dev.cluster.pki import Pair


class Api:
    """Requests as the cluster's administrator. Close it, or use it as a context manager."""

    def __init__(self, server: str, ca: Path, admin: Pair) -> None:
        context = ssl.create_default_context(cafile=str(ca))
        context.load_cert_chain(admin.certificate, admin.key)
        # trust_env off: a proxy of the caller's environment must not stand between us and our own cluster.
        self._client = httpx.Client(base_url=server, verify=context, timeout=10.0, trust_env=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._client.close()

    def is_ready(self) -> bool:
        """Whether /readyz says so; False also when nobody answers."""
        try:
            return self._client.get("/readyz").status_code == httpx.codes.OK
        except httpx.TransportError:
            return False

    def exists(self, path: str) -> bool:
        """Whether the object at `path` is there."""
        return self.get(path) is not None

    def get(self, path: str) -> dict[str, Any] | None:
        """The object at `path`; None when there is none. Raises ClusterError on any other answer than these two."""
        response = self._request("GET", path)
        if response.status_code == httpx.codes.NOT_FOUND:
            return None
        return self._body(response)

    def create(self, path: str, document: dict[str, Any]) -> None:
        """Create an object in the collection `path`; one that is there already is left alone. Raises ClusterError."""
        response = self._request("POST", path, document)
        if response.status_code != httpx.codes.CONFLICT:
            self._body(response)

    def node_ready(self, name: str) -> bool:
        """Whether the node says that it is Ready."""
        node = self.get(f"/api/v1/nodes/{name}") or {}
        conditions = node.get("status", {}).get("conditions", [])
        return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)

    def _request(self, method: str, path: str, document: dict[str, Any] | None = None) -> httpx.Response:
        try:
            return self._client.request(method, path, json=document)
        except httpx.TransportError as error:
            raise ClusterError(f"the API server does not answer {method} {path}: {error}") from error

    @staticmethod
    def _body(response: httpx.Response) -> dict[str, Any]:
        if response.is_error:
            raise ClusterError(f"{response.request.method} {response.request.url.path}: {response.text[:500]}")
        body: dict[str, Any] = response.json()
        return body
