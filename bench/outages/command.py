"""`python -m bench outages`: what a healthy release suffers when metrics, or the provider, fail."""

from typing import Annotated

import typer

from bench.options import OUT, ApiCluster, Out
from bench.outages.measure import NAME, run
from bench.outages.report import tables
from bench.records import read
from bench.stage import Run


def outages(
    smoke: Annotated[bool, typer.Option("--smoke", help="A few of each, to see that it works.")] = False,
    out: Out = OUT,
    seed: Annotated[int, typer.Option(help="Of when the outages begin.")] = 1,
    cluster: ApiCluster = None,
    patience: Annotated[float, typer.Option(help="Seconds to wait for a quiet machine.")] = 0,
) -> None:
    """Ship healthy versions while metrics misbehave, and while the provider is down.

    Examples:
      python -m bench outages --smoke
    """
    run(Run(out=out, seed=seed, smoke=smoke, cluster=cluster, patience_seconds=patience))
    print(tables(read(out / f"{NAME}.jsonl")))
