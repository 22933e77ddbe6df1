"""The kind provider: for machines with a Docker engine. Thin on purpose, and NOT tested where this project is built, since no
Docker engine and no node image can be had there; everything after "the cluster is up" is shared with the local provider.

Node tier only. It has no audit log and no stoppable components, so tests that need those ask for the local provider.
"""

import shutil
import subprocess
from pathlib import Path

from dev.cluster.config import ProviderName, Tier
from dev.cluster.errors import ClusterError, MissingRequirement
from dev.cluster.progress import Progress
from dev.cluster.state import Record

TIMEOUT_SECONDS = 600


def choose(wanted: ProviderName, tier: Tier) -> ProviderName:
    """Which provider to use. `auto` is kind for a node tier where Docker answers and kind is installed, else local.

    Raises MissingRequirement if kind is asked for and cannot be used.
    """
    if wanted is ProviderName.LOCAL or (wanted is ProviderName.AUTO and tier is Tier.API):
        return ProviderName.LOCAL
    if wanted is ProviderName.KIND and tier is Tier.API:
        raise MissingRequirement("kind has no api tier; use --provider local")
    if shutil.which("kind") and _docker_answers():
        return ProviderName.KIND
    if wanted is ProviderName.KIND:
        raise MissingRequirement("--provider kind needs `kind` on PATH and a Docker engine that answers `docker info`")
    return ProviderName.LOCAL


def _docker_answers() -> bool:
    if shutil.which("docker") is None:
        return False
    try:
        return subprocess.run(["docker", "info"], capture_output=True, timeout=10, check=False).returncode == 0
    except subprocess.TimeoutExpired:
        return False


def start(name: str, work: Path, progress: Progress) -> None:
    """Create the cluster and write its kubeconfig into the work folder. Raises ClusterError."""
    progress.step(f"creating kind cluster {_kind_name(name)}")
    work.mkdir(parents=True, mode=0o700)
    record = Record(name=name, tier=Tier.NODE, provider=ProviderName.KIND, server="")
    record.save(work)
    kubeconfig = work / "admin.kubeconfig"
    _kind("create", "cluster", "--name", _kind_name(name), "--kubeconfig", str(kubeconfig), "--wait", "120s")
    Record(name=name, tier=Tier.NODE, provider=ProviderName.KIND, server="", ready=True).save(work)


def delete(name: str) -> None:
    """Delete the cluster. Raises ClusterError."""
    _kind("delete", "cluster", "--name", _kind_name(name))


def load_image(name: str, archive: Path) -> None:
    """Load an image archive into the nodes. Raises ClusterError."""
    _kind("load", "image-archive", str(archive), "--name", _kind_name(name))


def is_healthy(name: str) -> bool:
    """Whether kind still knows the cluster."""
    return _kind_name(name) in _kind("get", "clusters").split()


def _kind_name(name: str) -> str:
    return f"crm-dev-{name}"


def _kind(*arguments: str) -> str:
    done = subprocess.run(["kind", *arguments], capture_output=True, text=True, timeout=TIMEOUT_SECONDS, check=False)
    if done.returncode:
        raise ClusterError(f"kind {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout
