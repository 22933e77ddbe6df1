"""Which hosts a custom resource may make the operator talk to.

A custom resource is hostile input: without this, its author could read through the operator whatever the operator's
network reaches. Allowed are Services of the resource's own namespace; everything else must be listed by whoever runs
the operator. The name is checked before it is looked up, and every address that it resolves to before it is dialled
(an ExternalName Service is the user's own CNAME). Used by the sources at each new address.
"""

import ipaddress
import re
from dataclasses import dataclass
from functools import cached_property

from crm_operator.domain.world import Unknown

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
#: A Service name starts with a letter, so `2130706433` and `127.1` (both spell 127.0.0.1) are never one.
_SERVICE = re.compile(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?")

#: Never reached through a Service or a wildcard: the operator's own host, its link, cloud metadata, no host at all.
_SPECIAL: tuple[Network, ...] = tuple(
    ipaddress.ip_network(text)
    for text in (
        "0.0.0.0/8",
        "127.0.0.0/8",
        "169.254.0.0/16",  # link-local, and the metadata service of most clouds
        "224.0.0.0/4",
        "240.0.0.0/4",
        "100.100.100.200/32",  # Alibaba's metadata service
        "168.63.129.16/32",  # Azure's
        "192.0.0.192/32",  # Oracle's
        "::/128",
        "::1/128",
        "fe80::/10",
        "ff00::/8",
        "fd00:ec2::254/128",  # AWS's metadata service
    )
)


@dataclass(frozen=True)
class AddressPolicy:
    """`allow`: exact host names, addresses, CIDRs or `*.suffix`, from the operator's flag `--allow-host`.

    `deny`: addresses that no Service may lead to, e.g. the API server's; listing one in `allow` wins.
    """

    allow: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()

    def check(self, host: str, *, namespace: str, field: str = "spec.queue.url") -> Unknown | None:
        """None if an integration in `namespace` may name `host`, else why not and what to do."""
        name = _normal(host)
        if name in self._names or any(name.endswith(suffix) for suffix in self._suffixes):
            return None
        address = as_address(name)
        if address is not None:
            return self._check_address(address, host=name, field=field)
        if _own_service(name, namespace) is None:
            return Unknown(
                f"{field}: host {_shown(name)} is neither a Service in namespace {namespace} nor listed by the "
                f"operator; use SERVICE.{namespace}.svc, or start the operator with --allow-host={_shown(name)}",
                "HostNotAllowed",
            )
        return None

    def lookup_name(self, host: str, *, namespace: str) -> str:
        """The name to look up for an allowed `host`.

        A Service is looked up in the integration's namespace: the operator's own search path would find the
        operator's namespace first, and `example.com` is a Service only to an integration in namespace `com`.
        """
        name = _normal(host)
        if name in self._names or any(name.endswith(suffix) for suffix in self._suffixes):
            return name
        return _own_service(name, namespace) or name

    def refuse_resolved(self, host: str, address: str) -> str | None:
        """Why `address`, to which the allowed `host` resolved, may not be dialled; None if it may."""
        name, parsed = _normal(host), as_address(address)
        if name in self._names:
            return None  # whoever runs the operator named this very host
        if parsed is None:
            return f"host {_shown(name)} has no usable address"
        return self._refuse_address(parsed, shown=f"host {_shown(name)} leads to an address that", flag=_shown(name))

    def told_host(self, host: str, *, namespace: str) -> str | Unknown:
        """The host to look up, or dial, when an allowed host says that the service is at `host`; or why not.

        What it tells is worth as much as where a Service leads: an address that is not reserved, or a name that an
        integration in `namespace` could have written itself.
        """
        name, address = _normal(host), as_address(host)
        if address is None:
            return self.check(name, namespace=namespace, field="its host") or self.lookup_name(
                name, namespace=namespace
            )
        why = self._refuse_address(address, shown=f"address {_shown(name)}", flag=_shown(name))
        return name if why is None else Unknown(why, "HostNotAllowed")

    def _check_address(self, address: Address, *, host: str, field: str) -> Unknown | None:
        if self._listed(address):
            return None
        return Unknown(
            f"{field}: address {_shown(host)} is not listed by the operator; use a Service in the integration's "
            f"namespace, or start the operator with --allow-host={_shown(host)}",
            "HostNotAllowed",
        )

    def _refuse_address(self, address: Address, *, shown: str, flag: str) -> str | None:
        if self._listed(address) or not (_is_special(address) or any(_inside(address, net) for net in self._denied)):
            return None
        return (
            f"{shown} is reserved for the operator's own host or cluster; "
            f"use another host, or start the operator with --allow-host={flag} if this is meant"
        )

    def _listed(self, address: Address) -> bool:
        """In a listed network; a special address only in one that is special itself: 0.0.0.0/0 does not open it."""
        networks = [net for net in self._networks if _inside(address, net)]
        if not _is_special(address):
            return bool(networks)
        return any(_contains(special, net) for special in _SPECIAL for net in networks)

    @cached_property
    def _networks(self) -> tuple[Network, ...]:
        return tuple(net for net in map(_as_network, self.allow) if net is not None)

    @cached_property
    def _denied(self) -> tuple[Network, ...]:
        return tuple(net for net in map(_as_network, self.deny) if net is not None)

    @cached_property
    def _names(self) -> frozenset[str]:
        return frozenset(_normal(item) for item in self.allow if not item.startswith("*.") and not _as_network(item))

    @cached_property
    def _suffixes(self) -> tuple[str, ...]:
        return tuple(_normal(item[1:]) for item in self.allow if item.startswith("*."))


def as_address(text: str) -> Address | None:
    """The address that `text` is, an IPv4 one hidden in IPv6 unwrapped; None if it is a name."""
    try:
        address = ipaddress.ip_address(text.strip("[]").partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address):
        hidden = address.ipv4_mapped or address.sixtofour
        if hidden is None and address in _NAT64:
            hidden = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        return hidden or address
    return address


_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


def _as_network(text: str) -> Network | None:
    address = as_address(text)
    if address is not None:
        return ipaddress.ip_network(address)
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        return None


def _is_special(address: Address) -> bool:
    return any(_inside(address, net) for net in _SPECIAL)


def _contains(wide: Network, narrow: Network) -> bool:
    return wide.version == narrow.version and _inside(narrow[0], wide) and _inside(narrow[-1], wide)


def _inside(address: Address, network: Network) -> bool:
    return address.version == network.version and address in network


def _own_service(name: str, namespace: str) -> str | None:
    """The lookup name of a Service in `namespace`: svc, svc.NS, [pod.]svc.NS.svc and [pod.]svc.NS.svc.cluster.local."""
    labels = name.removesuffix(".cluster.local").split(".") if name.endswith(".svc.cluster.local") else name.split(".")
    if labels[-1] == "svc" and len(labels) in (3, 4):
        *pod, service, own, _ = labels
    elif len(labels) == 2:
        pod, (service, own) = [], labels
    elif len(labels) == 1:
        pod, service, own = [], labels[0], namespace
    else:
        return None
    if own != namespace or not _SERVICE.fullmatch(service) or not all(_LABEL.fullmatch(label) for label in pod):
        return None
    return ".".join([*pod, service, namespace, "svc"])


def _normal(host: str) -> str:
    return host.strip().strip("[]").lower().removesuffix(".")


def _shown(host: str) -> str:
    """A host name for status: what is no plain name is not repeated there."""
    return host if re.fullmatch(r"[-a-z0-9.:_]{1,253}", host) else "(not a host name)"
