"""The section of docs/benchmarks.md on many releases on trial. Arithmetic and text only."""

from pathlib import Path

from bench.figures import table, where
from bench.judged.measure import NAME, WEIGHT, WINDOW, WORKERS
from bench.judged.workers import JOBS_PER_SECOND
from bench.records import Json, Series, read

#: Requests a minute of all releases together, and CPU seconds a minute.
REQUESTS_AIM, CPU_AIM = 60, 60

_METHOD = f"""## While releases are judged

`python -m bench judged`: many integrations of {WORKERS} fake workers, each with a new version at {WEIGHT} % of them in
a hold that does not end, for {WINDOW:g} s. Their metrics are served and scraped for real and move all the time
({JOBS_PER_SECOND:g} jobs/s by each worker, none fails, and a latency that is another one in each scrape), the default
guards judge them, and each queue changes every 10 s on average within the size of its workers. **requests** are those
to the API server, from its audit log. Nobody decides anything in that time: what is written is live numbers.
"""

_HEAD = (
    "on trial",
    "scrapes/s",
    "API requests/min",
    "by kind",
    "CPU s/min",
    "RSS MiB",
    "highest",
)

_PEERS = """Measured earlier, in a minute: Argo Rollouts 1.9.1 with 50 running analyses of an interval of 10 s made 302
requests and used 0.93 CPU seconds at 120 MiB; Flagger 1.44.0 makes 2,399 with 50 idle canaries. Neither scrapes
workers: Prometheus, which is not counted there, does.
"""


def section(results: Path) -> str:
    """Method, table and origin; empty without raw data."""
    path = results / f"{NAME}.jsonl"
    if not path.exists():
        return ""
    series = read(path)
    return f"{_METHOD}\n{judged_table(series)}\n\n{where(NAME, series)}\n\n{_PEERS}"


def judged_table(series: Series) -> str:
    """One row for each run, and whether the aims are met."""
    most = max(map(_per_minute, series.runs))
    cpu = max(run["cpu_s_per_min"] for run in series.runs)
    return (
        f"{table(_HEAD, map(_row, series.runs))}\n\n"
        f"Aims: fewer than {REQUESTS_AIM} requests a minute in all ({_met(most < REQUESTS_AIM)}), less than one core "
        f"({_met(cpu < CPU_AIM)})."
    )


def _row(run: Json) -> list[str]:
    minute = 60 / run["seconds"]
    requests: dict[str, int] = run["requests"]
    return [
        f"{run['integrations']}",
        f"{run['scrapes_per_s']:.0f}",
        f"{_per_minute(run):.1f}",
        ", ".join(f"{what} {count * minute:.1f}" for what, count in requests.items()) or "none",
        f"{run['cpu_s_per_min']:.1f}",
        f"{run['rss_mib']:.0f}",
        f"{run['rss_peak_mib']:.0f}",
    ]


def _per_minute(run: Json) -> float:
    requests: dict[str, int] = run["requests"]
    return sum(requests.values()) * 60 / float(run["seconds"])


def _met(is_met: bool) -> str:
    return "met" if is_met else "**missed**"
