"""`python -m bench rollback`: how fast a version that goes bad is stopped, in every setting that could matter."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from bench.options import OUT, Out
from bench.records import read
from bench.rollback.cells import LATE, MAIN, SHARES, Phase, cells, select, usual
from bench.rollback.external import Manifests
from bench.rollback.measure import HANDOVER_RUNS, JOBS_PER_SECOND, MAIN_RUNS, RUNS, VARIED_RUNS, Setting, run
from bench.rollback.report import section
from bench.stage import Run


class Who(StrEnum):
    """Who rolls back."""

    OPERATOR = "operator"
    EXTERNAL = "external"
    ORACLE = "oracle"


#: With `--smoke`: one run of each.
SMOKE = "20/default/quick/*"


def rollback(
    cell: Annotated[
        list[str] | None,
        typer.Option(
            help="Which, as file names are matched: SHARE/SURGE/START/PHASE, '20/*/slow/*'; '*' is all. "
            "Default: all with the default surge, two of each other one."
        ),
    ] = None,
    runs: Annotated[
        int | None,
        typer.Option(
            min=1,
            help=f"Of each cell; default: {MAIN_RUNS} of the first and of it in the bake, {HANDOVER_RUNS} of it "
            f"before that, {VARIED_RUNS} of other surges, {RUNS} of the rest.",
        ),
    ] = None,
    share: Annotated[list[int] | None, typer.Option(help="Of the workers, in percent; default: 10, 20, 50.")] = None,
    jobs_per_second: Annotated[float, typer.Option(min=1, help="Sent all the time.")] = JOBS_PER_SECOND,
    controller: Annotated[
        Who,
        typer.Option(
            help="Who rolls back: this operator, one that is in the cluster already, or oracle, "
            "the driver itself, which knows at once.",
        ),
    ] = Who.OPERATOR,
    label: Annotated[str, typer.Option(help="Of an external one: the name of its series.")] = "external",
    manifest: Annotated[
        list[Path] | None, typer.Option(exists=True, help="Of an external one: what makes the workload. Repeat it.")
    ] = None,
    target: Annotated[
        str, typer.Option(help="Of an external one: KIND/NAME of the object whose pod template is shipped.")
    ] = "deployment/worker",
    settle: Annotated[float, typer.Option(min=0, help="Seconds to give an external one before each cell.")] = 0,
    smoke: Annotated[bool, typer.Option("--smoke", help=f"One run of {SMOKE}, to see that it works.")] = False,
    out: Out = OUT,
    seed: Annotated[int, typer.Option(help="Of the random moments.")] = 1,
    cluster: Annotated[
        str | None, typer.Option(help="A running cluster of the node tier; default: one that is started and stopped.")
    ] = None,
    patience: Annotated[float, typer.Option(help="Seconds to wait for a quiet machine before each cell.")] = 0,
) -> None:
    """Measure how fast a version that goes bad is stopped, and print the tables.

    Examples:
      python -m bench rollback --smoke
      python -m bench rollback --cell '20/default/quick/canary' --runs 10
    """
    external = controller is Who.EXTERNAL
    if external and (cluster is None or not manifest):
        raise typer.BadParameter("--controller external needs --cluster, where it is installed, and --manifest")
    first = [str(LATE)] if controller is Who.ORACLE else [str(MAIN)] if external else [SMOKE] if smoke else []
    try:
        among = cells(share or SHARES)
        if controller is Who.ORACLE:  # it has no canary
            among = [one for one in among if one.phase is Phase.BAKE]
        chosen = select(among, cell or first) if cell or first else usual(among)
        for one in chosen:
            _ = one.workers
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    how = Run(out=out, seed=seed, smoke=smoke, cluster=cluster, patience_seconds=patience)
    manifests = Manifests(label=label, files=manifest or (), target=target, settle=settle) if external else None
    setting = Setting(
        cells=chosen,
        runs=1 if smoke else runs,
        jobs_per_second=jobs_per_second,
        external=manifests,
        oracle=controller is Who.ORACLE,
    )
    run(how, setting)
    print(section(read(out / f"{setting.name}.jsonl")))
