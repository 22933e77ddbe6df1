"""What the API server was asked, by whom: its audit log, read from a mark on."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from os import SEEK_END
from urllib.parse import parse_qs, urlsplit

from dev.cluster import Cluster

WRITES = frozenset({"create", "update", "patch", "delete", "deletecollection"})


@dataclass(frozen=True, slots=True)
class Request:
    """One finished request."""

    verb: str
    group: str
    resource: str  # with its subresource, as in RBAC: deployments/status
    namespace: str
    name: str
    code: int
    dry_run: bool
    forbidden: bool  # by RBAC; admission (a quota, a namespace that goes away) answers 403 too, and is not meant
    at: str  # when it began

    @property
    def writes(self) -> bool:
        return self.verb in WRITES and not self.dry_run


#: An entry has no bodies, so it is shorter than this, in bytes.
_LONGEST = 64 * 1024


@dataclass(frozen=True, slots=True)
class AuditLog:
    """The log after `mark`."""

    cluster: Cluster
    user: str
    mark: int

    @classmethod
    def from_now(cls, cluster: Cluster, user: str) -> "AuditLog":
        """Requests of `user` that end after this call, and one that is being written."""
        with cluster.audit_log.open("rb") as log:
            end = log.seek(0, SEEK_END)
            begin = log.seek(max(end - _LONGEST, 0))
            return cls(cluster, user, begin + log.read(end - begin).rfind(b"\n") + 1)

    def requests(self) -> list[Request]:
        """All so far; a watch counts when it was answered first, and only once."""
        return list(self._read())

    def _read(self) -> Iterator[Request]:
        with self.cluster.audit_log.open("rb") as log:
            log.seek(self.mark)
            for line in log:
                if not line.endswith(b"\n"):
                    return  # being written
                entry = json.loads(line)
                if entry["user"]["username"] != self.user or "objectRef" not in entry:
                    continue
                verb = entry["verb"]
                if verb == "watch" and entry["stage"] != "ResponseStarted":
                    continue
                ref = entry["objectRef"]
                parts = (ref["resource"], ref.get("subresource"))
                yield Request(
                    verb=verb,
                    group=ref.get("apiGroup", ""),
                    resource="/".join(part for part in parts if part),
                    namespace=ref.get("namespace", ""),
                    name=ref.get("name", ""),
                    code=int((entry.get("responseStatus") or {}).get("code", 0)),
                    dry_run="dryRun" in parse_qs(urlsplit(entry["requestURI"]).query),
                    forbidden=(entry.get("annotations") or {}).get("authorization.k8s.io/decision") == "forbid",
                    at=entry["requestReceivedTimestamp"],
                )
