"""Builds an image from a Dockerfile into an archive, unless nothing that goes into it has changed."""

import hashlib
import os
import re
import time
from collections.abc import Mapping
from pathlib import Path

from dev.cluster.config import cache_root
from dev.cluster.locks import exclusive
from dev.cluster.progress import PlainProgress, Progress
from dev.images import buildah
from dev.images.context import hash_context

KEPT_ARCHIVES = 3  # per tag: the newest, and those that a test running meanwhile may be loading


def build_image(
    dockerfile: Path,
    context: Path,
    tag: str,
    build_args: Mapping[str, str] | None = None,
    *,
    progress: Progress | None = None,
) -> Path:
    """Path of an OCI archive with the image `tag`, e.g. `localhost/crm-operator:dev`.

    Built once per content: Dockerfile, context (what .dockerignore lets through), arguments, and the base images that
    the arguments name. Raises MissingRequirement without root or packages, ClusterError with the builder's words.
    """
    progress = progress or PlainProgress()
    buildah.prepare(progress)
    build_args = dict(build_args or {})
    with exclusive(cache_root() / "locks" / "images.lock", progress, "building images"):
        archive = _archive(tag, _fingerprint(dockerfile, context, tag, build_args))
        if archive.exists():
            archive.touch()  # in use: not the first to be removed
            return archive
        began = time.monotonic()
        progress.step(f"building image {tag}")
        arguments = [word for key, value in sorted(build_args.items()) for word in ("--build-arg", f"{key}={value}")]
        # chroot: needs no capability that containers lack. layers: a change at the end does not repeat the beginning.
        buildah.run(
            *("bud", "--isolation", "chroot", "--layers", "--pull-never", *arguments),
            *("--tag", tag, "--file", dockerfile, context),
        )
        _push(tag, archive)
        progress.step(f"built image {tag} in {time.monotonic() - began:.0f} s")
    return archive


def _fingerprint(dockerfile: Path, context: Path, tag: str, build_args: Mapping[str, str]) -> str:
    arguments = [(key, value, buildah.image_id(value)) for key, value in sorted(build_args.items()) if "/" in value]
    plain = [(key, value) for key, value in sorted(build_args.items())]
    parts = (dockerfile.read_text(), hash_context(context), tag, arguments, plain)
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]


def _archive(tag: str, fingerprint: str) -> Path:
    return cache_root() / "images" / f"{_file_name(tag)}-{fingerprint}.tar"


def _file_name(tag: str) -> str:
    return re.sub(r"[^a-z0-9.]+", "_", tag.lower())


def _push(tag: str, archive: Path) -> None:
    archive.parent.mkdir(parents=True, exist_ok=True)
    draft = archive.with_suffix(f".{os.getpid()}.tmp")
    try:
        buildah.run("push", tag, f"oci-archive:{draft}:{tag}")
        draft.replace(archive)
    finally:
        draft.unlink(missing_ok=True)
    others = sorted(archive.parent.glob(f"{_file_name(tag)}-*.tar"), key=lambda path: path.stat().st_mtime)
    for old in others[:-KEPT_ARCHIVES]:
        old.unlink()
