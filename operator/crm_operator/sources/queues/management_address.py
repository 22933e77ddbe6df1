"""The URL of RabbitMQ's management API, taken apart: http(s)://[USER:PASSWORD@]HOST:PORT/VHOST."""

from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

from crm_operator.domain.world import Unknown
from crm_operator.sources.address import AddressPolicy
from crm_operator.sources.queues.address import check_ca
from crm_operator.sources.queues.source import QueueSource


@dataclass(frozen=True, slots=True)
class ManagementAddress:
    """Where to ask, as whom and for which virtual host; equal ones share a reader. `repr` shows no credentials."""

    host: str  # the name or address to look up
    port: int
    vhost: str  # decoded; the default one is /
    tls: bool
    username: str | None = field(repr=False)
    password: str | None = field(repr=False)
    ca: str | None = field(default=None, repr=False)  # PEM, trusted beside the usual ones

    @property
    def shown(self) -> str:
        """host:port, for texts and for the Host header."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def management_address(source: QueueSource, *, namespace: str, policy: AddressPolicy) -> ManagementAddress | Unknown:
    """The broker of an integration in Kubernetes namespace `namespace`, or why its URL is not followed.

    No path, and /, are the default virtual host, as in AMQP's URLs is %2F. The port has to be there: 80 and 443, which
    http and https imply, are hardly ever meant. Of a URL that cannot be read nothing is repeated, see `address`.
    """
    url = source.url.reveal()
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
        vhost = unquote(parts.path.removeprefix("/"), errors="strict") or "/"
        username = unquote(parts.username, errors="strict") if parts.username else None
        password = unquote(parts.password, errors="strict") if parts.password else None
    except ValueError:
        return _invalid(source, "it cannot be parsed")
    if parts.scheme not in ("http", "https"):
        return _invalid(source, "it does not begin with http:// or https://; the management API is asked, not AMQP")
    if not host or "@" in parts.path or "?" in url or "#" in url:
        return _invalid(source, "it has no host, or options after ? or #")
    if not port:
        return _invalid(source, "it has no port")
    if "/" in parts.path[1:]:
        return _invalid(source, "the part after the host is more than a virtual host, in whose name / is %2F")
    tls = parts.scheme == "https"
    refused = policy.check(host, namespace=namespace, field=source.field) or check_ca(source, tls=tls)
    if refused is not None:
        return refused
    return ManagementAddress(
        host=policy.lookup_name(host, namespace=namespace),
        port=port,
        vhost=vhost,
        tls=tls,
        username=username,
        password=password,
        ca=None if source.ca is None else source.ca.reveal(),
    )


def _invalid(source: QueueSource, fault: str) -> Unknown:
    return Unknown(
        f"{source.field}: {fault}; write http://HOST:15672/VHOST, with special characters of a password or virtual "
        "host percent-encoded",
        "QueueUrlInvalid",
    )
