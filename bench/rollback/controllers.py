"""Who rolls back: what the driver has to know of them. Everything else is seen by labels (`story`)."""

from typing import Protocol

from bench.recorder import Json, Recorder
from bench.rollback.cells import Cell
from bench.rollback.story import Story

#: Names in the raw data.
OURS, ORACLE = "operator", "oracle"
#: The version that is there when a cell begins.
GOOD = "good"


class Controller(Protocol):
    """Of one workload in one namespace."""

    #: Watched beside pods and ReplicaSets: kind -> path.
    watched: dict[str, str]

    async def create(self, cell: Cell) -> None:
        """Ask for the workload of this cell at version `GOOD`. Raises RuntimeError when it is refused."""

    async def ship(self, version: str) -> None:
        """Ask for another version. Raises RuntimeError when it is refused."""

    async def remove(self) -> None:
        """Ask for the end of the workload."""

    def is_settled(self, seen: Recorder) -> bool:
        """Whether nothing is on trial, as far as the controller says."""

    def is_tried(self, seen: Recorder, version: str) -> bool:
        """Whether `version` has come as far as the cell's phase asks for."""

    def figures(self, story: Story, failed: float) -> dict[str, float | None]:
        """What only this controller shows, as seconds since the epoch: `zero` is when it wanted no bad worker."""


def revision_of(pod: Json, version: str, *, label: str) -> str:
    """What the workers of `version` call themselves to HubSpot: by `label`, where there is such, or the version."""
    found: str = (pod["metadata"].get("labels") or {}).get(label, version)
    return found
