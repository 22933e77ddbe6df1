"""Raw data: one JSON line that says where and how, then one line per run. What reports are made from, and nothing else.

Reports never see more than this file, so whoever doubts a figure can compute it again.
"""

import asyncio
import json
import os
import platform
import subprocess
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

Json = dict[str, Any]

REPOSITORY = Path(__file__).resolve().parents[1]
RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True, slots=True)
class Series:
    """One file: what was run where, and its runs in order."""

    header: Json
    runs: tuple[Json, ...]


class Writer:
    """Writes a series line by line, so that a run that is interrupted keeps what it has."""

    def __init__(self, path: Path, header: Json) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._path.write_text(_line({"kind": "header", **header}))
        self._runs = 0

    def run(self, **values: Any) -> Json:
        """Append one run, with its number, the time and the machine's load as it ends."""
        self._runs += 1
        machine = {"load1": round(os.getloadavg()[0], 2), "cpu_pressure": cpu_pressure()}
        record = {"kind": "run", "run": self._runs, "at": _now(), **machine, **values}
        with self._path.open("a") as file:
            file.write(_line(record))
        return record


def read(path: Path) -> Series:
    """The series in a file. Raises ValueError for a file without a header."""
    header, *runs = [json.loads(line) for line in path.read_text().splitlines() if line]
    if header.get("kind") != "header":
        raise ValueError(f"{path} does not begin with a header line")
    return Series(header, tuple(runs))


def header(name: str, *, kubernetes: str, seed: int, settings: Json) -> Json:
    """The first line of a series."""
    return {
        "bench": name,
        "at": _now(),
        "revision": _revision(),
        "seed": seed,
        "machine": {
            "cores": os.cpu_count(),
            "memory_mib": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20,
            "kernel": platform.release(),
            "python": platform.python_version(),
            "kubernetes": kubernetes,
            "nice": os.nice(0),
        },
        "settings": settings,
    }


async def wait_for_quiet(limit: float, patience_seconds: float) -> float:
    """Wait until the load average of one minute is below `limit`, but no longer than this; returns the load."""
    deadline = time.monotonic() + patience_seconds
    while (load := os.getloadavg()[0]) >= limit and time.monotonic() < deadline:  # noqa: ASYNC110  # nobody tells
        await asyncio.sleep(1)
    return load


def cpu_pressure() -> float | None:
    """Percent of the last ten seconds in which a process waited for a CPU; None where the kernel does not say."""
    try:
        some = Path("/proc/pressure/cpu").read_text().splitlines()[0]
    except OSError:
        return None
    return float(some.split("avg10=")[1].split()[0])


def _revision() -> str:
    """The commit of the tree, with a `+` when the operator's sources differ from it; `unknown` outside git."""
    try:
        commit = _git("rev-parse", "--short", "HEAD")
        changed = _git("status", "--porcelain", "--", "operator/crm_operator")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return commit + ("+" if changed else "")


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _line(record: Json) -> str:
    return json.dumps(record, separators=(",", ":")) + "\n"
