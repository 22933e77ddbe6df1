"""`python -m bench replay`: score a scaler by replayed loads."""

from pathlib import Path
from typing import Annotated

import typer

from bench.options import OUT, ApiCluster, Out
from bench.records import read
from bench.scaling.replay import Setting, run
from bench.scaling.report import replay_table
from bench.scaling.scalers import Kind, labelled, parse, settings
from bench.scaling.traces import SMOKE, TRACES, trace
from bench.stage import Run

#: Seconds. What a worker takes whose image is on the node: import, connect, report.
READY_AFTER = 5.0


def replay(
    scaler: Annotated[
        str,
        typer.Option(help="operator; fixed=N; hpa=N or hpa-tuned=N (jobs per worker); external: one in the cluster."),
    ] = "operator",
    loads: Annotated[list[str] | None, typer.Option("--load", help=f"Of {', '.join(TRACES)}; default: all.")] = None,
    label: Annotated[str | None, typer.Option(help="Name of the series; default: the scaler's.")] = None,
    smoke: Annotated[bool, typer.Option("--smoke", help="A load of seconds, to see that it works.")] = False,
    out: Out = OUT,
    seed: Annotated[int, typer.Option(help="Of the arrivals.")] = 1,
    cluster: ApiCluster = None,
    patience: Annotated[float, typer.Option(help="Seconds to wait for a quiet machine before each load.")] = 0,
    ready_after: Annotated[
        float | None,
        typer.Option(min=0, help=f"Seconds until a pod is Ready; default {READY_AFTER:g}, with --smoke 0."),
    ] = None,
    redis_port: Annotated[int | None, typer.Option(help="On 127.0.0.1, for an external scaler; default: any.")] = None,
    manifest: Annotated[
        list[Path] | None, typer.Option(exists=True, help="Applied beside the Deployment, for an external scaler.")
    ] = None,
    settle: Annotated[float, typer.Option(min=0, help="Seconds to give an external scaler before each load.")] = 0,
    scaling: Annotated[
        list[str] | None,
        typer.Option(help="For the operator: a member of spec.scaling, as drainTarget=10s or backlogPerReplica=5."),
    ] = None,
) -> None:
    """Replay loads against a scaler and print its scores.

    Examples:
      python -m bench replay --smoke
      python -m bench replay --scaler fixed=10 --load step --load wave
    """
    try:
        told = settings(scaling or ())
        chosen = parse(scaler, label=label or (labelled(told) if told else None))
        names = [SMOKE] if smoke else loads or list(TRACES)
        traces = [trace(name, seed=seed) for name in names]
        if told and chosen.kind is not Kind.OPERATOR:
            raise ValueError(f"--scaling is for the operator, not for {chosen.label}")
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    except KeyError as error:
        raise typer.BadParameter(f"no load is called {error}; there are {', '.join(TRACES)}") from None
    if cluster is not None and chosen.kind is Kind.HPA_TUNED:
        raise typer.BadParameter(f"--scaler {scaler} needs a cluster with a setting of its own: leave --cluster out")
    how = Run(out=out, seed=seed, smoke=smoke, cluster=cluster, patience_seconds=patience)
    setting = Setting(
        scaler=chosen,
        ready_after=ready_after if ready_after is not None else 0.0 if smoke else READY_AFTER,
        redis_port=redis_port,
        manifests=tuple(manifest or ()),
        settle=settle,
        scaling=told,
    )
    path = run(how, setting, traces)
    print(replay_table({chosen.label: read(path)}))
