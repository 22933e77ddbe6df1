"""The API server, as dicts: get, list, server-side apply, create, update, delete.

A thin layer over `kubernetes.aio`'s ApiClient, which brings configuration, TLS and credentials; no typed models, since
they cost more than the request. Every call has a deadline and ends in a dict or in one of four errors, split by what
the caller does next. Reads and writes of the controller, the lease, the resync and the CLI go through here; the
watches are Kopf's, on a session of their own that `watch.py` builds from `Kube.tls` and `Kube.authorization`.

Taken for granted: one event loop for calls (`authorization` may be asked from another one).
"""

import asyncio
import json
import ssl
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlencode, urlsplit

from yaml import YAMLError

from crm_operator.controller.resources import Resource

if TYPE_CHECKING:
    from kubernetes.aio.client.api_client import ApiClient

Object = dict[str, Any]
Trim = Callable[[Object], Object]

#: Told of every finished request: method, host, status code or "<error>" when there was none, seconds.
RequestObserver = Callable[[str, str, str, float], None]

TIMEOUT = timedelta(seconds=10)
#: Objects in one answer of a list: bounds the size of an answer, not of the list. An answer is held in full, and the
#: memory for it is not given back: a thousand large objects in pages of 500 left 80 MiB more than in pages of 100.
PAGE = 100
#: A token file or a kubeconfig's token is read again after this; kubelet replaces tokens many minutes before they end.
CREDENTIALS_FOR = timedelta(minutes=1)


class KubeError(Exception):
    """What a call can end in.

    KubeError
    ├── NotFound      it is not there, or its kind is not installed
    ├── Conflict      it changed, or exists already: read again and decide again
    ├── Refused       only a person can fix it: no retry without a change
    └── Unavailable   time may fix it: try again later

    Texts come from the API server or name the cause; no request bodies, headers or credentials.
    """


class NotFound(KubeError):
    """404."""


class Conflict(KubeError):
    """409: another version, another field owner, or `AlreadyExists`."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


class Refused(KubeError):
    """Any other 4xx, in the API server's own words."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(f"{status} {reason}: {message}")
        self.status = status
        self.reason = reason
        self.message = message


class Unavailable(KubeError):
    """No answer, or one that says "later": connection, deadline, 401, 408, 429, 5xx."""

    def __init__(self, why: str, retry_after: timedelta | None = None) -> None:
        super().__init__(why)
        self.why = why
        self.retry_after = retry_after


class Kube:
    """A connection to one API server. Close it, or use it as an async context."""

    def __init__(self, client: "ApiClient", observe: RequestObserver | None) -> None:
        self._client = client
        self._observe = observe
        self._host = urlsplit(self.server).netloc

    @classmethod
    async def connect(
        cls,
        kubeconfig: Path | None,
        context: str | None = None,
        *,
        observe: RequestObserver | None = None,
        user_agent: str = "crm-operator",
    ) -> Self:
        """Take credentials from `kubeconfig`, or from the pod's service account when it is None.

        The ambient KUBECONFIG and `~/.kube/config` are never read: which cluster is written to must be said. Nothing is
        sent yet. `observe` None: nobody counts (the CLI).

        Raises Refused when the credentials cannot be used.
        """
        # Here and not above: importing the client costs more than the rest of the program (facts in docs/decisions.md).
        from kubernetes.aio.client.api_client import ApiClient
        from kubernetes.aio.client.configuration import Configuration
        from kubernetes.aio.config import ConfigException, load_incluster_config, load_kube_config

        if kubeconfig is not None and not await asyncio.to_thread(kubeconfig.is_file):
            raise Refused(0, "NoCredentials", f"kubeconfig {kubeconfig} is not a file")
        source = f"kubeconfig {kubeconfig}" if kubeconfig else "the pod's service account"
        configuration = Configuration()
        # Proxy variables of the pod are for CRMs, not for the API server; a kubeconfig's proxy-url is still honoured.
        configuration.client_session_kwargs = {"trust_env": False}
        try:
            if kubeconfig is None:
                load_incluster_config(client_configuration=configuration)
            else:
                loader = await load_kube_config(
                    config_file=str(kubeconfig),
                    context=context,
                    client_configuration=configuration,
                    persist_config=False,
                )
                if "BearerToken" in configuration.api_key:
                    configuration.refresh_api_key_hook = _every(CREDENTIALS_FOR, loader.load_and_set)
            client = ApiClient(configuration)
        except ConfigException as error:
            # The loader names the part that it dislikes by printing it, tokens included: `... in FILE/{'user': ...`.
            said = str(error).partition("{")[0]
            raise Refused(0, "NoCredentials", f"{source}: {said}") from None
        except (OSError, ValueError, TypeError, AttributeError, YAMLError) as error:
            # What these say may quote the file as well.
            raise Refused(0, "NoCredentials", f"{source} cannot be read: {type(error).__name__}") from None
        client.user_agent = user_agent
        return cls(client, observe)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        await self._client.close()

    @property
    def server(self) -> str:
        """`https://host:port`."""
        return str(self._client.configuration.host)

    @property
    def tls(self) -> ssl.SSLContext:
        context = self._client.rest_client.ssl_context
        assert isinstance(context, ssl.SSLContext)
        return context

    @property
    def tls_server_name(self) -> str | None:
        name = self._client.configuration.tls_server_name
        return str(name) if name else None

    @property
    def proxy(self) -> str | None:
        proxy = self._client.configuration.proxy
        return str(proxy) if proxy else None

    async def authorization(self) -> str | None:
        """The header's present value, re-read when it is old; None with client certificates."""
        value = await self._client.configuration.get_api_key_with_prefix("BearerToken")
        return str(value) if value else None

    # --- reads

    async def get(
        self, resource: Resource, namespace: str, name: str, *, timeout: timedelta = TIMEOUT
    ) -> Object | None:
        """None: it does not exist."""
        try:
            return await self._call("GET", resource.path(namespace, name), timeout=timeout)
        except NotFound:
            return None

    async def list(
        self,
        resource: Resource,
        namespace: str | None = None,
        *,
        label_selector: str | None = None,
        trim: Trim | None = None,
        timeout: timedelta = TIMEOUT,
    ) -> tuple[list[Object], str]:
        """All objects of one kind and the resourceVersion that they were read at; `timeout` is per page.

        `trim` is applied to each object as its page arrives, so that only one page is held in full.

        Raises NotFound when the kind is not installed.
        """
        items: list[Object] = []
        query = {"limit": str(PAGE)} | ({"labelSelector": label_selector} if label_selector else {})
        while True:
            page = await self._call("GET", resource.path(namespace), query=query, timeout=timeout)
            for item in page.get("items") or []:
                # A list says once, for all, what its items are.
                item.setdefault("apiVersion", resource.api_version)
                item.setdefault("kind", resource.kind)
                items.append(trim(item) if trim else item)
            more = page["metadata"].get("continue")
            if not more:
                return items, str(page["metadata"]["resourceVersion"])
            query["continue"] = more

    # --- writes

    async def apply(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        body: Object,
        *,
        manager: str,
        force: bool = True,
        dry_run: bool = False,
        subresource: str | None = None,
        timeout: timedelta = TIMEOUT,
    ) -> Object:
        """Server-side apply of `manager`'s whole intent; a field left out of `body` is given up.

        apiVersion, kind, name and namespace are filled in. Creates the object unless `body` carries a uid or a
        resourceVersion as precondition. `dry_run` validates and admits, and stores nothing.
        """
        metadata = {**body.get("metadata", {}), "name": name, "namespace": namespace}
        full = {**body, "apiVersion": resource.api_version, "kind": resource.kind, "metadata": metadata}
        query = {"fieldManager": manager, "force": "true" if force else "false"}
        if dry_run:
            query["dryRun"] = "All"
        path = resource.path(namespace, name, subresource)
        # JSON is YAML, and the API server takes it as such.
        return await self._call(
            "PATCH", path, query=query, body=full, content_type="application/apply-patch+yaml", timeout=timeout
        )

    async def patch_status(
        self, resource: Resource, namespace: str, name: str, body: Object, *, manager: str, timeout: timedelta = TIMEOUT
    ) -> Object:
        """Server-side apply on `/status`; `body` holds `status`, and `metadata` with a precondition if wanted.

        Raises NotFound when the object is gone: a status cannot create one.
        """
        return await self.apply(resource, namespace, name, body, manager=manager, subresource="status", timeout=timeout)

    async def patch(
        self, resource: Resource, namespace: str, name: str, body: Object, *, manager: str, timeout: timedelta = TIMEOUT
    ) -> Object:
        """A merge patch: what `body` leaves out stays, what it has as None goes. Raises NotFound."""
        return await self._call(
            "PATCH",
            resource.path(namespace, name),
            query={"fieldManager": manager},
            body=body,
            content_type="application/merge-patch+json",
            timeout=timeout,
        )

    async def create(self, resource: Resource, namespace: str, body: Object, *, timeout: timedelta = TIMEOUT) -> Object:
        """Raises Conflict with reason `AlreadyExists`."""
        full = {**body, "apiVersion": resource.api_version, "kind": resource.kind}
        return await self._call("POST", resource.path(namespace), body=full, timeout=timeout)

    async def update(
        self, resource: Resource, namespace: str, name: str, body: Object, *, timeout: timedelta = TIMEOUT
    ) -> Object:
        """PUT of a whole object. With `metadata.resourceVersion` in it, Conflict says that somebody was faster."""
        full = {**body, "apiVersion": resource.api_version, "kind": resource.kind}
        return await self._call("PUT", resource.path(namespace, name), body=full, timeout=timeout)

    async def delete(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        *,
        uid: str | None = None,
        propagation: str = "Background",
        timeout: timedelta = TIMEOUT,
    ) -> bool:
        """False: it was gone already. With `uid`, a namesake made since then is spared by a Conflict."""
        options: Object = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": propagation}
        if uid is not None:
            options["preconditions"] = {"uid": uid}
        try:
            await self._call("DELETE", resource.path(namespace, name), body=options, timeout=timeout)
        except NotFound:
            return False
        return True

    # --- one request

    async def _call(
        self,
        method: str,
        path: str,
        *,
        query: dict[str, str] | None = None,
        body: Object | None = None,
        content_type: str = "application/json",
        timeout: timedelta,
    ) -> Object:
        import aiohttp

        began = time.monotonic()
        code = "<error>"
        what = f"{method} {path}"
        try:
            async with asyncio.timeout(timeout.total_seconds()):
                headers = {"Accept": "application/json", "Content-Type": content_type}
                authorization = await self.authorization()
                if authorization:
                    headers["Authorization"] = authorization
                headers |= self._client.default_headers
                url = self.server + path + (f"?{urlencode(query)}" if query else "")
                response = await self._client.call_api(
                    method, url, header_params=headers, body=body, _request_timeout=timeout.total_seconds()
                )
                code = str(response.status)
                data = await response.read()
        except TimeoutError as error:
            raise Unavailable(f"{what}: no answer within {timeout.total_seconds():g} s") from error
        except (aiohttp.ClientError, OSError) as error:
            raise Unavailable(f"{what}: {type(error).__name__}") from error
        finally:
            if self._observe:
                self._observe(method, self._host, code, time.monotonic() - began)
        return _result(what, response.status, response.headers.get("Retry-After"), data)


def _result(what: str, status: int, retry_after: str | None, data: bytes) -> Object:
    """The object, or the error that the answer means."""
    try:
        answer = json.loads(data)
    except ValueError:
        answer = None  # a proxy's page, or a broken answer
    if 200 <= status <= 299:
        if isinstance(answer, dict):
            return answer
        raise Unavailable(f"{what}: the answer is not an object")
    told = answer if isinstance(answer, dict) and answer.get("kind") == "Status" else {}
    reason = str(told.get("reason") or "Unknown")
    message = str(told.get("message") or f"{what}: HTTP {status}")
    match status:
        case 404:
            raise NotFound(message)
        case 409:
            raise Conflict(reason, message)
        case 401 | 408 | 429 | 410:
            # 401: a token is being replaced, or will be. 410: a page of a list took too long; the next one starts anew.
            raise Unavailable(f"{what}: {status} {reason}", _seconds(retry_after, told))
        case _ if 400 <= status <= 499:
            raise Refused(status, reason, message)
        case _:
            raise Unavailable(f"{what}: HTTP {status} {reason}", _seconds(retry_after, told))


def _seconds(header: str | None, told: Object) -> timedelta | None:
    """Retry-After in its form of whole seconds, else the Status's own; None: not said."""
    if header and header.isdecimal():
        return timedelta(seconds=int(header))
    seconds = (told.get("details") or {}).get("retryAfterSeconds")
    return timedelta(seconds=seconds) if isinstance(seconds, int) else None


def _every(period: timedelta, load: Callable[[Any], Awaitable[None]]) -> Callable[[Any], Awaitable[None]]:
    """A hook that runs `load` at most once a period; when it fails the credentials stay as they are."""
    loaded = time.monotonic()

    async def hook(configuration: Any) -> None:
        nonlocal loaded
        if time.monotonic() - loaded < period.total_seconds():
            return
        loaded = time.monotonic()
        await load(configuration)

    return hook
