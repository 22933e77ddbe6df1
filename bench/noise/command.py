"""`python -m bench noise`: false rollbacks by chance."""

import os
import sys
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from bench.noise.bake import judge_bakes
from bench.noise.judge import judge
from bench.noise.report import bake_table, noise_table
from bench.records import RESULTS, Writer, header, read

#: Of the limit.
SHARES = (0.5, 0.6, 0.7, 0.8, 0.9)
#: In the bake warnings count as well, also those far below the limit: an error each 5 minutes, and three.
BAKE_SHARES = (0.1, 0.3, *SHARES)


def noise(
    days: Annotated[float, typer.Option(min=0.01, help="Simulated days for each share.")] = 30.0,
    bake: Annotated[
        bool, typer.Option("--bake", help="Releases in their bake, with no stable version beside.")
    ] = False,
    smoke: Annotated[bool, typer.Option("--smoke", help="An hour of each, to see that it works.")] = False,
    out: Annotated[Path, typer.Option(help="Folder for the raw data.")] = RESULTS.parent / "out",
    seed: Annotated[int, typer.Option(help="Of the errors.")] = 1,
) -> None:
    """Judge healthy canaries, or bakes, whose errors come close to the limit; needs no cluster.

    Examples:
      python -m bench noise --days 1
      python -m bench noise --bake --days 1
    """
    days = 1 / 24 if smoke else days
    name, judging, shares = ("noise-bake", judge_bakes, BAKE_SHARES) if bake else ("noise", judge, SHARES)
    path = out / f"{name}.jsonl"
    writer = Writer(path, header(name, kubernetes="not used", seed=seed, settings={"days": days}))
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        # The longest first.
        for found in pool.map(partial(judging, days=days, seed=seed), sorted(shares, reverse=True)):
            print(f"bench: {found['share']:.0%} of the limit is judged", file=sys.stderr, flush=True)
            writer.run(**found)
    print((bake_table if bake else noise_table)(read(path)))
