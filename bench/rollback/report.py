"""The section of docs/benchmarks.md on rollbacks. Arithmetic and text only."""

from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from bench.figures import Aim, numbers, summary, table, verdict, where
from bench.records import Json, Series, read
from bench.rollback.cells import HANDOVER, LATE, MAIN, SLOW_START, STRATEGIES
from bench.rollback.controllers import ORACLE, OURS

#: Seconds, in every cell.
ZERO_AIM, LAST_JOB_AIM = Aim(p50=0.7, p95=1.2), Aim(p95=2.5)

_STRATEGIES = ", ".join(
    f"`{surge}` {strategy['maxSurge']}/{strategy['maxUnavailable']}" for surge, strategy in STRATEGIES.items()
)
_METHOD = f"""## Rollback of a bad version

`python -m bench rollback`: real Dramatiq workers in real pods sync contacts with a fake HubSpot, all the time and at a
steady rate. A new version is shipped; once it has come as far as the row says, and up to 3 s later, HubSpot begins to
refuse each k-th of its writes (k drawn from 3 to 15), so that these jobs fail. The guard is `crm_sync_errors_total`,
`Increase`, critical above 0: **the first failed job is the crossing**. Which job that is and when is random, and so is
the phase against the scrapes. Its time and those of jobs are HubSpot's, those of objects the receipt by a watch, all
from one clock. 50 jobs/s on two cores are 5 workers of two threads and jobs of 0.1 s.

A row is SHARE/SURGE/START/PHASE. **SHARE**: percent of the workers, 1 of 10, 1 of 5 or 2 of 4. **SURGE**: the strategy
of the update at promotion, maxSurge/maxUnavailable: {_STRATEGIES}.
The operator rolls back in a way of its own. Of all but `default` two cells are run; `--cell '*'` runs all combinations.
**START**: `slow` workers are Ready {SLOW_START} s after their start, by a readiness probe, but take jobs before; a
canary goes bad before it is Ready. **PHASE**: `canary`; or after the promotion, when all workers run the version and
its share does not matter: `handover`, while the canary's workers are still being replaced, or `bake`, after that.

- **at 0**: the canary's `spec.replicas` is 0. After the promotion: the Deployment has the good template again, and the
  last bad pod is told to stop (`deletionTimestamp`).
- **full**: as many good workers as before are Ready, and none is told to stop.
- **bad jobs**: jobs that the bad version started after its first failed one, most of which went well.
"""

#: Of all strategies.
_LATE = str(LATE).replace("/default/", "/*/")
_MAIN_ROWS = (
    ("wanted no bad worker (at 0)", "zero", ZERO_AIM),
    ("last job started by the bad version", "last_job", LAST_JOB_AIM),
    ("critical guard in status", "suspected", None),
    ("decision in status", "decided", None),
    ("its ReplicaSet at 0", "wanted_zero", None),
    ("last bad pod told to stop", "told", None),
    ("all workers good ones and Ready", "full", None),
    ("last bad pod gone", "gone", None),
)
_CELL_HEAD = (
    *("setting", "n", "at 0 p50", "p95", "last bad job p50", "p95", "bad pods told p95", "full p50", "p95"),
    *("bad jobs p50", "most", "aims"),
)

_ORACLE = """`oracle` is nobody who has to find out: the driver itself rolls a plain Deployment back, all bad workers at
once, as soon as HubSpot has answered the first failed job. What is left is the part of the Deployment controller, the
kubelet and Dramatiq, which hears of its end once a second:

"""

_PEERS = """Measured earlier, another set-up: a metric flips, N = 10, canary 20 %, fake pods.

| controller, settings | n | decision p50 / p95 | canary at 0 |
| --- | --- | --- | --- |
| Argo Rollouts 1.9.1, interval 1 s (its practical floor), failureLimit 0 | 30 | 0.50 / 0.95 s | 0.74 / 1.20 s |
| Argo Rollouts 1.9.1, interval 10 s, failureLimit 0 | 30 | 6.0 / 9.3 s | 6.2 / 9.6 s |
| Flagger 1.44.0, interval 10 s (its floor), threshold 1 | 30 | 13.8 / 18.5 s | 13.7 / 18.4 s |

Theirs begin when the metric's value flips, without real workers, scrapes of pods or a running load; ours begin at the
job that fails. With pods that take 10 s to become Ready, Argo Rollouts at 1 s left bad pods at work for 0.7 s at best
(20 %, 25 %/25 %), 10.7 s (20 %, surge 2, unavailable 0), 11.2 s (50 %, 25 %/25 %) and 41 s (50 %, 0/1).
"""


def page_section(results: Path) -> str:
    """Method, tables and origin of all series in the folder, the operator's first; empty without raw data."""
    files = sorted(results.glob("rollback*.jsonl"), key=lambda path: (path.stem != "rollback", path.stem))
    if not files:
        return ""
    parts = []
    for path in files:
        series = read(path)
        who = series.header["settings"]["controller"]
        told = _ORACLE if who == ORACLE else "" if who == OURS else f"By `{who}`, which the operator is no part of:\n\n"
        parts.append(f"{told}{section(series)}\n\n{where(path.stem, series)}")
    measured = "\n\n".join(parts)
    return f"{_METHOD}\n{measured}\n\n{_PEERS}"


def section(series: Series) -> str:
    """The tables of one series: in detail of the main cell, in short of all."""
    names = list(dict.fromkeys(run["cell"] for run in series.runs))
    parts = [_detail(name, _runs(series, name)) for name in names if name in map(str, (MAIN, LATE, HANDOVER))]
    cells = table(_CELL_HEAD, (_row(name, _runs(series, name)) for name in names))
    return "\n\n".join([*parts, cells, _aims(series, names), *_promoted(series, names)])


def _promoted(series: Series, names: Sequence[str]) -> Iterator[str]:
    """All strategies after promotion in one sentence: a rollback ignores them, and of few runs p95 is the largest."""
    same = [name for name in names if fnmatchcase(name, _LATE)]
    if len(same) < 2:
        return
    runs = [run for name in same for run in _runs(series, name)]
    zero, last = summary(_values(runs, "zero")), summary(_values(runs, "last_job"))
    met = "met" if _meets(runs) else "**missed**"
    yield (
        f"A rollback ignores the strategy, and of a few runs p95 is the largest. All {len(runs)} of `{_LATE}` "
        f"together: at 0 p50 {zero.p50:.2f}, p95 {zero.p95:.2f} s; last bad job p50 {last.p50:.2f}, "
        f"p95 {last.p95:.2f}, most {last.max:.2f} s ({met})."
    )


def _detail(name: str, runs: Sequence[Json]) -> str:
    rows = []
    for label, key, aim in _MAIN_ROWS:
        values = _values(runs, key)
        if values:
            found = summary(values)
            rows.append([label, *numbers(found), *verdict(aim, found)])
    bad, failed = (summary(_values(runs, key)) for key in ("bad_jobs", "failed_jobs"))
    return (
        f"{table([f'`{name}`: from the first failed job to', 'n', 'min s', 'p50', 'p95', 'max', 'aim', ''], rows)}\n\n"
        f"After its first failed job the bad version started {bad.p50:g} more (median; most: {bad.max:g}); "
        f"{failed.p50:g} of its jobs failed, that one included (most: {failed.max:g})."
    )


def _row(name: str, runs: Sequence[Json]) -> list[str]:
    zero, last, full = (summary(_values(runs, key)) for key in ("zero", "last_job", "full"))
    told, jobs = summary(_values(runs, "told")), summary(_values(runs, "bad_jobs"))
    return [
        f"`{name}`",
        f"{len(runs)}",
        *(f"{value:.2f}" for value in (zero.p50, zero.p95, last.p50, last.p95, told.p95, full.p50, full.p95)),
        f"{jobs.p50:g}",
        f"{jobs.max:g}",
        "met" if _meets(runs) else "**missed**",
    ]


def _aims(series: Series, names: Sequence[str]) -> str:
    missed = [name for name in names if not _meets(_runs(series, name))]
    verdict_ = f"**missed** in {', '.join(f'`{name}`' for name in missed)}" if missed else "met in each"
    return (
        f"Aims in every setting: at 0 {ZERO_AIM.shown()}, last bad job {LAST_JOB_AIM.shown()}: {verdict_} of "
        f"{len(names)}, at {series.header['settings']['jobs_per_s']:g} jobs/s."
    )


def _meets(runs: Sequence[Json]) -> bool:
    return ZERO_AIM.met(summary(_values(runs, "zero"))) and LAST_JOB_AIM.met(summary(_values(runs, "last_job")))


def _values(runs: Sequence[Json], key: str) -> list[float]:
    return [run[key] for run in runs if run.get(key) is not None]


def _runs(series: Series, name: str) -> list[Json]:
    return [run for run in series.runs if run["cell"] == name]
