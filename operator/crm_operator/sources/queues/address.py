"""A broker's URL, taken apart. Only what we understand is let through: redis-py's own URL options can name files."""

import re
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

from crm_operator.domain.world import Unknown
from crm_operator.sources.address import AddressPolicy
from crm_operator.sources.authority import refuse_ca
from crm_operator.sources.queues.source import QueueSource

#: By scheme: the default port.
_SCHEMES = {"redis": 6379, "rediss": 6379, "redis+sentinel": 26379, "rediss+sentinel": 26379}


@dataclass(frozen=True, slots=True)
class Master:
    """What Sentinel knows as the master of a group. Where it is may change."""

    name: str
    namespace: str  # of the integration: a host name that Sentinel tells is judged, and looked up, as if it wrote it


@dataclass(frozen=True, slots=True)
class BrokerAddress:
    """Where to connect and as whom; equal ones share a connection. `repr` shows no credentials."""

    host: str  # the name or address to look up
    port: int
    database: int
    tls: bool
    username: str | None = field(repr=False)
    password: str | None = field(repr=False)
    ca: str | None = field(default=None, repr=False)  # PEM, trusted beside the usual ones
    #: The host is a Sentinel; it tells where this is.
    master: Master | None = None

    @property
    def shown(self) -> str:
        """host:port, and a Sentinel's master, for texts."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}" + ("" if self.master is None else f"/{self.master.name}")


def broker_address(source: QueueSource, *, namespace: str, policy: AddressPolicy) -> BrokerAddress | Unknown:
    """The broker of an integration in Kubernetes namespace `namespace`, or why its URL is not followed.

    A URL that cannot be read is not repeated in the text, not even in part: a password with a `/` or `#` in it moves
    the borders of all its parts.
    """
    url = source.url.reveal()
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        return _invalid(source, "it cannot be parsed")
    if parts.scheme not in _SCHEMES:
        return _invalid(source, "it does not begin with redis://, rediss:// or redis+sentinel://")
    if not host or "@" in parts.path or "?" in url or "#" in url:
        return _invalid(source, "it has no host, or options after ? or #")
    path, group = parts.path.removeprefix("/"), None
    if parts.scheme.endswith("+sentinel"):
        group, _, path = path.partition("/")
        if not re.fullmatch(r"[a-zA-Z0-9._-]{1,128}", group):
            return _invalid(source, "it does not name Sentinel's master after the host")
    if not re.fullmatch(r"[0-9]{0,5}", path):
        return _invalid(source, "it does not end with a database number")
    tls = parts.scheme.startswith("rediss")
    refused = policy.check(host, namespace=namespace, field=source.field) or check_ca(source, tls=tls)
    if refused is not None:
        return refused
    return BrokerAddress(
        host=policy.lookup_name(host, namespace=namespace),
        port=port or _SCHEMES[parts.scheme],
        database=int(path or 0),
        tls=tls,
        username=unquote(parts.username) if parts.username else None,
        password=unquote(parts.password) if parts.password else None,
        ca=None if source.ca is None else source.ca.reveal(),
        master=None if group is None else Master(group, namespace),
    )


def check_ca(source: QueueSource, *, tls: bool) -> Unknown | None:
    """Why the CA is of no use, if there is one."""
    return refuse_ca(
        source.ca,
        tls=tls,
        field=source.field,
        ca_field=source.ca_field,
        schemes="rediss:// or https://",
        reason="QueueUrlInvalid",
    )


def _invalid(source: QueueSource, fault: str) -> Unknown:
    return Unknown(
        f"{source.field}: {fault}; write redis://HOST:PORT/DATABASE, or redis+sentinel://HOST:PORT/MASTER/DATABASE, "
        "with special characters of a password percent-encoded",
        "QueueUrlInvalid",
    )
