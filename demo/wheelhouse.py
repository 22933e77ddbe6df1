"""Prepares the folders of wheels that the images are built from, so that building them needs no network.

    python -m demo.wheelhouse        # dist/wheels for the operator, dist/demo-wheels for the demo application

Third-party wheels come from the locked requirements, by hash; the operator's own is built from this tree. Both are
made again only when what they are made from has changed. Needs pip and hatchling in the environment that runs it.
"""

import hashlib
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]

#: The images' Python: that of Debian 12 and of the default base image, not that of whoever runs this.
PYTHON = "3.11"
#: Newest C library first; Debian 12 has glibc 2.36.
MANYLINUX = ("manylinux_2_36", "manylinux_2_34", "manylinux_2_31", "manylinux_2_28", "manylinux_2_17", "manylinux2014")
#: A machine's names, and the one that wheels use.
ARCHITECTURES = {"x86_64": "x86_64", "amd64": "x86_64", "aarch64": "aarch64", "arm64": "aarch64"}


class WheelhouseError(Exception):
    """The wheels could not be had; the message ends with pip's own words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wheelhouse:
    """A folder with `deps/` (third-party wheels) and, if `project` names sources, `own/` (our wheel)."""

    folder: Path
    requirements: Path
    project: tuple[Path, ...] = ()


OPERATOR = Wheelhouse(
    folder=REPOSITORY / "dist/wheels",
    requirements=REPOSITORY / "requirements/runtime.txt",
    project=tuple(REPOSITORY / name for name in ("pyproject.toml", "README.md", "LICENSE", "operator/crm_operator")),
)
DEMO = Wheelhouse(folder=REPOSITORY / "dist/demo-wheels", requirements=REPOSITORY / "demo/requirements.txt")


def prepare(house: Wheelhouse, *, machine: str = "") -> bool:
    """Fill the folder for `machine` (default: this one). Returns whether anything had to be done."""
    name = machine or platform.machine().lower()
    if name not in ARCHITECTURES:
        raise WheelhouseError(f"no wheels are known for machine {name!r}; known: {', '.join(ARCHITECTURES)}")
    house.folder.mkdir(parents=True, exist_ok=True)
    changed = False
    with _renewed(house.folder / "deps", _digest([house.requirements], ARCHITECTURES[name])) as folder:
        if folder:
            _download(house.requirements, folder, ARCHITECTURES[name])
            changed = True
    if house.project:
        with _renewed(house.folder / "own", _digest(house.project)) as folder:
            if folder:
                _build(folder)
                changed = True
    return changed


@contextmanager
def _renewed(folder: Path, digest: str) -> Iterator[Path | None]:
    """An empty folder to fill if the one there was made from something else, or else None."""
    stamp = folder.with_suffix(".sha256")
    if folder.is_dir() and stamp.is_file() and stamp.read_text() == digest:
        yield None
        return
    # The stamp goes first and comes last: a run that was killed leaves no folder that looks finished.
    stamp.unlink(missing_ok=True)
    if folder.is_dir():
        shutil.rmtree(folder)
    folder.mkdir()
    yield folder
    stamp.write_text(digest)


def _digest(inputs: Iterable[Path], *more: str) -> str:
    digest = hashlib.sha256(repr((PYTHON, MANYLINUX, more)).encode())
    for path in inputs:
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.is_file() and "__pycache__" not in file.parts:
                digest.update(f"{file.relative_to(REPOSITORY)}\0".encode())
                digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()


def _download(requirements: Path, folder: Path, architecture: str) -> None:
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.writelines(_without_markers(requirements.read_text().splitlines(keepends=True)))
        file.flush()
        _pip(
            *("download", "--require-hashes", "--no-deps", "--only-binary=:all:", "--requirement", file.name),
            *("--dest", str(folder), "--python-version", PYTHON, "--implementation", "cp"),
            *("--abi", f"cp{PYTHON.replace('.', '')}", "--abi", "abi3", "--abi", "none"),
            *(word for name in MANYLINUX for word in ("--platform", f"{name}_{architecture}")),
        )


def _without_markers(lines: Iterable[str]) -> Iterator[str]:
    """Requirements for every environment.

    pip judges markers by the Python that runs it, not by the image's: with 3.11.7 here it would leave out what
    Debian's 3.11.2 needs. A wheel too many in the folder does no harm, the image's own pip takes what it needs.
    """
    for line in lines:
        requirement, marker, rest = line.partition(" ; ")
        continued = " \\" if rest.rstrip().endswith("\\") else ""
        yield f"{requirement}{continued}\n" if marker else line


def _build(folder: Path) -> None:
    _pip("wheel", "--no-deps", "--no-index", "--no-build-isolation", "--wheel-dir", str(folder), str(REPOSITORY))


def _pip(*arguments: str) -> None:
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise WheelhouseError(f"pip {arguments[0]} failed:\n{(done.stderr or done.stdout).strip()}")


def main() -> None:
    for house in (OPERATOR, DEMO):
        state = "filled" if prepare(house) else "up to date"
        print(f"{house.folder.relative_to(REPOSITORY)}: {state}", flush=True)


if __name__ == "__main__":
    main()
