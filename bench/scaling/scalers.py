"""Who scales the workers of a replay, and the Deployment or CrmIntegration that they are given for it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from bench.recorder import Json
from bench.scaling.traces import CONCURRENCY, DRAIN_TARGET, JOB_SECONDS, MAX_REPLICAS, Limit
from tests.cluster.objects import an_integration, worker_template

#: Of the Deployment that is scaled, whoever scales it, and of its queue.
NAME, QUEUE = "replay", "crm_replay"


class Kind(StrEnum):
    OPERATOR = "operator"  # this operator, started for the replay
    FIXED = "fixed"  # nobody: a Deployment of constant size
    HPA = "hpa"  # Kubernetes' own HorizontalPodAutoscaler on the length of the queue
    HPA_TUNED = "hpa-tuned"  # the same at its fastest, see `hpa`
    EXTERNAL = "external"  # whoever is installed in the cluster and was told to


@dataclass(frozen=True, slots=True)
class Scaler:
    """Its `label` names the series: `scaling-LABEL.jsonl`."""

    kind: Kind
    label: str
    number: int = 0  # workers of a fixed one; of an HPA, jobs for each worker

    @property
    def is_hpa(self) -> bool:
        return self.kind in (Kind.HPA, Kind.HPA_TUNED)


def parse(text: str, *, label: str | None = None) -> Scaler:
    """From `operator`, `fixed=N`, `hpa=N`, `hpa-tuned=N` or `external`. Raises ValueError."""
    kind, _, number = text.partition("=")
    least = {Kind.FIXED: 0, Kind.HPA: 1, Kind.HPA_TUNED: 1}
    if kind in least and number.isdecimal() and least[Kind(kind)] <= int(number) <= 1000:
        return Scaler(Kind(kind), label or f"{kind}-{int(number)}", int(number))
    if number or kind not in (Kind.OPERATOR, Kind.EXTERNAL):
        accepted = "operator, external, fixed=N with N from 0 to 1000, hpa=N or hpa-tuned=N with N from 1 to 1000"
        raise ValueError(f"scaler {text!r}: say {accepted}")
    return Scaler(Kind(kind), label or kind)


def settings(words: Sequence[str]) -> dict[str, str | int]:
    """Members of `spec.scaling` from `name=value` each. Raises ValueError."""
    found: dict[str, str | int] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not (name and equals and value):
            raise ValueError(f"scaling {word!r}: say name=value, as drainTarget=10s or backlogPerReplica=5")
        found[name] = int(value) if value.isdecimal() else value
    return found


def labelled(chosen: Mapping[str, str | int]) -> str:
    """The operator's label with these members of `spec.scaling`."""
    return "-".join([Kind.OPERATOR, *(f"{name}={value}" for name, value in chosen.items())])


def integration(url: str, limit: Limit | None, labels: dict[str, str], *, scaling: Mapping[str, str | int]) -> Json:
    """What a user of the operator would write; `labels` go on the pods, `scaling` replaces members of spec.scaling."""
    members: Json = {
        "maxReplicas": MAX_REPLICAS,
        "drainTarget": f"{DRAIN_TARGET:g}s",
        "jobDuration": f"{JOB_SECONDS * 1000:g}ms",
        **scaling,
    }
    if "backlogPerReplica" in scaling:  # the other objective: one excludes the other
        del members["drainTarget"]
        if limit is None:
            del members["jobDuration"]
    if limit is not None:
        members["rateLimit"] = {"requests": limit.requests, "per": f"{limit.per_seconds}s"}
    return an_integration(
        NAME,
        workers={"template": _template(labels), "concurrency": CONCURRENCY},
        queue={"url": url, "names": [QUEUE]},
        scaling=members,
        guards=[],
    )


def deployment(replicas: int, labels: dict[str, str]) -> Json:
    """The same workers without the operator."""
    own = {"app": NAME}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": NAME},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": own},
            "template": _template({**labels, **own}),
        },
    }


def _template(labels: dict[str, str]) -> Json:
    return {"metadata": {"labels": labels}, **worker_template()}
