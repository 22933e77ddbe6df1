"""From raw data to tables and to docs/benchmarks.md. Arithmetic and text only."""

from collections.abc import Callable
from pathlib import Path

from bench.figures import Aim, numbers, summary, table, verdict, where
from bench.judged import report as judged
from bench.many import report as many
from bench.noise import report as noise
from bench.outages import report as outages
from bench.records import REPOSITORY, Json, Series, read
from bench.rollback import report as rollback
from bench.scaling import report as scaling

#: A second series, measured while others used the machine.
BUSY = "-busy"
PAGE = REPOSITORY / "docs/benchmarks.md"


def section(name: str, series: Series) -> str:
    """The tables of one series."""
    return {"scale": _scale, "idle": _idle}[name](series)


# --- scale


def _scale(series: Series) -> str:
    rows = []
    aim = Aim(p50=0.7, p95=1.2)
    for base, target in sorted({(run["from"], run["to"]) for run in series.runs}):
        values = [run["seconds"] for run in series.runs if (run["from"], run["to"]) == (base, target)]
        found = summary(values)
        rows.append([f"{base} -> {target}", *numbers(found), *verdict(aim, found)])
    steps = sum(run["sizes"] != [run["to"]] for run in series.runs)
    sending = summary([run["sending_s"] for run in series.runs])
    return (
        f"{table(['workers', 'n', 'min s', 'p50', 'p95', 'max', 'aim', ''], rows)}\n\n"
        f"The needed size came in one write in {len(series.runs) - steps} of {len(series.runs)} runs. "
        f"Sending the burst took {sending.max * 1000:.0f} ms at most and is included."
    )


# --- idle


def _idle(series: Series) -> str:
    rows = []
    for run in series.runs:
        requests: Json = run["requests"]
        per_minute = 60 / run["seconds"]
        watches, lease = requests.get("watch", 0) * per_minute, requests.get("lease", 0) * per_minute
        resync = sum(count for what, count in requests.items() if what in RESYNC) * per_minute
        others = sum(count for what, count in requests.items() if what not in RESYNC | {"watch", "lease"}) * per_minute
        rows.append(
            [
                f"{run['integrations']}",
                f"{run['seconds']:.0f} s",
                f"{run['rss_mib']:.1f}",
                f"{run['rss_peak_mib']:.1f}",
                f"{run['cpu_s_per_min']:.2f}",
                *(f"{value:.1f}" for value in (others, watches, resync, lease)),
            ]
        )
    head = ["integrations", "window", "RSS MiB", "highest", "CPU s/min", "API requests/min", *_UPKEEP]
    met = {aim: "met" if all(map(reached, series.runs)) else "**missed**" for aim, reached in _IDLE_AIMS.items()}
    aims = "; ".join(f"{aim} ({verdict})" for aim, verdict in met.items())
    return f"{table(head, rows)}\n\nAims: {aims}; no API request but those of the last three columns."


#: By what is said of them.
_IDLE_AIMS: dict[str, Callable[[Json], bool]] = {
    "RSS below 90 MiB with no integration": lambda run: run["integrations"] > 0 or run["rss_mib"] < 90,
    "below 120 MiB with 200": lambda run: run["integrations"] > 200 or run["rss_mib"] < 120,
    "less than 1 CPU second a minute": lambda run: run["cpu_s_per_min"] < 1,
}
_UPKEEP = ("watch renewals", "resync lists", "lease")
#: What the operator lists every five minutes whatever happens.
RESYNC = {
    f"list {kind}" for kind in ("crmintegrations", "syncpauses", "deployments", "pods", "horizontalpodautoscalers")
}


# --- the page

_INTRO = """# Benchmarks

How fast the operator reacts and what it costs, measured by `make bench` (code in `bench/`) on a real Kubernetes run as
local processes. `python -m bench report --write` makes this page from the raw data in `bench/results`; a test compares.

- p50 and p95 are nearest-rank percentiles: values that occurred. Of 20 runs, p95 is the second largest.
- The operator runs as a process beside the cluster, with its default settings, on the same machine as everything else.
  Others used that machine too, which two cores show; each raw line has the load average of its minute.
- Tables of other tools were measured earlier, on the same kind of machine (2 cores, Kubernetes 1.36.3, fake pods that
  are Ready at once, redis-server 7.0.15), and **not in the same run** as ours. They place our figures; they are no
  ratio. Where several settings were tried, the best is among those shown.
"""

_SCALE_METHOD = """## Burst to the needed size

On fake nodes. A burst that needs 4, 20 or 50 workers (`backlogPerReplica: 10`) is written to a real Redis in one
pipeline. From just before that to the receipt, by a watch, of the Deployment with the needed `spec.replicas`; pods do
not matter here. Cells are shuffled; a random wait of up to 2 s before each burst makes the phase random.
"""

_SCALE_PEERS = """Measured earlier: KEDA 2.20.2, Redis scaler, polling every second, scaling policies tuned.

| setting | 0 -> 20 p50 / p95 | 1 -> 20 | 1 -> 50 |
| --- | --- | --- | --- |
| HPA sync 3 s (self-managed clusters only), the strongest there is | 2.2 / 3.5 s (n 8) | 1.14 / 2.4 s (8) | |
| HPA sync 15 s (managed clusters), tuned | mean 7.6, 0.5 to 14.0 s (16) | 10.3 / 12.6 s (8) | 7.3 / 11.2 s (6) |
| HPA sync 15 s, defaults | 68.0 / 89.3 s (16) | 56.0 / 59.5 s (16) | 68.5 / 74.4 s (6) |
"""

_IDLE_METHOD = """## Cost while nothing happens

On fake nodes. Each integration has one worker and one queue in a shared Redis, which is read all the time. Requests are
counted in the API server's audit log. The last three columns are what keeps the operator honest and not work: each
watch is renewed every five minutes, everything is listed once in five minutes, and the lease is renewed.
Pods are not scraped here: fake pods have nothing to scrape.
"""

_IDLE_PEERS = """Measured earlier, windows of 60 s, **without leader election**; KEDA's include its adapter and the HPA.

| tool | objects | RSS MiB | CPU s/min | API requests/min |
| --- | --- | --- | --- | --- |
| Argo Rollouts 1.9.1 | 0 / 50 / 200 | 82 / 101 / 124 | 0.03 / 0.03 / 0.03 | 0 / 0 / 1 |
| Flagger 1.44.0 | 1 / 50 / 200 | 59 / 69 / 81 | 0.03 / 0.83 / 5.8 | 48 / 2399 / 6909 |
| KEDA 2.20.2 | 1 / 50 / 200 | 217 / 236 / 295 | 0.17 / 1.01 / 3.11 | 15 / 622 / 2403 |
| KEDA 2.20.2, polls every second | 50 | 264 | 3.29 | 603 |

Argo Rollouts reads no queue, so while nothing is rolled out it has nothing to do.
"""

_PARTS = (
    ("scale", _SCALE_METHOD, _SCALE_PEERS),
    ("idle", _IDLE_METHOD, _IDLE_PEERS),
)


def page(results: Path) -> str:
    """docs/benchmarks.md. Raises OSError when raw data is missing."""
    parts = [text for text in (_INTRO, rollback.page_section(results)) if text]
    for name, method, peers in _PARTS:
        parts.append(f"{method}\n{_measured(results, name, name)}\n")
        if (results / f"{name}{BUSY}.jsonl").exists():
            parts.append(f"The same while the machine was short of CPU:\n\n{_measured(results, name, name + BUSY)}\n")
        parts.append(peers)
        if name == "scale":
            parts.append(scaling.section(results))
    sections = (judged.section, many.section, noise.section, outages.section)
    parts += [text for section_ in sections if (text := section_(results))]
    return "\n".join(parts)


def _measured(results: Path, name: str, file: str) -> str:
    series = read(results / f"{file}.jsonl")
    return f"{section(name, series)}\n\n{where(file, series)}"
