"""RabbitMQ's management API: one GET at a time, bounded in time and size. Only GETs, so nothing is written.

Texts name what happened and the remedy, never what the server said.
"""

import json
from typing import Any

import httpx

from crm_operator.domain.world import Unknown
from crm_operator.sources.address import AddressPolicy
from crm_operator.sources.look_up import HostRefused
from crm_operator.sources.pinned_http import EXCHANGE_ERRORS, HttpHost, PinnedClient
from crm_operator.sources.queues.failure import AUTH, CLOSED, TIMEOUT, TLS_TIMEOUT, Failure, known_failure
from crm_operator.sources.queues.management_address import ManagementAddress
from crm_operator.sources.queues.reader import BrokerUnread

#: A page of 500 queues with the longest names has about 120 KiB.
MAX_BYTES = 512 * 1024

NO_USER = Failure("AuthenticationFailed", "RabbitMQ wants a user; put the URL into a Secret and use queue.urlFrom")
NO_TAG = Failure("NotPermitted", "the user may not use the management API; give it the tag management")
NO_VHOST_ACCESS = Failure(
    "NotPermitted", "the user may not enter this virtual host; set its permissions there, empty ones are enough"
)
VHOST_MISSING = Failure(
    "VirtualHostNotFound",
    "there is no such virtual host; check the end of the URL, and that the port is the management API's",
)
REDIRECTED = Failure("Redirected", "the answer is a redirect, which is not followed; check scheme, host and port")
SERVER_ERROR = Failure("BrokerError", "RabbitMQ answered with an error; see its log")
NOT_HTTP = Failure(
    "ProtocolError", "there is no HTTP here; check that the port is the management API's (15672), not AMQP's, and TLS"
)
GARBLED = Failure("ProtocolError", "the answer is not that of RabbitMQ's management API; check host and port")
UNREACHABLE = Failure("Unreachable", "the host cannot be reached; check the address and the network")

#: What RabbitMQ gives as the reason of a 401, when it is not the password.
_DENIALS = {"Not management user": NO_TAG, "User not authorised to access virtual host": NO_VHOST_ACCESS}


class ManagementClient:
    """One connection to one management API. Not for concurrent use."""

    def __init__(self, address: ManagementAddress, *, policy: AddressPolicy, timeout_seconds: float) -> None:
        self._address = address
        self._auth = None if address.username is None else httpx.BasicAuth(address.username, address.password or "")
        self._http = PinnedClient(
            HttpHost(host=address.host, port=address.port, tls=address.tls, ca=address.ca),
            policy=policy,
            auth=self._auth,
            timeout_seconds=timeout_seconds,
            max_bytes=MAX_BYTES,
        )

    async def get(self, path: str) -> Any:
        """The parsed JSON at `path`, a path with its query, percent-encoded. Raises BrokerUnread."""
        served = self._http.served
        try:
            answer = await self._http.get(path, {"Accept": "application/json"})
        except HostRefused as refused:
            raise BrokerUnread(Failure("HostNotAllowed", refused.why)) from None
        except EXCHANGE_ERRORS as error:
            raise BrokerUnread(self._failure_of(error, served=served)) from None  # the cause may hold what was sent
        if isinstance(answer.body, Unknown):
            raise BrokerUnread(Failure(answer.body.reason, f"{answer.body.why}; check host and port"))
        return self._content(answer.status, answer.body)

    async def close(self) -> None:
        """Does not wait for a peer that is stuck."""
        await self._http.close()

    def _content(self, status: int, body: bytes) -> Any:
        if 300 <= status < 400:
            raise BrokerUnread(REDIRECTED)
        if status >= 500:
            raise BrokerUnread(SERVER_ERROR)
        if status == httpx.codes.NOT_FOUND:
            raise BrokerUnread(VHOST_MISSING)
        try:
            content = json.loads(body) if body or status == httpx.codes.OK else None
        except (ValueError, RecursionError):
            raise BrokerUnread(GARBLED) from None
        if status == httpx.codes.UNAUTHORIZED:
            raise BrokerUnread(self._denial(content))
        if status != httpx.codes.OK:
            raise BrokerUnread(GARBLED)
        return content

    def _denial(self, content: Any) -> Failure:
        if self._auth is None:
            return NO_USER
        reason = content.get("reason") if isinstance(content, dict) else None
        return _DENIALS.get(reason, AUTH) if isinstance(reason, str) else AUTH

    def _failure_of(self, error: Exception, *, served: bool) -> Failure:
        known = known_failure(error)
        if known is TIMEOUT and self._address.tls:
            return TLS_TIMEOUT
        if known is CLOSED or isinstance(error, httpx.ReadError | httpx.WriteError | httpx.RemoteProtocolError):
            # Where HTTP was spoken a moment ago, a connection ends because the server, or its patience, does.
            return CLOSED if served else NOT_HTTP
        return known or UNREACHABLE
