"""Percentiles, tables and the line that says where a series comes from: what all reports are made of."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from bench.records import Series


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """Five numbers of a sample."""

    n: int
    min: float
    p50: float
    p95: float
    max: float


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest value that at least `percent` % of the values do not exceed (nearest rank): a value that occurred.

    Of 20 values, p95 is the second largest. Raises ValueError for no values or a percent outside 0 to 100.
    """
    if not values or not 0 <= percent <= 100:
        raise ValueError(f"no percentile {percent:g} of {len(values)} values")
    rank = math.ceil(len(values) * percent / 100)
    return sorted(values)[max(rank, 1) - 1]


def summary(values: Sequence[float]) -> Summary:
    """Raises ValueError for no values."""
    return Summary(
        n=len(values),
        min=percentile(values, 0),
        p50=percentile(values, 50),
        p95=percentile(values, 95),
        max=percentile(values, 100),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Aim:
    """What a figure should stay below."""

    p50: float | None = None
    p95: float | None = None

    def met(self, found: Summary) -> bool:
        """Whether both are below."""
        return (self.p50 is None or found.p50 < self.p50) and (self.p95 is None or found.p95 < self.p95)

    def shown(self) -> str:
        parts = (("p50", self.p50), ("p95", self.p95))
        return ", ".join(f"{name} < {value:g} s" for name, value in parts if value is not None)


def numbers(found: Summary) -> list[str]:
    """Cells of a table: how many, and the seconds min, p50, p95, max."""
    return [f"{found.n}", *(f"{value:.2f}" for value in (found.min, found.p50, found.p95, found.max))]


def verdict(aim: Aim | None, found: Summary) -> list[str]:
    """Cells of a table: the aim, and whether it is met."""
    return ["", ""] if aim is None else [aim.shown(), "met" if aim.met(found) else "**missed**"]


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def where(file: str, series: Series) -> str:
    """What was run where and when: the line under a table. `file` without its ending."""
    header: dict[str, Any] = series.header
    machine = header["machine"]
    loads = summary([run["load1"] for run in series.runs])
    memory = round(machine["memory_mib"] / 1024)
    return (
        f"Raw data: `bench/results/{file}.jsonl`. {header['at'][:10]}, commit {header['revision']}, "
        f"seed {header['seed']}; {machine['cores']} cores, {memory} GiB, "
        f"Linux {machine['kernel']}, Python {machine['python']}, Kubernetes {machine['kubernetes']}; "
        f"load average {loads.min:g} to {loads.max:g}, median {loads.p50:g}{_pressure(series)}."
    )


def _pressure(series: Series) -> str:
    """How short of CPU the machine was, and whether the benchmark had precedence."""
    values = [run["cpu_pressure"] for run in series.runs if run.get("cpu_pressure") is not None]
    said = f"; somebody waited for a CPU {summary(values).p50:.0f} % of the time (median)" if values else ""
    nice = series.header["machine"].get("nice", 0)
    return said + (f"; cluster, operator and load had precedence over others' work (nice {nice})" if nice < 0 else "")
