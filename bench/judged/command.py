"""`python -m bench judged`: what it costs to judge many releases at once."""

from typing import Annotated

import typer

from bench.judged.measure import NAME, run
from bench.judged.report import judged_table
from bench.options import OUT, ApiCluster, Out
from bench.records import read
from bench.stage import Run

#: With `--smoke`.
SMOKE_COUNT = 2


def judged(
    count: Annotated[int, typer.Option(min=1, help="Releases on trial at once.")] = 50,
    smoke: Annotated[bool, typer.Option("--smoke", help=f"{SMOKE_COUNT} for seconds, to see that it works.")] = False,
    out: Out = OUT,
    seed: Annotated[int, typer.Option(help="Of the jobs and queues.")] = 1,
    cluster: ApiCluster = None,
    patience: Annotated[float, typer.Option(help="Seconds to wait for a quiet machine.")] = 0,
) -> None:
    """Measure requests, CPU and memory while many releases are on trial, and print the table.

    Examples:
      python -m bench judged --smoke
      python -m bench judged --count 10 --cluster my-api
    """
    run(
        Run(out=out, seed=seed, smoke=smoke, cluster=cluster, patience_seconds=patience),
        SMOKE_COUNT if smoke else count,
    )
    print(judged_table(read(out / f"{NAME}.jsonl")))
