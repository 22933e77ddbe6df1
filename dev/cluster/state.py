"""The record of a cluster: what was started and where, so that a later command finds it and cleans up after it.

Written before anything is started. A record that cannot be read counts as none: the work folder is then made anew.
"""

import json
from dataclasses import dataclass
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any, Self

from dev.cluster.components import write_json
from dev.cluster.config import ProviderName, Tier, clusters_root

VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What is known of a cluster without asking it."""

    name: str
    tier: Tier
    provider: ProviderName
    server: str  # URL of the API server; "" when the provider keeps it elsewhere (kind)
    port: int | None = None  # reserved loopback port; None for a tier with its own network
    block: IPv4Network | None = None  # reserved addresses; None for a tier without a network of its own
    ready: bool = False  # whether it was once seen to be complete

    def save(self, work: Path) -> None:
        """Write it into the cluster's work folder."""
        data = {
            "version": VERSION,
            "name": self.name,
            "tier": self.tier,
            "provider": self.provider,
            "server": self.server,
            "port": self.port,
            "block": str(self.block) if self.block else None,
            "ready": self.ready,
        }
        write_json(work / "cluster.json", data)

    @classmethod
    def load(cls, work: Path) -> Self | None:
        """Read it from a work folder; None when there is none of a form that this version knows."""
        try:
            data: dict[str, Any] = json.loads((work / "cluster.json").read_text())
            if data["version"] != VERSION:
                return None
            return cls(
                name=data["name"],
                tier=Tier(data["tier"]),
                provider=ProviderName(data["provider"]),
                server=data["server"],
                port=data["port"],
                block=IPv4Network(data["block"]) if data["block"] else None,
                ready=data["ready"],
            )
        except (FileNotFoundError, NotADirectoryError, ValueError, LookupError, TypeError):
            return None


def all_records() -> list[Record]:
    """Records of all clusters of this user, running or not."""
    root = clusters_root()
    folders = sorted(root.iterdir()) if root.is_dir() else []
    return [record for folder in folders if (record := Record.load(folder))]
