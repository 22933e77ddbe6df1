"""`python -m bench many`: how the operator's cost and lag grow with the number of integrations."""

from pathlib import Path
from typing import Annotated

import typer

from bench.many.load import BURST_EVERY
from bench.many.measure import run, series_name
from bench.many.report import many_table, series_in
from bench.options import ApiCluster
from bench.records import RESULTS
from bench.stage import Run

#: With `--smoke`.
SMOKE_COUNT = 3


def many(
    count: Annotated[str, typer.Option(help="Numbers of integrations, with commas between them.")] = "10,100,1000",
    smoke: Annotated[bool, typer.Option("--smoke", help=f"{SMOKE_COUNT} for seconds, to see that it works.")] = False,
    out: Annotated[Path, typer.Option(help="Folder for the raw data, a file for each number.")] = RESULTS.parent
    / "out",
    seed: Annotated[int, typer.Option(help="Of the load.")] = 1,
    burst_every: Annotated[
        float, typer.Option(min=1, help="Seconds from one burst of a queue to its next, on average.")
    ] = BURST_EVERY,
    cluster: ApiCluster = None,
    patience: Annotated[float, typer.Option(help="Seconds to wait for a quiet machine before each number.")] = 0,
) -> None:
    """Measure the operator with many integrations and print the tables.

    Examples:
      python -m bench many --smoke
      python -m bench many --count 100 --cluster my-api
    """
    try:
        counts = [SMOKE_COUNT] if smoke else [int(part) for part in count.split(",")]
    except ValueError:
        counts = []
    if not counts or min(counts) < 1:
        raise typer.BadParameter(f"--count {count}: give numbers above 0 with commas between them, as in 10,100")
    run(
        Run(out=out, seed=seed, smoke=smoke, cluster=cluster, patience_seconds=patience),
        counts,
        burst_every=burst_every,
    )
    names = {series_name(count, burst_every) for count in counts}
    print(many_table([found for name, found in series_in(out).items() if name in names]))
