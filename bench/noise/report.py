"""The section of docs/benchmarks.md on false rollbacks by chance. Text only."""

from pathlib import Path

from bench.figures import table, where
from bench.noise.judge import JOBS_PER_SECOND, LIMIT, PODS, WINDOW
from bench.records import Series, read

_METHOD = f"""## Noise

`python -m bench noise`, in virtual time: a healthy canary, one of {PODS} pods with {JOBS_PER_SECOND:g} jobs/s in all,
is on trial for days. All pods fail alike and by chance (a Poisson process), on average a share of the limit in each
window: the guard is the runbook's, more than {LIMIT} errors in {WINDOW / 60:g} minutes. Whenever the canary's errors
cross it, the operator's own code, from scrapes to blame, judges each second. A rollback is a verdict that blames the
release; the canary then goes on as if nothing had been. The aim is none at 80 %.
"""


def section(results: Path) -> str | None:
    """None without raw data."""
    path = results / "noise.jsonl"
    if not path.exists():
        return None
    series = read(path)
    return f"{_METHOD}\n{noise_table(series)}\n\n{where('noise', series)}\n"


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
