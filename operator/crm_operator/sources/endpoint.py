"""An HTTP endpoint that an integration names for its metrics: its URL, and one bounded GET at a time.

A custom resource is hostile input, and so are answers: texts name the field, what happened and the remedy, never what
the server said, nor any part of a URL that cannot be read. Used by `backend` and `prometheus`.
"""

from collections.abc import Generator
from dataclasses import dataclass
from dataclasses import field as hidden
from urllib.parse import unquote, urlsplit

import httpx

from crm_operator.domain.world import Unknown
from crm_operator.sources.address import AddressPolicy
from crm_operator.sources.authority import refuse_ca
from crm_operator.sources.look_up import HostRefused
from crm_operator.sources.network_fault import NetworkFault, fault_in
from crm_operator.sources.pinned_http import EXCHANGE_ERRORS, Answer, HttpHost, PinnedClient
from crm_operator.sources.secret import Secret

#: Why a URL is not followed.
URL_INVALID = "MetricsUrlInvalid"
_PORTS = {"http": 80, "https": 443}

_WORDS = {
    NetworkFault.TIMEOUT: "no answer in time; check that it is not stuck and no NetworkPolicy drops the traffic",
    NetworkFault.REFUSED: "connection refused; check that it runs and the port is right",
    NetworkFault.CLOSED: "the connection was closed; check that it runs and speaks TLS as the URL says",
    NetworkFault.UNTRUSTED: "its certificate is not trusted, or is for another host; "
    "give its CA with tls.caFrom, and use a host in it",
    NetworkFault.TLS: "the TLS handshake failed; check the certificate, and whether http:// was meant",
    NetworkFault.NOT_FOUND: "the host name cannot be resolved; check its spelling and that the Service exists",
}


@dataclass(frozen=True, slots=True)
class EndpointSource:
    """What an integration says."""

    url: Secret  # user and password included
    field: str  # what texts call the place of the URL: `spec.metrics.backend.url`
    token: Secret | None = None  # sent as a bearer token
    token_field: str = "tokenFrom"
    ca: Secret | None = None  # PEM, for TLS; no secret, but it comes from one
    ca_field: str = "tls.caFrom"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where to ask, and as whom. `repr` shows no credentials."""

    host: HttpHost
    path: str  # with its query
    field: str
    auth: tuple[str, str] | None = hidden(default=None, repr=False)  # user and password
    token: str | None = hidden(default=None, repr=False)

    @property
    def place(self) -> tuple[str, int, str]:
        """What it counts does not depend on who asks."""
        return self.host.host, self.host.port, self.path

    def unknown(self, clause: str, reason: str) -> Unknown:
        """For status: the field, the host, and what happened."""
        return Unknown(f"{self.field} ({self.host.shown}): {clause}", reason)


def endpoint_of(source: EndpointSource, *, namespace: str, policy: AddressPolicy) -> Endpoint | Unknown:
    """The endpoint of an integration in Kubernetes namespace `namespace`, or why its URL is not followed."""
    url = source.url.reveal()
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
        user = unquote(parts.username, errors="strict") if parts.username else None
        password = unquote(parts.password or "", errors="strict")
    except ValueError:
        return _invalid(source, "it cannot be parsed")
    if parts.scheme not in _PORTS:
        return _invalid(source, "it does not begin with http:// or https://")
    if not host or "@" in parts.path + parts.query or "#" in url:
        return _invalid(source, "it has no host, or a fragment after #")
    if user is not None and source.token is not None:
        return _invalid(source, f"it has a user, and {source.token_field} is given too; remove one of them")
    if source.token is not None and not (source.token.reveal().isascii() and source.token.reveal().isprintable()):
        return Unknown(f"{source.token_field}: the token has characters that no HTTP header may have", "TokenInvalid")
    tls = parts.scheme == "https"
    refused = policy.check(host, namespace=namespace, field=source.field) or refuse_ca(
        source.ca, tls=tls, field=source.field, ca_field=source.ca_field, schemes="https://", reason=URL_INVALID
    )
    if refused is not None:
        return refused
    return Endpoint(
        host=HttpHost(
            host=policy.lookup_name(host, namespace=namespace),
            port=port or _PORTS[parts.scheme],
            tls=tls,
            ca=None if source.ca is None else source.ca.reveal(),
        ),
        path=(parts.path or "/") + (f"?{parts.query}" if parts.query else ""),
        field=source.field,
        auth=None if user is None else (user, password),
        token=None if source.token is None else source.token.reveal(),
    )


class EndpointClient:
    """Asks one endpoint. Not for concurrent use."""

    def __init__(self, endpoint: Endpoint, *, policy: AddressPolicy, timeout_seconds: float, max_bytes: int) -> None:
        self.endpoint = endpoint
        self._http = PinnedClient(
            endpoint.host,
            policy=policy,
            auth=_auth_of(endpoint),
            timeout_seconds=timeout_seconds,
            max_bytes=max_bytes,
        )

    async def get(self, path: str) -> Answer | Unknown:
        """An answer that came as a whole, whatever its status but a redirect and a refused user."""
        endpoint = self.endpoint
        try:
            answer = await self._http.get(path, {"Accept": "application/json"})
        except HostRefused as refused:
            return endpoint.unknown(refused.why, "HostNotAllowed")
        except EXCHANGE_ERRORS as error:
            return self._failure(error)
        if 300 <= answer.status < 400:
            return endpoint.unknown("the answer is a redirect, which is not followed; check the URL", "Redirected")
        if answer.status in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
            return endpoint.unknown(
                f"HTTP status {answer.status}; check the user in the URL's Secret, or tokenFrom", "AuthenticationFailed"
            )
        if isinstance(answer.body, Unknown):
            return endpoint.unknown(f"{answer.body.why}; check the URL", answer.body.reason)
        return answer

    async def close(self) -> None:
        """Does not wait for a peer that is stuck."""
        await self._http.close()

    def _failure(self, error: Exception) -> Unknown:
        fault = fault_in(error)
        if fault is not None:
            return self.endpoint.unknown(_WORDS[fault], fault.value)
        if isinstance(error, httpx.ReadError | httpx.WriteError | httpx.RemoteProtocolError):
            return self.endpoint.unknown("the connection was cut, or the answer is not HTTP", "ProtocolError")
        return self.endpoint.unknown("the host cannot be reached; check the address and the network", "Unreachable")


class _Bearer(httpx.Auth):
    def __init__(self, token: str) -> None:
        self._token = token

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        request.headers["Authorization"] = f"Bearer {self._token}"
        yield request


def _auth_of(endpoint: Endpoint) -> httpx.Auth | None:
    if endpoint.token is not None:
        return _Bearer(endpoint.token)
    return None if endpoint.auth is None else httpx.BasicAuth(*endpoint.auth)


def _invalid(source: EndpointSource, fault: str) -> Unknown:
    return Unknown(
        f"{source.field}: {fault}; write http://HOST:PORT/PATH, with special characters of a password percent-encoded",
        URL_INVALID,
    )
