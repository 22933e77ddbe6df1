"""Programs from Debian packages that are unpacked into the cache, not installed: neither root nor a clean-up is needed.

For servers that only tests start. What the packages depend on is not followed: name every package that has to be there
beyond a minimal Debian.
"""

import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Collection
from pathlib import Path

from dev.cluster.config import cache_root
from dev.cluster.errors import MissingRequirement
from dev.cluster.locks import exclusive
from dev.cluster.progress import Progress


def unpacked(name: str, packages: Collection[str], progress: Progress) -> Path:
    """Folder that holds what `packages` would bring to `/`, fetched first if it is not in the cache.

    A release of Debian and a set of packages have a folder of their own; security updates come with a new cache.
    Raises MissingRequirement if the packages cannot be had.
    """
    fingerprint = hashlib.sha256(f"{_release()} {sorted(packages)}".encode()).hexdigest()[:16]
    folder = cache_root() / "unpacked" / f"{name}-{fingerprint}"
    if folder.exists():
        return folder
    with exclusive(cache_root() / "locks" / f"unpacked-{name}.lock", progress, f"unpacking {name}"):
        if not folder.exists():
            progress.step(f"fetching the Debian packages of {name}")
            folder.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{name}.") as draft:
                _fetch(packages, Path(draft, "packages"))
                for package in sorted(Path(draft, "packages").glob("*.deb")):
                    _run("dpkg-deb", "--extract", str(package), f"{draft}/root")
                Path(draft, "root").rename(folder)
    return folder


def _fetch(packages: Collection[str], into: Path) -> None:
    if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        raise MissingRequirement(f"Debian's {', '.join(sorted(packages))} are needed, and there is no apt-get here")
    into.mkdir()
    download = ("apt-get", "download", *sorted(packages))
    try:
        _run(*download, cwd=into)
    except MissingRequirement:
        if os.geteuid() != 0:
            raise
        # A fresh container has no lists of packages, and an old list names packages that are gone.
        _run("apt-get", "update")
        _run(*download, cwd=into)


def _run(*command: str, cwd: Path | None = None) -> None:
    done = subprocess.run(command, cwd=cwd, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode:
        words = done.stderr.strip()[-1000:]
        raise MissingRequirement(f"{' '.join(command[:2])} failed; run apt-get update as root and try again\n{words}")


def _release() -> str:
    """Codename and architecture, e.g. `bookworm x86_64`."""
    lines = Path("/etc/os-release").read_text().splitlines()
    codename = next((line.partition("=")[2] for line in lines if line.startswith("VERSION_CODENAME=")), "unknown")
    return f"{codename} {os.uname().machine}"
