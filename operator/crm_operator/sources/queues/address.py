"""A broker's URL, taken apart. Only what we understand is let through: redis-py's own URL options can name files."""

import re
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

from crm_operator.domain.world import Unknown
from crm_operator.sources.address import AddressPolicy
from crm_operator.sources.queues.source import QueueSource


@dataclass(frozen=True, slots=True)
class BrokerAddress:
    """Where to connect and as whom; equal ones share a connection. `repr` shows no credentials."""

    host: str  # the name or address to look up
    port: int
    database: int
    tls: bool
    username: str | None = field(repr=False)
    password: str | None = field(repr=False)

    @property
    def shown(self) -> str:
        """host:port, for texts."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def broker_address(source: QueueSource, *, namespace: str, policy: AddressPolicy) -> BrokerAddress | Unknown:
    """The broker of an integration in Kubernetes namespace `namespace`, or why its URL is not followed.

    A URL that cannot be read is not repeated in the text, not even in part: a password with a `/` or `#` in it moves
    the borders of all its parts.
    """
    url = source.url.reveal()
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port or 6379
    except ValueError:
        return _invalid(source, "it cannot be parsed")
    if parts.scheme not in ("redis", "rediss"):
        return _invalid(source, "it does not begin with redis:// or rediss://")
    database = parts.path.removeprefix("/") or "0"
    if not host or "@" in parts.path or "?" in url or "#" in url:
        return _invalid(source, "it has no host, or options after ? or #")
    if not re.fullmatch(r"[0-9]{1,5}", database):
        return _invalid(source, "the part after the host is no database number")
    refused = policy.check(host, namespace=namespace, field=source.field)
    if refused is not None:
        return refused
    return BrokerAddress(
        host=policy.lookup_name(host, namespace=namespace),
        port=port,
        database=int(database),
        tls=parts.scheme == "rediss",
        username=unquote(parts.username) if parts.username else None,
        password=unquote(parts.password) if parts.password else None,
    )


def _invalid(source: QueueSource, fault: str) -> Unknown:
    return Unknown(
        f"{source.field}: {fault}; write redis://HOST:PORT/DATABASE, with special characters of a password "
        "percent-encoded",
        "QueueUrlInvalid",
    )
