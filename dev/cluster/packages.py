"""Debian packages that a tier needs: found by the file each brings, installed when missing and we are root."""

import os
import shutil
import subprocess
from pathlib import Path

from dev.cluster.config import cache_root
from dev.cluster.errors import MissingRequirement
from dev.cluster.locks import exclusive
from dev.cluster.progress import Progress

# Package: what it brings. A name without a slash is looked up on PATH.
NODE = {
    "containerd": "containerd",
    "runc": "runc",
    "containernetworking-plugins": "/usr/lib/cni/ptp",
    "iptables": "iptables",
    "iproute2": "ip",
    "util-linux": "nsenter",
}
IMAGES = {
    "buildah": "buildah",
    "mmdebstrap": "mmdebstrap",
    "golang-github-containers-common": "/etc/containers/policy.json",
}


def ensure_packages(wanted: dict[str, str], progress: Progress) -> None:
    """Install what is missing of `wanted` (package: what it brings). Raises MissingRequirement if it cannot."""
    if not missing_packages(wanted):
        return
    with exclusive(cache_root() / "locks" / "apt.lock", progress, "installing Debian packages"):
        missing = missing_packages(wanted)
        remedy = f"install them: apt-get install {' '.join(missing)}"
        if os.geteuid() != 0 or shutil.which("apt-get") is None:
            raise MissingRequirement(f"these packages are needed and missing: {', '.join(missing)}; {remedy}")
        progress.step(f"installing Debian packages: {', '.join(missing)}")
        _apt("update", remedy=remedy)
        _apt("install", "--yes", "--no-install-recommends", *missing, remedy=remedy)
        if still := missing_packages(wanted):
            raise MissingRequirement(f"installed, but what they should bring is not there: {', '.join(still)}")


def missing_packages(wanted: dict[str, str]) -> list[str]:
    """The packages whose file or command is not there."""
    return [package for package, brings in wanted.items() if not _present(brings)]


def _present(brings: str) -> bool:
    if brings.startswith("/"):
        return Path(brings).exists()
    # Users' PATH often lacks the sbin folders.
    return shutil.which(brings, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin") is not None


def _apt(*arguments: str, remedy: str) -> None:
    done = subprocess.run(
        ["apt-get", "-o", "DPkg::Lock::Timeout=300", *arguments],
        env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise MissingRequirement(f"apt-get {arguments[0]} failed; {remedy}\n{done.stderr.strip()}")
