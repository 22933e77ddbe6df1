"""A CrmIntegration as the story reads it. Pure: made from what the API server answered."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Any


@dataclass(frozen=True, slots=True)
class View:
    """One version of the object. Whatever the operator has not written yet is empty, 0 or None."""

    data: Mapping[str, Any]

    @property
    def status(self) -> Mapping[str, Any]:
        return self.data.get("status") or {}

    @property
    def up_to_date(self) -> bool:
        """Whether the status speaks of the spec that is there."""
        return bool(self.status.get("observedGeneration") == self.data["metadata"]["generation"])

    @property
    def phase(self) -> str:
        return str(self.status.get("phase") or "")

    @property
    def rollout(self) -> Mapping[str, Any]:
        return self.status.get("rollout") or {}

    @property
    def rollout_phase(self) -> str:
        return str(self.rollout.get("phase") or "")

    @property
    def stable_revision(self) -> str:
        return str(self.rollout.get("stableRevision") or "")

    @property
    def candidate(self) -> str:
        """The revision on trial."""
        return str(self.rollout.get("canaryRevision") or "")

    @property
    def reason(self) -> str:
        return str(self.rollout.get("reason") or "")

    @property
    def step_started(self) -> float | None:
        """Since when the step's hold is counted, in seconds since the epoch; None while its pods are not Ready."""
        text = self.rollout.get("stepStartTime")
        return datetime.fromisoformat(text).timestamp() if text else None

    @property
    def stage(self) -> str:
        """Where the rollout stands, with the weight while that means something: `Canary 25 %`, `Baking`."""
        if self.rollout_phase == "Canary":
            return f"Canary {self.rollout.get('weight', 0)} %"
        return self.rollout_phase

    @property
    def workers(self) -> Mapping[str, int]:
        return self.status.get("workers") or {}

    def condition(self, kind: str) -> Mapping[str, str]:
        """The condition of that type; {} before there is one."""
        return next((each for each in self.status.get("conditions") or [] if each["type"] == kind), {})

    def says(self, kind: str) -> str:
        """A condition as `True/RolledBack`."""
        found = self.condition(kind)
        return f"{found.get('status', 'absent')}/{found.get('reason', '-')}"

    def guard(self, name: str) -> Mapping[str, Any]:
        """The verdict of that guard; {} before there is one."""
        return next((each for each in self.status.get("guards") or [] if each["name"] == name), {})

    def __str__(self) -> str:
        workers, queue = self.workers, self.status.get("queue") or {}
        return (
            f"phase {self.phase or 'not set'}, rollout {self.stage or 'not set'}, "
            f"{workers.get('ready', 0)} of {workers.get('desired', 0)} workers Ready, "
            f"{queue.get('waiting', 0)} jobs waiting"
        )


def stages(views: Iterable[View]) -> list[str]:
    """The way a rollout took, each stage once for as long as it lasted."""
    return [stage for stage, _ in groupby(view.stage for view in views) if stage]
