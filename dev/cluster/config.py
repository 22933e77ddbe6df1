"""What the launcher is told and where it keeps things: names, tiers, folders, deadlines.

Everything on disk lives outside the repository: binaries and images in the cache (shared by all clusters, safe to
delete when none runs), one folder per cluster in the state directory (0700: it holds private keys).
"""

import os
import re
from enum import StrEnum
from hashlib import sha256
from pathlib import Path

from dev.cluster.errors import ClusterError

DEFAULT_NAME = "crm"
# Long enough for a loaded CI machine; a component that has ended is noticed at once, not after this time.
READY_WITHIN_SECONDS = 90.0
# Unix socket addresses end at 107 bytes; this is the longest that is made in a work folder (by containerd itself).
LONGEST_WORK_PATH = 107 - len("/containerd.sock.ttrpc")


class Tier(StrEnum):
    """How much of a cluster is wanted."""

    API = "api"  # etcd, API server, controllers, scheduler and fake nodes; no root needed
    NODE = "node"  # the same control plane and one real node that runs containers; needs root


class ProviderName(StrEnum):
    """Who brings the cluster up."""

    AUTO = "auto"  # kind where a Docker engine answers and kind is installed, else local
    KIND = "kind"
    LOCAL = "local"


def cache_root() -> Path:
    """Folder of binaries, base images and build caches: $CRM_DEV_CACHE, else $XDG_CACHE_HOME, else ~/.cache."""
    return _below("CRM_DEV_CACHE", "XDG_CACHE_HOME", ".cache")


def state_root() -> Path:
    """Folder of running clusters: $CRM_DEV_STATE, else $XDG_STATE_HOME, else ~/.local/state."""
    return _below("CRM_DEV_STATE", "XDG_STATE_HOME", ".local/state")


def _below(own: str, xdg: str, fallback: str) -> Path:
    base = os.environ.get(own) or os.environ.get(xdg) or str(Path.home() / fallback)
    return Path(base).absolute() / "crm-operator"


def clusters_root() -> Path:
    """Folder that holds one folder per cluster."""
    return state_root() / "clusters"


def work_folder(name: str) -> Path:
    """Where the cluster called `name` keeps everything. Raises ClusterError for a name that cannot be used."""
    if not re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,28}[a-z0-9])?", name):
        raise ClusterError(f"cluster name {name!r} is not a DNS label of at most 30 characters (a-z, 0-9, -)")
    work = clusters_root() / name
    if len(str(work)) > LONGEST_WORK_PATH:
        raise ClusterError(
            f"{work} is too long for Unix sockets ({len(str(work))} > {LONGEST_WORK_PATH} characters); "
            "set CRM_DEV_STATE to a shorter folder"
        )
    return work


def work_id(work: Path) -> str:
    """Eight hex digits for what a cluster owns outside its work folder: its interface and its cgroups.

    Two users, or two state folders, can have a cluster of the same name, so the name alone would not do.
    """
    return sha256(str(work).encode()).hexdigest()[:8]
