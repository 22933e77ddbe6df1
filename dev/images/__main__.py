"""The command line: `python -m dev.images build|redis`; prints the path of the archive."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from dev.cluster.errors import ClusterError
from dev.images import build_image, python_base, redis_image

app = typer.Typer(
    help="Container images without a Docker engine.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.command()
def build(
    tag: Annotated[str, typer.Argument(help="For example localhost/crm-operator:dev.")],
    file: Annotated[Path, typer.Option("--file", "-f", exists=True)] = Path("Dockerfile"),
    context: Annotated[Path, typer.Option(exists=True, file_okay=False)] = Path("."),
    build_arg: Annotated[list[str] | None, typer.Option(help="NAME=VALUE, repeatable; BASE is set for you.")] = None,
) -> None:
    """Build a Dockerfile whose BASE argument is a Python image.

    Example:
      python -m dev.cluster load-image $(python -m dev.images build localhost/crm-operator:dev)
    """
    pairs = (argument.partition("=") for argument in build_arg or [])
    arguments = {"BASE": python_base(), **{name: value for name, _, value in pairs}}
    print(build_image(file, context, tag, arguments))


@app.command()
def redis() -> None:
    """Build the Redis image for tests and the demo."""
    print(redis_image())


if __name__ == "__main__":
    try:
        app()
    except ClusterError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
