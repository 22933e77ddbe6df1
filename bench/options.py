"""Options that several benchmarks have, worded once."""

from pathlib import Path
from typing import Annotated

import typer

from bench.records import RESULTS

#: Where raw data goes unless somebody says otherwise.
OUT = RESULTS.parent / "out"

Out = Annotated[Path, typer.Option(help="Folder for the raw data.")]
ApiCluster = Annotated[
    str | None, typer.Option(help="A running cluster of the api tier; default: one that is started and stopped.")
]
