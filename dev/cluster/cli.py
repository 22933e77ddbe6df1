"""The command line: `python -m dev.cluster up|down|status|kubeconfig|load-image|diagnose|helm`.

Answers on stdout, progress on stderr. Exit codes: 0 done, 1 no, 2 misuse. A failure is a sentence, never a stack trace.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from dev.cluster import cluster as clusters
from dev.cluster.build import ensure_helm
from dev.cluster.components import Supervisor
from dev.cluster.config import DEFAULT_NAME, ProviderName, Tier
from dev.cluster.errors import ClusterError
from dev.cluster.progress import PlainProgress, Progress, TerminalProgress

app = typer.Typer(
    help="A real Kubernetes for development and tests, built from source and run as local processes, or by kind.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
Name = Annotated[str, typer.Option("--name", help="Which cluster; several can run side by side.")]


@app.command()
def up(
    name: Name = DEFAULT_NAME,
    tier: Annotated[Tier, typer.Option(help="api: fake nodes, no root. node: one real node, root.")] = Tier.NODE,
    provider: Annotated[ProviderName, typer.Option(help="Who brings it up.")] = ProviderName.AUTO,
    fake_nodes: Annotated[int, typer.Option(min=1, help="Fake nodes of an api tier.")] = clusters.DEFAULT_FAKE_NODES,
) -> None:
    """Start a cluster, or find it running; prints the path of its kubeconfig.

    Examples:
      export KUBECONFIG=$(python -m dev.cluster up)
      python -m dev.cluster up --name scale --tier api --fake-nodes 10
    """
    with _progress() as progress:
        print(clusters.up(name, tier, provider, progress=progress, fake_nodes=fake_nodes).kubeconfig)


@app.command()
def down(name: Name = DEFAULT_NAME) -> None:
    """Stop a cluster and remove all of it."""
    with _progress() as progress:
        existed = clusters.down(name, progress=progress)
        progress.step(f"cluster {name} is gone" if existed else f"there is no cluster {name}")


@app.command()
def status(name: Name = DEFAULT_NAME) -> None:
    """Show a cluster and its components; exit code 1 if it is not healthy."""
    found = _existing(name)
    healthy = found.healthy()
    print(f"{name}\t{found.tier}\t{found.record.provider}\t{'healthy' if healthy else 'NOT HEALTHY'}")
    supervisor = Supervisor(found.work)
    if found.record.provider is ProviderName.LOCAL and supervisor.alive:
        for component, state in supervisor.statuses().items():
            print(f"  {component}\t{'running' if state.pid else f'ended with code {state.exit}'}\t{state.log}")
    if not healthy:
        raise typer.Exit(1)


@app.command()
def kubeconfig(name: Name = DEFAULT_NAME) -> None:
    """Print the path of the administrator's kubeconfig."""
    print(_existing(name).kubeconfig)


@app.command("load-image")
def load_image(
    archives: Annotated[list[Path], typer.Argument(exists=True, dir_okay=False, help="OCI archives.")],
    name: Name = DEFAULT_NAME,
) -> None:
    """Give the node images from archives."""
    found = _existing(name)
    for archive in archives:
        found.load_image(archive)


@app.command()
def helm() -> None:
    """Build Helm if need be; prints its path."""
    with _progress() as progress:
        print(ensure_helm(progress))


@app.command()
def diagnose(
    into: Annotated[Path, typer.Argument(help="Folder to write to.")] = Path("diagnostics"),
    name: Name = DEFAULT_NAME,
) -> None:
    """Write logs, events, objects and pod logs into a folder; prints its path."""
    _existing(name).diagnose(into)
    print(into)


def _existing(name: str) -> clusters.Cluster:
    if (found := clusters.find(name)) is None:
        raise ClusterError(f"there is no cluster {name}; start it: python -m dev.cluster up --name {name}")
    return found


@contextmanager
def _progress() -> Iterator[Progress]:
    if sys.stderr.isatty():
        with TerminalProgress() as progress:
            yield progress
    else:
        yield PlainProgress()


def main() -> None:
    """Run the command; errors of ours become one message and exit code 1."""
    try:
        app()
    except (ClusterError, TimeoutError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
