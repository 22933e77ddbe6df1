"""One picture for each replayed trace: the backlog and the workers of every scaler over time."""

from collections.abc import Mapping
from pathlib import Path

from matplotlib.figure import Figure

from bench.records import Series

#: Of many series these are drawn: a curve each for more would hide all.
_PICTURED = ("operator", "operator-backlogPerReplica=5-scaleDownAfter=5s", "hpa-5", "hpa-tuned-5", "fixed-20")
_MANY = 5
#: Inches and dots per inch: readable in a page, and below 60 KB.
_SIZE, _DPI = (9.0, 4.6), 80


def draw(series: Mapping[str, Series], folder: Path) -> list[Path]:
    """Write `scaling-TRACE.png` for each trace of the series (by scaler's label) into the folder; returns the files."""
    folder.mkdir(parents=True, exist_ok=True)
    if len(series) > _MANY:
        series = {label: series[label] for label in _PICTURED if label in series}
    names = list(dict.fromkeys(run["trace"] for found in series.values() for run in found.runs))
    return [_draw(series, name, folder / f"scaling-{name}.png") for name in names]


def _draw(series: Mapping[str, Series], name: str, path: Path) -> Path:
    figure = Figure(figsize=_SIZE, layout="constrained")
    backlog, workers = figure.subplots(2, 1, sharex=True)
    for number, (label, found) in enumerate(series.items()):
        for run in found.runs:
            if run["trace"] != name:
                continue
            colour = f"C{number}"
            seconds, waiting, held = zip(*run["samples"], strict=True)
            backlog.plot(seconds, [a + b for a, b in zip(waiting, held, strict=True)], color=colour, label=label)
            times, _, there, _ = zip(*run["sizes"], strict=True)
            workers.step([*times, run["seconds"]], [*there, there[-1]], where="post", color=colour, label=label)
    backlog.set_title(name)
    backlog.set_ylabel("jobs in the queue")
    workers.set_ylabel("workers (pods)")
    workers.set_xlabel("seconds")
    for axes in (backlog, workers):
        axes.set_ylim(bottom=0)
        axes.grid(alpha=0.3)
    workers.legend(fontsize="small")
    figure.savefig(path, dpi=_DPI, metadata={"Software": None})
    return path
