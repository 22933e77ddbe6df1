"""The operator as the one who rolls back."""

from collections.abc import Callable

import httpx

from bench.recorder import Change, Json, Recorder
from bench.rollback.cells import Cell, Phase
from bench.rollback.controllers import GOOD
from bench.rollback.story import Story, is_full, version_of
from bench.rollback.workload import Addresses, demo_integration
from tests.cluster.kube import collection, server_side_apply


class Ours:
    """One CrmIntegration. The guard is critical above 0: the first failed job is the crossing."""

    def __init__(self, kube: httpx.AsyncClient, ns: str, where: Addresses) -> None:
        self.watched = {
            "Deployment": f"/apis/apps/v1/namespaces/{ns}/deployments",
            "CrmIntegration": collection("crmintegrations", ns),
        }
        self._kube = kube
        self._where = where
        self._made = 0
        self._cell: Cell | None = None

    async def create(self, cell: Cell) -> None:
        # A name of its own: what is remembered of the cell before must not count.
        self._made, self._cell = self._made + 1, cell
        await self.ship(GOOD)

    async def ship(self, version: str) -> None:
        assert self._cell is not None, "create a cell first"
        answer = await server_side_apply(self._kube, self._path, self._body(self._cell, version))
        if answer.is_error:
            raise RuntimeError(f"the integration was refused: {answer.text}")

    async def remove(self) -> None:
        (await self._kube.delete(self._path)).raise_for_status()

    def is_settled(self, seen: Recorder) -> bool:
        return self._phase(seen) in ("Stable", "RolledBack")

    def is_tried(self, seen: Recorder, version: str) -> bool:
        assert self._cell is not None
        if self._cell.phase is Phase.CANARY:
            return self._phase(seen) == "Canary"
        is_over = is_full(seen.all("Pod"), version, self._cell.workers)
        return self._phase(seen) == "Baking" and (is_over or self._cell.phase is Phase.HANDOVER)

    def figures(self, story: Story, failed: float) -> dict[str, float | None]:
        assert self._cell is not None
        if self._cell.phase is Phase.CANARY:
            zero = story.first(failed, self._of(f"{self._name}-canary", lambda live: live["spec"]["replicas"] == 0))
        else:
            back = story.first(
                failed, self._of(self._name, lambda live: version_of(live["spec"]["template"]) == story.good)
            )
            told = story.told(failed)
            zero = None if back is None or told is None else max(back, told)
        return {
            "zero": zero,
            "suspected": story.first(failed, lambda c: c.kind == "CrmIntegration" and _is_critical(c.object)),
            "decided": story.first(failed, lambda c: c.kind == "CrmIntegration" and _phase(c.object) == "RollingBack"),
        }

    @property
    def _name(self) -> str:
        return f"hubspot-{self._made}"

    @property
    def _path(self) -> str:
        return f"{self.watched['CrmIntegration']}/{self._name}"

    def _phase(self, seen: Recorder) -> str | None:
        live = seen.get("CrmIntegration", self._name)
        status: Json = (live or {}).get("status") or {}
        is_current = live is not None and status.get("observedGeneration") == live["metadata"]["generation"]
        return _phase(live) if live is not None and is_current else None

    def _of(self, name: str, holds: Callable[[Json], bool]) -> Callable[[Change], bool]:
        return lambda c: c.kind == "Deployment" and c.name == name and c.type != "DELETED" and holds(c.object)

    def _body(self, cell: Cell, version: str) -> Json:
        body = demo_integration(version, self._where, cell)
        body["metadata"] = {"name": self._name}
        spec = body["spec"]
        spec["scaling"] = {"minReplicas": cell.workers, "maxReplicas": cell.workers}
        if cell.phase is Phase.CANARY:
            spec["rollout"] = {"steps": [{"weight": cell.weight, "hold": "10m"}], "bake": "0s"}
        else:
            spec["rollout"] = {"steps": [{"weight": cell.weight, "hold": "1s"}], "minJobs": 5, "bake": "10m"}
        spec["metrics"] = {"pods": {"port": 9191, "path": "/metrics"}}  # everything else by default
        guard = next(guard for guard in spec["guards"] if guard["name"] == "sync-errors")
        spec["guards"] = [{**guard, "warning": {"above": 0}, "critical": {"above": 0}}]
        return body


def _phase(integration: Json) -> str | None:
    phase: str | None = ((integration.get("status") or {}).get("rollout") or {}).get("phase")
    return phase


def _is_critical(integration: Json) -> bool:
    guards: list[Json] = (integration.get("status") or {}).get("guards") or []
    return any(guard["state"] == "Critical" for guard in guards)
