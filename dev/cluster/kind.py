"""The kind provider: for machines with a Docker engine.

Thin on purpose, and NOT tested where this project is built, since neither a Docker engine nor a node image can be had
there; everything after "the cluster is up" is shared with the local provider. Node tier only. It has no audit log and
no stoppable components, so tests that need those ask for the local provider.
"""

import shutil
import subprocess
from dataclasses import replace
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
    if (kubectl := shutil.which("kubectl")) is None:
        raise MissingRequirement("--provider kind needs `kubectl` on PATH")
    progress.step(f"creating kind cluster {_kind_name(name)}")
    work.mkdir(parents=True, mode=0o700)
    record = Record(name=name, tier=Tier.NODE, provider=ProviderName.KIND, server="")
    record.save(work)
    (work / "kubectl").symlink_to(kubectl)
    kubeconfig = work / "admin.kubeconfig"
    _kind("create", "cluster", "--name", _kind_name(name), "--kubeconfig", str(kubeconfig), "--wait", "120s")
    replace(record, ready=True).save(work)


def delete(name: str) -> None:
    """Delete the cluster. Raises ClusterError."""
    _kind("delete", "cluster", "--name", _kind_name(name))


def load_image(name: str, archive: Path) -> None:
    """Load an image archive into the nodes. Raises ClusterError."""
    _kind("load", "image-archive", str(archive), "--name", _kind_name(name))


def is_healthy(name: str) -> bool:
    """Whether kind still knows the cluster."""
    return _kind_name(name) in _kind("get", "clusters").split()


def host_ip() -> str:
    """The machine's address on kind's Docker network. Raises ClusterError."""
    template = "{{range .IPAM.Config}}{{.Gateway}} {{end}}"
    command = ["docker", "network", "inspect", "kind", "--format", template]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    addresses = [word for word in answer.stdout.split() if ":" not in word]
    if answer.returncode or not addresses:
        raise ClusterError(f"Docker's network `kind` has no IPv4 gateway: {answer.stderr.strip()}")
    return addresses[0]


def _kind_name(name: str) -> str:
    return f"crm-dev-{name}"


def _kind(*arguments: str) -> str:
    done = subprocess.run(["kind", *arguments], capture_output=True, text=True, timeout=TIMEOUT_SECONDS, check=False)
    if done.returncode:
        raise ClusterError(f"kind {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout
