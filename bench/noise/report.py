"""The section of docs/benchmarks.md on false rollbacks by chance. Text only."""

from pathlib import Path

from bench.figures import percentile, table, where
from bench.noise.bake import BAKE, WATCHED, WORSE
from bench.noise.judge import JOBS_PER_SECOND, LIMIT, PODS, WINDOW
from bench.records import Series, read

_METHOD = f"""## Noise

`python -m bench noise`, in virtual time: a healthy canary, one of {PODS} pods with {JOBS_PER_SECOND:g} jobs/s in all,
is on trial for days. All pods fail alike and by chance (a Poisson process), on average a share of the limit in each
window: the guard is the runbook's, more than {LIMIT} errors in {WINDOW / 60:g} minutes. Whenever the canary's errors
cross it, the operator's own code, from scrapes to blame, judges each second. A rollback is a verdict that blames the
release; the canary then goes on as if nothing had been. The aim is none at 80 %.
"""


_BAKE_METHOD = f"""### In the bake

`python -m bench noise --bake`: all {PODS} pods together make a share of the limit on average, for an hour at the old
version and then for a bake of {BAKE / 60:g} minutes at a new one that is as good. No stable version is left to compare
with. The guard is the runbook's, which warns at the first error. Each bake is judged twice: without and with what the
operator remembers of that hour (`status.rollout.baseline`). *In time* is one that ended {WINDOW / 60:g} minutes, a
window of the guard, after its time at most; each is watched for {WATCHED / 60:g} minutes. A tenth as many releases are
bad: they fail {WORSE:g} times as often as the old version, and are to be rolled back, or held by the warning where they
stay below the limit; the seconds count from the bake's beginning, and hold those that the limit itself takes.
"""


def section(results: Path) -> str | None:
    """None without raw data."""
    parts = (("noise", _METHOD, noise_table), ("noise-bake", _BAKE_METHOD, bake_table))
    found = [
        f"{method}\n{made(series)}\n\n{where(name, series)}\n"
        for name, method, made in parts
        if (series := _series(results, name)) is not None
    ]
    return "\n".join(found) or None


def _series(results: Path, name: str) -> Series | None:
    path = results / f"{name}.jsonl"
    return read(path) if path.exists() else None


def noise_table(series: Series) -> str:
    """One row for each share of the limit."""
    head = ("of the limit", "days", "times over the limit", "looks meanwhile", "that blame the provider", "nobody")
    rows = [
        [
            f"{run['share']:.0%}",
            f"{run['days']:g}",
            *(str(run[name]) for name in ("crossings", "judged", "provider", "undecided", "rollbacks")),
        ]
        for run in sorted(series.runs, key=lambda run: run["share"])
    ]
    return table([*head, "rollbacks"], rows)


def bake_table(series: Series) -> str:
    """One row for each share of the limit."""
    head = (
        "of the limit",
        "healthy bakes",
        "times over the limit",
        "rolled back without",
        "with the baseline",
        "ended in time",
    )
    rows = [
        [
            f"{run['share']:.0%}",
            *(str(run[name]) for name in ("bakes", "crossings", "rollbacks_without", "rollbacks", "in_time")),
            f"{run['bad_rolled_back']} of {run['bad']}",
            str(run["bad_ended"]),
            *(_seconds(run["bad_seconds"], percent) for percent in (50, 95)),
        ]
        for run in sorted(series.runs, key=lambda run: run["share"])
    ]
    return table([*head, "bad ones rolled back", "ended", "after, p50", "p95"], rows)


def _seconds(values: list[float], percent: float) -> str:
    return f"{percentile(values, percent):.0f} s" if values else "-"
