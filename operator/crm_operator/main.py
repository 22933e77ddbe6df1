"""The command line of the operator: flags in, exit code out."""

import asyncio
import os
import socket
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import prometheus_client
import typer

from crm_operator.controller import logs
from crm_operator.controller.kube import Refused
from crm_operator.controller.watch import WatchEnded
from crm_operator.controller.watchdog import die
from crm_operator.program import Options, run

#: The exit code of a process whose flags or credentials cannot work.
EXIT_MISUSE = 2
app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)


class LogFormat(StrEnum):
    """How log lines look."""

    JSON = "json"
    PLAIN = "plain"


@app.callback()
def main() -> None:
    """The operator for queue workers that sync CRMs."""


@app.command("run")
def run_command(
    namespace: Annotated[
        list[str] | None, typer.Option(help="Watch only this namespace; may be repeated. Default: all.")
    ] = None,
    kubeconfig: Annotated[
        Path | None, typer.Option(help="Default: the pod's service account. KUBECONFIG is never read.")
    ] = None,
    context: Annotated[str | None, typer.Option(help="Context of the kubeconfig.")] = None,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(
            help="A host outside the integration's namespace that specs may name: a name, *.suffix, address or CIDR."
        ),
    ] = None,
    host: Annotated[str, typer.Option(help="Address of /livez, /readyz and /metrics.")] = "0.0.0.0",
    port: Annotated[int, typer.Option(help="Port of /livez, /readyz and /metrics.")] = 8080,
    lease_namespace: Annotated[
        str, typer.Option(envvar="POD_NAMESPACE", help="Namespace of the Lease that makes one operator active.")
    ] = "crm-operator-system",
    no_lease: Annotated[bool, typer.Option("--no-lease", help="Take no Lease; only when nothing else runs.")] = False,
    identity: Annotated[str | None, typer.Option(envvar="POD_NAME", help="Default: host name and process.")] = None,
    concurrency: Annotated[int, typer.Option(min=1, max=100, help="Integrations worked on at once.")] = 10,
    resync_seconds: Annotated[float, typer.Option(min=1, help="Time between full lists.")] = 300,
    log_level: Annotated[str, typer.Option(help="DEBUG, INFO, WARNING or ERROR.")] = "INFO",
    log_format: Annotated[LogFormat, typer.Option(help="json or plain.")] = LogFormat.JSON,
) -> None:
    """Run the operator."""
    logs.configure(log_level, log_format.value)
    # Creation times double the series and say nothing that a restart does not.
    prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]
    options = Options(
        kubeconfig=kubeconfig,
        context=context,
        namespaces=tuple(namespace) if namespace else None,
        allow_hosts=tuple(allow_host or ()),
        host=host,
        port=port,
        lease_namespace=None if no_lease else lease_namespace,
        identity=identity or f"{socket.gethostname()}-{os.getpid()}",
        concurrency=concurrency,
        resync=timedelta(seconds=resync_seconds),
    )
    try:
        asyncio.run(run(options))
    except* WatchEnded as ended:
        die(f"the watch ended: {ended.exceptions[0]}")
    except* Refused as refused:
        die(f"{refused.exceptions[0]}", EXIT_MISUSE)


if __name__ == "__main__":
    app()
