"""The section of docs/benchmarks.md on many integrations. Arithmetic and text only."""

from collections.abc import Sequence
from pathlib import Path

from bench.figures import percentile, table, where
from bench.many.load import BURST_EVERY, BURST_FOR, CHANGING, LEAST_BURSTS, RUNNING
from bench.records import Json, Series, read

#: At the largest number measured: seconds of lag, MiB, CPU seconds a minute.
LAG_AIM, RSS_AIM, CPU_AIM = 2.0, 200.0, 60.0

_METHOD = f"""## Many integrations

`python -m bench many`: integrations on one real Redis, each with one queue and one worker on fake nodes. Every queue
holds jobs at all times, {RUNNING} of them fetched. In the busy window each queue changes every {1 / CHANGING:.0f} s on
average within the size of one worker, and gets a burst for two or three workers every {BURST_EVERY:.0f} s, or as the
table says, which is gone {BURST_FOR:g} s later; in all at least {LEAST_BURSTS:g} bursts a second come. In the quiet
one no queue changes, and the jobs in it only grow older. Then the operator is stopped, one queue in ten gets a burst,
and it is started again. Before each window the operator had written nothing for 20 s.

- **lag**: from the burst in Redis, by Redis's clock, to the receipt of the Deployment with the needed size by a watch.
- **one PATCH**: how long the API server took for a write, on average; it shares the two cores with everything here.
- **requests**: to the API server a minute, from the audit log, without watches and the lease.
- **restart**: from the start of the process, which is ready when everything is listed, to the sizes that were wrong.
"""

_BUSY_HEAD = (
    *("integrations", "burst every", "bursts", "lag p50", "p99", "max", "CPU s/min", "RSS MiB", "requests/min"),
    *("by verb", "one PATCH"),
)
_QUIET_HEAD = (
    *("integrations", "CPU s/min", "requests/min", "status writes", "restart: ready", "p50 of sizes", "last size"),
    *("CPU s", "RSS MiB", "highest", "status writes"),
)


def series_in(results: Path) -> dict[str, Series]:
    """All in a folder by name, the smallest number and the fewest bursts first."""
    found = {path.stem: read(path) for path in results.glob("many-*.jsonl")}
    return dict(sorted(found.items(), key=lambda item: (_count(item[1]), -_burst_every(item[1]))))


def section(results: Path) -> str:
    """Method, tables and origin; empty without raw data."""
    series = series_in(results)
    if not series:
        return ""
    origins = "\n\n".join(where(name, found) for name, found in series.items())
    return f"{_METHOD}\n{many_table(list(series.values()))}\n\n{origins}\n"


def many_table(series: Sequence[Series]) -> str:
    """What was busy, then what was quiet and after a restart, and whether the aims are met."""
    runs = [run for found in series for run in found.runs]
    busy = table(_BUSY_HEAD, (_busy_row(run, _burst_every(found)) for found in series for run in found.runs))
    rest = table(_QUIET_HEAD, map(_quiet_row, runs))
    largest = max(map(_count, series))
    written = sum(_status_writes(run["quiet"]) for run in runs)
    aims = "\n".join(_aims(found, written) for found in series if _count(found) == largest)
    return f"{busy}\n\nQuiet, and after a restart:\n\n{rest}\n\n{aims}"


def _busy_row(run: Json, burst_every: float) -> list[str]:
    busy: Json = run["busy"]
    lags = busy["lags_s"]
    verbs = _by_verb(busy["requests"])
    minute = 60 / busy["seconds"]
    return [
        f"{run['integrations']}",
        f"{burst_every:g} s",
        f"{busy['bursts']}",
        *(f"{percentile(lags, share):.2f} s" for share in (50, 99, 100)),
        f"{busy['cpu_s_per_min']:.1f}",
        f"{busy['rss_mib']:.0f}",
        f"{sum(verbs.values()) * minute:.0f}",
        ", ".join(f"{verb} {count * minute:.0f}" for verb, count in verbs.items()),
        f"{busy['means_ms']['request PATCH'][0]:.0f} ms",
    ]


def _quiet_row(run: Json) -> list[str]:
    quiet: Json = run["quiet"]
    restart: Json = run["restart"]
    return [
        f"{run['integrations']}",
        f"{quiet['cpu_s_per_min']:.2f}",
        f"{sum(_by_verb(quiet['requests']).values()) * 60 / quiet['seconds']:.0f}",
        f"{_status_writes(quiet)}",
        f"{restart['ready_s']:.1f} s",
        f"{percentile(restart['sizes_s'], 50):.1f} s",
        f"{max(restart['sizes_s']):.1f} s",
        f"{restart['cpu_s']:.1f}",
        f"{restart['rss_mib']:.0f}",
        f"{restart['rss_peak_mib']:.0f}",
        f"{_status_writes(restart)}",
    ]


def _aims(series: Series, written: int) -> str:
    (run,) = series.runs
    busy, restart = run["busy"], run["restart"]
    lag = percentile(busy["lags_s"], 99)
    rss = max(busy["rss_peak_mib"], restart["rss_peak_mib"])
    parts = (
        (f"p99 lag below {LAG_AIM:g} s", lag < LAG_AIM),
        (f"RSS below {RSS_AIM:g} MiB", rss < RSS_AIM),
        ("less than one core", busy["cpu_s_per_min"] < CPU_AIM),
        ("no status write while quiet", written == 0),
    )
    said = ", ".join(f"{what} ({'met' if met else '**missed**'})" for what, met in parts)
    return f"Aims with {run['integrations']} integrations and a burst every {_burst_every(series):g} s: {said}."


def _status_writes(part: Json) -> int:
    requests: dict[str, int] = part["requests"]
    return requests.get("patch crmintegrations", 0)


def _by_verb(requests: dict[str, int]) -> dict[str, int]:
    verbs: dict[str, int] = {}
    for what, count in requests.items():
        if what not in ("watch", "lease"):
            verb = what.partition(" ")[0]
            verbs[verb] = verbs.get(verb, 0) + count
    return dict(sorted(verbs.items()))


def _burst_every(series: Series) -> float:
    every: float = series.header["settings"]["burst_every_s"]
    return every


def _count(series: Series) -> int:
    count: int = series.header["settings"]["integrations"]
    return count
