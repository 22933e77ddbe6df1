"""The section of docs/benchmarks.md on replayed traces. Arithmetic and text only."""

from collections.abc import Mapping
from pathlib import Path

from bench.figures import table, where
from bench.records import Json, Series, read
from bench.scaling.compared import comparison, runs_of
from bench.scaling.score import score
from bench.scaling.traces import CONCURRENCY, DRAIN_TARGET, JOB_SECONDS, MAX_REPLICAS, TRACES, trace

#: Of the images, beside the page.
IMAGES = "img"

_METHOD = f"""## Replayed loads

`python -m bench replay`: five loads of two to three minutes, the same jobs for each scaler (`bench/scaling`), on fake
nodes with real Dramatiq messages in a real Redis. Workers are fake and keep time exactly: each runs {CONCURRENCY} jobs
of {JOB_SECONDS * 1000:g} ms at once, through Dramatiq's own fetch and acknowledge. At most {MAX_REPLICAS} workers, at
least none. The operator is told `drainTarget: {DRAIN_TARGET:g}s`, the true `jobDuration` and, for the rate-limited
load, the true `rateLimit`; everything else is its default. `fixed-N` is a Deployment of N workers that nobody
scales: its size was chosen by who knew the loads, and it never waits for a pod. `hpa-N` is Kubernetes' own
HorizontalPodAutoscaler with its default behavior, on a cluster with its default interval of 15 s, told N jobs for each
worker and the jobs in the queue whenever it asks; it never goes below one worker. Between one worker and all this is
what KEDA uses, with 5 as its Redis scaler's default for N, and it is fed no slower here. `hpa-tuned-N` is the same at
its fastest: an interval of 3 s, which managed clusters do not offer, 100 pods at once, down after 15 s. What stands
behind the operator's name is another `spec.scaling`.

- **backlog-s**: jobs in the queue, running ones included, times seconds (sampled once a second). **replica-s**: pods
  that exist, Ready or not, times seconds. Both until the load's fixed end, which leaves time to scale down.
- **wait**: from sending a job to its beginning, within 0.1 s; a job that had not begun by the end waited until the end.
- **writes**: changes of `spec.replicas`. **requests**: of the operator to the API server, from the audit log, watches
  included. **CPU s**: of the operator's process; **RSS**: its highest.
- **refused**: requests beyond the provider's limit (HTTP 429); a refused job asks again after a second.

KEDA itself was **not** measured here: `bench/peers/keda` has what scores it with the same replayer.
"""

_HEAD = (
    *("load", "scaler", "backlog-s", "replica-s", "wait p50", "p95", "most workers", "writes"),
    *("requests", "CPU s", "RSS MiB", "not begun", "refused"),
)


def series_in(results: Path) -> dict[str, Series]:
    """All replays in a folder, by the scaler's label; the operator's first."""
    found = {path.stem.removeprefix("scaling-"): path for path in sorted(results.glob("scaling-*.jsonl"))}
    return {label: read(found[label]) for label in sorted(found, key=lambda label: (label != "operator", label))}


def section(results: Path) -> str:
    """Method, table, images and origin of all replays in the folder. Raises OSError when it cannot be read."""
    series = series_in(results)
    seeds = {found.header["seed"] for found in series.values()}
    shapes = "\n".join(
        f"- **{name}**: {load.what} ({load.jobs} jobs, {load.seconds:g} s)"
        for name in TRACES
        for load in (trace(name, seed=min(seeds, default=1)),)
    )
    images = "\n\n".join(f"![{name}]({IMAGES}/scaling-{name}.png)" for name in TRACES if runs_of(series, name))
    origins = "\n\n".join(f"{_origin(label, found)}{_beside(label, series)}" for label, found in series.items())
    parts = [f"{_METHOD}\n{shapes}", replay_table(series), comparison(series), images, origins]
    return "\n\n".join(part for part in parts if part) + "\n"


def replay_table(series: Mapping[str, Series]) -> str:
    """One row for each load and scaler."""
    names = list(dict.fromkeys(run["trace"] for found in series.values() for run in found.runs))
    names.sort(key=lambda name: TRACES.index(name) if name in TRACES else len(TRACES))
    return table(_HEAD, (_row(run) for name in names for run in runs_of(series, name)))


def _origin(label: str, found: Series) -> str:
    delay = found.header["settings"]["ready_after_s"]
    return f"{where(f'scaling-{label}', found)} Pods became Ready {delay:g} s after they were put on a node."


def _beside(label: str, series: Mapping[str, Series]) -> str:
    """Which others were replayed at the same time, and so shared the machine."""
    begin, end = _times(series[label])
    others = [
        f"`{other}`"
        for other, found in series.items()
        if other != label and _times(found)[0] <= end and begin <= _times(found)[1]
    ]
    return f" Replayed at the same time: {', '.join(others)}." if others else ""


def _times(found: Series) -> tuple[str, str]:
    """ISO times in UTC, which sort as text: of the header and of the last run's end."""
    return found.header["at"], found.runs[-1]["at"]


def _row(run: Json) -> list[str]:
    found = score(run)
    requests: Json | None = run.get("requests")
    return [
        run["trace"],
        run["scaler"],
        f"{found.backlog_seconds:.0f}",
        f"{found.replica_seconds:.0f}",
        f"{found.wait_p50:.1f} s",
        f"{found.wait_p95:.1f} s",
        f"{found.most}",
        f"{found.writes}",
        "" if requests is None else f"{sum(requests.values())}",
        f"{run['cpu_s']:.1f}" if "cpu_s" in run else "",
        f"{run['rss_peak_mib']:.0f}" if "rss_peak_mib" in run else "",
        f"{run['unbegun']}",
        f"{run['refused']}",
    ]
