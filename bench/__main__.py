"""The command line: `python -m bench` measures everything and prints the tables.

Raw data goes to bench/out unless `--out` says otherwise; `--out bench/results` replaces what docs/benchmarks.md is made
from, and `python -m bench report --write` makes that page. Progress on stderr, tables on stdout.
"""

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from bench import idle, report, scale
from bench.judged.command import judged
from bench.many.command import many
from bench.noise.command import noise
from bench.outages.command import outages
from bench.records import RESULTS, read
from bench.rollback.command import rollback
from bench.scaling.command import replay
from bench.scaling.plot import draw
from bench.scaling.report import IMAGES, series_in
from bench.stage import Run
from dev.cluster import ClusterError

app = typer.Typer(
    help="Measures the operator's reaction times and its cost, on a real Kubernetes.",
    add_completion=False,
    pretty_exceptions_enable=False,
)


class Bench(StrEnum):
    """What can be measured, in the order in which it is."""

    IDLE = "idle"
    SCALE = "scale"


MEASURE = {Bench.IDLE: idle.run, Bench.SCALE: scale.run}


@app.callback(invoke_without_command=True)
def every(
    context: typer.Context,
    smoke: Annotated[bool, typer.Option("--smoke", help="One run of each, to see that it works.")] = False,
) -> None:
    """Measure everything when no command is given.

    Examples:
      python -m bench --smoke
      python -m bench run scale --cluster my-api
    """
    if context.invoked_subcommand is None:
        run(list(Bench), smoke=smoke)
        rollback(smoke=smoke)


@app.command()
def run(
    names: Annotated[list[Bench], typer.Argument(help="What to measure.")],
    smoke: Annotated[bool, typer.Option("--smoke", help="One run of each, to see that it works.")] = False,
    out: Annotated[Path, typer.Option(help="Folder for the raw data.")] = RESULTS.parent / "out",
    seed: Annotated[int, typer.Option(help="Of the random phases and orders.")] = 1,
    cluster: Annotated[
        str | None, typer.Option(help="A running cluster of the right tier; default: one that is started and stopped.")
    ] = None,
    patience: Annotated[float, typer.Option(help="Seconds to wait for a quiet machine before each part.")] = 0,
) -> None:
    """Measure some of it; prints the tables."""
    how = Run(out=out, seed=seed, smoke=smoke, cluster=cluster, patience_seconds=patience)
    for name in names:
        print(f"bench: {name}", file=sys.stderr, flush=True)
        MEASURE[name](how)
        print(report.section(name, read(out / f"{name}.jsonl")))


app.command()(rollback)
app.command()(judged)
app.command()(replay)
app.command()(many)
app.command()(noise)
app.command()(outages)


@app.command("report")
def report_command(
    write: Annotated[bool, typer.Option("--write", help="Write docs/benchmarks.md and its images.")] = False,
    results: Annotated[Path, typer.Option(help="Folder of the raw data.")] = RESULTS,
) -> None:
    """Print what the raw data says, as docs/benchmarks.md has it."""
    page = report.page(results)
    if write:
        report.PAGE.write_text(page)
        draw(series_in(results), report.PAGE.parent / IMAGES)
    else:
        print(page, end="")


if __name__ == "__main__":
    try:
        app()
    except (ClusterError, TimeoutError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
