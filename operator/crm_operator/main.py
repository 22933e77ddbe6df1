"""The command line of the operator: flags in, exit code out."""

import asyncio
import logging
import os
import socket
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from crm_operator.controller import logs
from crm_operator.controller.kube import Refused
from crm_operator.controller.lease import EXIT_LOST, LeaseLost
from crm_operator.controller.watch import WatchEnded
from crm_operator.controller.watchdog import die
from crm_operator.program import Options, run

log = logging.getLogger(__name__)
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
    except* LeaseLost as lost:
        _end(f"{lost.exceptions[0]}", EXIT_LOST)
    except* WatchEnded as ended:
        die(f"the watch ended: {ended.exceptions[0]}")
    except* Refused as refused:
        _end(f"{refused.exceptions[0]}", 2)


def _end(why: str, code: int) -> None:
    log.critical("Ending the process", extra={"reason": why, "exit_code": code})
    logging.shutdown()
    os._exit(code)


if __name__ == "__main__":
    app()
