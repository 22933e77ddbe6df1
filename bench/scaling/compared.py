"""The operator against Kubernetes' autoscaler at equal replica-seconds, and whether the aims are met."""

import re
from collections.abc import Iterable, Mapping, Sequence

from bench.figures import table
from bench.records import Json, Series
from bench.scaling.score import score
from bench.scaling.traces import MAX_REPLICAS, TRACES
from bench.scaling.tradeoff import Point, for_as_much

#: Who is compared with the operator, and the one of them that has KEDA's default.
RIVALS, DEFAULT = ("hpa", "hpa-tuned"), "hpa-5"
#: A limit refuses rivals' requests, so their backlog is no measure; what they pay for it is.
LIMITED = "rate-limited"
#: Shares of the rival's backlog-seconds, and of its replica-seconds under the limit.
BACKLOG_AIM, LIMITED_AIM = 0.25, 0.1

_METHOD = f"""**At equal replica-seconds.** Each setting of a scaler is one choice of workers for backlog. *Ours* is
the fewest backlog-seconds that one of its settings above, or one between two (a straight line in logarithms), has for
at most as many replica-seconds as the rival had; *none so cheap*: all of them needed more workers. *Least* is what
{MAX_REPLICAS} workers have that are ready all the time, at whatever price: no scaler with that maximum has less. What
an HPA with its default behavior costs after the load's end, when it holds its size for 300 s, is not counted."""


def comparison(series: Mapping[str, Series]) -> str:
    """A row for each load and rival, and the aims; empty without both sides."""
    ours = _family(series, "operator")
    rivals = {label: found for family in RIVALS for label, found in _family(series, family).items()}
    if not rivals or not ours:
        return ""
    rows, quarter, tuned = list[list[str]](), list[tuple[str, float]](), list[tuple[str, float]]()
    for name in TRACES:
        curve = [_point(run) for run in runs_of(ours, name)]
        least = [_point(run).backlog_seconds for run in runs_of(_only(series, f"fixed-{MAX_REPLICAS}"), name)]
        for run in runs_of(rivals, name):
            point, rival = _point(run), run["scaler"]
            best = for_as_much(curve, point.replica_seconds)
            ratio = None if best is None else best / point.backlog_seconds
            rows.append(
                [
                    *(name, rival, f"{point.replica_seconds:.0f}", f"{point.backlog_seconds:.0f}"),
                    *(("none so cheap", "") if best is None else (f"{best:.0f}", f"{ratio:.2f}")),
                    "".join(f"{value / point.backlog_seconds:.2f}" for value in least),
                ]
            )
            if ratio is not None and name != LIMITED:
                if rival == DEFAULT:
                    quarter.append((name, ratio))
                elif rival.startswith("hpa-tuned"):
                    tuned.append((f"{name} against {rival}", ratio))
    head = ("load", "rival", "replica-s", "backlog-s", "ours", "ratio", "least possible ratio")
    return f"{_METHOD}\n\n{table(head, rows)}\n\n{_aims(series, quarter, tuned)}".rstrip()


def runs_of(series: Mapping[str, Series], name: str) -> list[Json]:
    """The runs of one load, in the order of the series."""
    return [run for found in series.values() for run in found.runs if run["trace"] == name]


def _aims(
    series: Mapping[str, Series], quarter: Sequence[tuple[str, float]], tuned: Sequence[tuple[str, float]]
) -> str:
    parts = []
    if quarter:
        shown = ", ".join(f"{name} {ratio:.2f}" for name, ratio in quarter)
        parts.append(f"below a quarter of `{DEFAULT}`: {shown} ({_met(ratio < BACKLOG_AIM for _, ratio in quarter)})")
    if tuned:
        worst = max(tuned, key=lambda found: found[1])
        met = _met(ratio <= 1 for _, ratio in tuned)
        parts.append(f"never above the best tuning: at worst {worst[1]:.2f}, {worst[0]} ({met})")
    ours, theirs = (runs_of(_only(series, label), LIMITED) for label in ("operator", DEFAULT))
    if ours and theirs:
        share = _point(ours[0]).replica_seconds / _point(theirs[0]).replica_seconds
        parts.append(
            f"under a rate limit, replica-seconds below a tenth of those of `{DEFAULT}`, which knows of none: "
            f"{share:.2f} ({_met([share < LIMITED_AIM])})"
        )
    return f"Aims: {'; '.join(parts)}." if parts else ""


def _met(each: Iterable[bool]) -> str:
    return "met" if all(each) else "**missed**"


def _family(series: Mapping[str, Series], family: str) -> dict[str, Series]:
    """The series of one scaler with whatever setting: `hpa-50` and `hpa-5`, not `hpa-tuned-5`."""
    pattern = re.compile({"operator": r"operator(-.+=.+)?"}.get(family, rf"{family}-\d+"))
    return {label: found for label, found in series.items() if pattern.fullmatch(label)}


def _only(series: Mapping[str, Series], label: str) -> dict[str, Series]:
    return {label: series[label]} if label in series else {}


def _point(run: Json) -> Point:
    found = score(run)
    return Point(found.replica_seconds, found.backlog_seconds)
