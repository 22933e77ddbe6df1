"""Calls buildah with a store of its own in the cache: images of the machine's user are neither seen nor touched."""

import os
import subprocess
from pathlib import Path

from dev.cluster.config import cache_root, work_id
from dev.cluster.errors import ClusterError, MissingRequirement
from dev.cluster.filesystems import is_overlay
from dev.cluster.packages import IMAGES, ensure_packages
from dev.cluster.progress import Progress

# Mounts and counters that must not survive a reboot, so not in the cache.
RUN_ROOT = Path("/run")


def prepare(progress: Progress) -> None:
    """Make sure that images can be built. Raises MissingRequirement."""
    if os.geteuid() != 0:
        raise MissingRequirement("building images needs root; run as root, or build them elsewhere")
    ensure_packages(IMAGES, progress)


def run(*arguments: str | Path) -> str:
    """Output of `buildah ARGUMENTS`. Raises ClusterError with the end of its words if it fails."""
    done = _run(*arguments)
    if done.returncode:
        words = "\n".join((done.stdout + done.stderr).strip().splitlines()[-25:])
        raise ClusterError(f"buildah {arguments[0]} failed:\n{words}")
    return done.stdout.strip()


def image_id(name: str) -> str | None:
    """Id of an image in the store; None when it is not there."""
    done = _run("inspect", "--type", "image", "--format", "{{.FromImageID}}", name)
    return done.stdout.strip() or None if done.returncode == 0 else None


def label(name: str, key: str) -> str | None:
    """A label of an image in the store; None when image or label is not there."""
    template = f'{{{{index .OCIv1.Config.Labels "{key}"}}}}'
    done = _run("inspect", "--type", "image", "--format", template, name)
    return done.stdout.strip() or None if done.returncode == 0 else None


def _run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    root = cache_root() / "buildah"
    root.mkdir(parents=True, exist_ok=True)
    driver = "vfs" if is_overlay(root) else "overlay"
    store = ["--root", str(root), "--runroot", str(RUN_ROOT / f"crm-dev-{work_id(root)}"), "--storage-driver", driver]
    return subprocess.run(
        ["buildah", *store, *map(str, arguments)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
