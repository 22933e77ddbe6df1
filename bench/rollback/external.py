"""Whoever rolls back in this cluster already: the workload is made from manifests, and everything is seen by labels."""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from string import Template

from bench.recorder import Recorder
from bench.rollback.cells import SLOW_START, STRATEGIES, Cell, Phase, Start
from bench.rollback.controllers import GOOD
from bench.rollback.story import VERSION, Story, is_full, of_version
from bench.rollback.workload import JOB_SECONDS, Addresses
from dev.cluster import Cluster


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifests:
    """What sets the workload up, and where its pod template is."""

    label: str  # names the series: `rollback-LABEL.jsonl`
    files: Sequence[Path]  # with the placeholders of `placeholders`
    target: str  # as kubectl takes it, `rollouts.argoproj.io/worker`: its spec.template is what is shipped
    settle: float = 0.0  # seconds to give the controller once the manifests are applied


class External:
    """One workload. What decides on a rollback, and from which metrics, is in the manifests and the cluster."""

    watched: dict[str, str] = {}  # noqa: RUF012  # of the protocol, and never changed

    def __init__(self, cluster: Cluster, ns: str, where: Addresses, image: str, manifests: Manifests) -> None:
        self._cluster = cluster
        self._ns = ns
        self._where = where
        self._image = image
        self._manifests = manifests
        self._cell: Cell | None = None
        self._applied = ""

    async def create(self, cell: Cell) -> None:
        values = placeholders(cell, self._where, self._image, self._ns)
        self._cell, self._applied = cell, filled(self._manifests.files, values)
        await self._kubectl("apply", "--filename", "-", stdin=self._applied)
        await asyncio.sleep(self._manifests.settle)

    async def ship(self, version: str) -> None:
        # The label is all that differs; the worker's environment follows it by the downward API.
        body = {"spec": {"template": {"metadata": {"labels": {VERSION: version}}}}}
        await self._kubectl("patch", self._manifests.target, "--type", "merge", "--patch", json.dumps(body))

    async def remove(self) -> None:
        await self._kubectl("delete", "--ignore-not-found", "--wait=false", "--filename", "-", stdin=self._applied)

    def is_settled(self, seen: Recorder) -> bool:
        return True

    def is_tried(self, seen: Recorder, version: str) -> bool:
        assert self._cell is not None
        pods = seen.all("Pod")
        if self._cell.phase is Phase.CANARY:
            return bool(of_version(pods, version))
        return is_full(pods, version, self._cell.workers)

    def figures(self, story: Story, failed: float) -> dict[str, float | None]:
        assert self._cell is not None
        if self._cell.phase is Phase.CANARY:
            return {"zero": story.wanted_zero(failed)}
        return {"zero": story.stopped(failed)}

    async def _kubectl(self, *arguments: str, stdin: str | None = None) -> None:
        await asyncio.to_thread(self._cluster.run_kubectl, *arguments, "--namespace", self._ns, stdin=stdin)


def placeholders(cell: Cell, where: Addresses, image: str, ns: str) -> dict[str, str]:
    """What `${NAME}` in a manifest stands for."""
    strategy = STRATEGIES[cell.surge]
    return {
        "NAMESPACE": ns,
        "IMAGE": image,
        "REDIS_URL": where.redis,
        "HUBSPOT_URL": where.hubspot,
        "JOB_SECONDS": f"{JOB_SECONDS:g}",
        "VERSION": GOOD,
        "WORKERS": str(cell.workers),
        "WEIGHT": str(cell.weight),
        "MAX_SURGE": f"{strategy['maxSurge']}",
        "MAX_UNAVAILABLE": f"{strategy['maxUnavailable']}",
        "READY_AFTER": str(SLOW_START if cell.start is Start.SLOW else 0),
    }


def filled(files: Sequence[Path], values: dict[str, str]) -> str:
    """The manifests with their placeholders filled, as one text. Raises ValueError that names what nothing fills."""
    parts = []
    for file in files:
        try:
            parts.append(Template(file.read_text()).substitute(values))
        except KeyError as error:
            raise ValueError(f"{file}: nothing fills {error}; there are {', '.join(values)}") from None
        except ValueError as error:
            raise ValueError(f"{file}: {error}; write $$ for a dollar sign") from None
    return "\n---\n".join(parts)
