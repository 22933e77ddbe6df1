"""Base images made from Debian packages, for machines that can reach a package mirror but no image registry.

One root file system serves both: the Redis image is the Python base with another entry point, so a node that has one
has nearly all of the other.
"""

import hashlib
import subprocess
import tempfile
import time
from pathlib import Path

from dev.cluster.config import cache_root
from dev.cluster.errors import ClusterError
from dev.cluster.locks import exclusive
from dev.cluster.progress import PlainProgress, Progress
from dev.images import buildah
from dev.images.builder import build_image

PYTHON_BASE = "localhost/crm-dev/python-base:bookworm"
REDIS = "localhost/crm-dev/redis:dev"
RELEASE = "bookworm"
PACKAGES = ("python3", "python3-venv", "ca-certificates", "redis-server")
FINGERPRINT_LABEL = "crm-dev.fingerprint"
# A third of the size, and nobody reads manuals in there.
LEFT_OUT = ("/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*", "/usr/share/info/*")

BASE_DOCKERFILE = f"""FROM scratch
ADD rootfs.tar /
LABEL {FINGERPRINT_LABEL}="%s"
ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
CMD ["python3"]
"""
REDIS_DOCKERFILE = """ARG BASE
FROM ${BASE}
USER 65532:65532
WORKDIR /tmp
EXPOSE 6379
ENTRYPOINT ["redis-server"]
CMD ["--bind", "0.0.0.0", "--protected-mode", "no", "--save", "", "--appendonly", "no", "--dir", "/tmp"]
"""


def python_base(*, progress: Progress | None = None) -> str:
    """Name of the base image, which is made first if it is not there: Debian with Python 3.11, venv and redis-server.

    For `build_args`: `{"BASE": python_base()}`. Raises MissingRequirement, ClusterError.
    """
    progress = progress or PlainProgress()
    buildah.prepare(progress)
    fingerprint = hashlib.sha256(repr((RELEASE, PACKAGES, LEFT_OUT, BASE_DOCKERFILE)).encode()).hexdigest()[:16]
    with exclusive(cache_root() / "locks" / "base-image.lock", progress, "making the base image"):
        if buildah.label(PYTHON_BASE, FINGERPRINT_LABEL) != fingerprint:
            began = time.monotonic()
            progress.step(f"making the base image {PYTHON_BASE} from Debian packages")
            _make_base(fingerprint)
            progress.step(f"made the base image in {time.monotonic() - began:.0f} s")
    return PYTHON_BASE


def redis_image(*, progress: Progress | None = None) -> Path:
    """Archive of `localhost/crm-dev/redis:dev`: non-root, no persistence, port 6379. Raises as build_image does."""
    base = python_base(progress=progress)
    with tempfile.TemporaryDirectory() as folder:
        dockerfile = Path(folder, "Dockerfile")
        dockerfile.write_text(REDIS_DOCKERFILE)
        return build_image(dockerfile, Path(folder), REDIS, {"BASE": base}, progress=progress)


def _make_base(fingerprint: str) -> None:
    cache_root().mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache_root()) as folder:
        made = subprocess.run(
            [
                *("mmdebstrap", "--variant=minbase", f"--include={','.join(PACKAGES)}"),
                *(f"--dpkgopt=path-exclude={pattern}" for pattern in LEFT_OUT),
                *(RELEASE, f"{folder}/rootfs.tar"),
            ],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if made.returncode:
            raise ClusterError("mmdebstrap failed:\n" + "\n".join(made.stderr.strip().splitlines()[-25:]))
        Path(folder, "Dockerfile").write_text(BASE_DOCKERFILE % fingerprint)
        buildah.run("bud", "--isolation", "chroot", "--tag", PYTHON_BASE, folder)
