"""The section of docs/benchmarks.md on outages. Arithmetic and text only."""

from collections.abc import Sequence
from pathlib import Path

from bench.figures import table, where
from bench.outages.faults import FAULTS, READABLE
from bench.outages.judge import FRESH
from bench.outages.stage import BAKE, HOLD, LIMIT, OUTAGE, WEIGHT, WINDOW, WORKERS
from bench.outages.workers import FAILING, JOBS_PER_SECOND
from bench.records import Json, Series, read

_METHOD = f"""## Outages beside a healthy release

`python -m bench outages`: the real operator on a real API server, fake nodes, and {WORKERS} workers that are HTTP
servers: each tells of {JOBS_PER_SECOND:g} jobs a second and few errors. A healthy version is shipped: {WEIGHT} % for
{HOLD:g} s, and then a bake of {BAKE:g} s. The guard is critical above {LIMIT} errors in {WINDOW:g} s.

**Of the metrics**: for {OUTAGE:g} s the pages of all, some or half of the workers do what the first column says, from
before the canary, in its hold, at the promotion or in the bake on (random within each). The worker itself goes on well.
A step was ended *blind* when, of the new version's workers, fewer than nine in ten had a page that could be read in the
{FRESH:g} s before, for which a reading counts. Faults marked ° can be read, and are wrong, or right in turn: there
only a rollback is the operator's fault. A worker that hung is asked every 10 s at least, so its rollout ends later.
"""

_PROVIDER = f"""**Of the provider**: one outage of {OUTAGE:g} s, in which {FAILING:.0%} of all jobs fail, whatever the
version. It meets releases that were shipped at random times before it. Another integration of the provider, without a
release, fails too. Every other release has `onCritical.pause`; a person lifts its pause when the outage is over.
"Stable" is a release that had not begun yet, or was over.
"""

_PEERS = """Measured earlier, another set-up (the metrics of a healthy release fail with 500 or hang; interval 10 s):
Argo Rollouts 1.9.1 rolled back 24 of 24, after 46 to 97 s (medians), Flagger 1.44.0 12 of 12, after 15 s.
"""


def section(results: Path) -> str | None:
    """None without raw data."""
    path = results / "outages.jsonl"
    if not path.exists():
        return None
    series = read(path)
    return f"{_METHOD}\n{tables(series)}\n\n{where('outages', series)}\n\n{_PEERS}"


def tables(series: Series) -> str:
    """Of the metrics, then of the provider."""
    of_metrics, of_provider = ([run for run in series.runs if run["part"] == part] for part in ("metrics", "provider"))
    return f"{_metrics_table(of_metrics)}\n\n{_PROVIDER}\n{_provider_table(of_provider)}"


def _metrics_table(runs: Sequence[Json]) -> str:
    rows = []
    for fault in FAULTS:
        of_it = [run for run in runs if run["fault"] == fault]
        if of_it:
            rows.append([fault + ("°" if fault in READABLE else ""), *_counts(of_it), _when(of_it)])
    rows.append(["all", *_counts(runs), ""])
    return table(("the page", "plans", "rolled back", "ended blind", "completed", "at most after", "when"), rows)


def _counts(runs: Sequence[Json]) -> list[str]:
    done = [run for run in runs if run["end"] == "Completed"]
    return [
        f"{len(runs)}",
        f"{sum(run['rolled_back'] for run in runs)}",
        f"{sum(bool(run['blind']) for run in runs if run['fault'] not in READABLE)}",
        f"{len(done)}",
        f"{max((run['end_after_s'] for run in done), default=0):.0f} s",
    ]


def _when(runs: Sequence[Json]) -> str:
    return "; ".join(f"{run['when']} ({run['whose']})" for run in sorted(runs, key=lambda run: run["plan"]))


def _provider_table(runs: Sequence[Json]) -> str:
    rows = [
        [
            f"{run['phase']}",
            f"{run['lead_s']:.1f} s",
            "yes" if run["pause"] else "no",
            "yes" if run["rolled_back"] else "no",
            ", ".join(run["blamed"]) or "nobody",
            "yes" if run["paused"] else "no",
            f"{run['end']}, {run['end_after_s']:.0f} s after",
        ]
        for run in sorted(runs, key=lambda run: run["lead_s"])
    ]
    head = ("met in", "after", "`onCritical.pause`", "rolled back", "to blame", "SyncPause made", "end")
    return table(head, rows)
