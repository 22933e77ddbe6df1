"""What was seen of one run, asked for by the version's label alone, so that it does not matter whose pods they are.

Folds watch events over what was there before them. No cluster, no clock.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from bench.recorder import Change, Json

#: On each pod of the workload, and so on its ReplicaSet: the version that was shipped.
VERSION = "crm-bench/version"


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """From the shipping of `bad` on."""

    before: Sequence[Json]  # pods that were there
    changes: Sequence[Change]
    good: str
    bad: str
    workers: int

    def told(self, after: float) -> float | None:
        """When each bad pod had been told to stop; times are in seconds since the epoch, the first from `after` on."""
        return self._when(after, lambda pods: all(map(is_told, of_version(pods, self.bad))))

    def gone(self, after: float) -> float | None:
        """When no bad pod was left."""
        return self._when(after, lambda pods: not of_version(pods, self.bad))

    def full(self, after: float) -> float | None:
        """When as many good pods as there are to be were Ready, and none of them told to stop."""
        return self._when(after, lambda pods: able(pods, self.good) >= self.workers)

    def wanted_zero(self, after: float) -> float | None:
        """When no ReplicaSet of the bad version wanted a pod."""
        wanted: dict[str, int] = {}
        for change in self.changes:
            if change.kind != "ReplicaSet" or change.label.get(VERSION) != self.bad:
                continue
            wanted[change.name] = 0 if change.type == "DELETED" else change.object["spec"].get("replicas", 1)
            if change.at >= after and not any(wanted.values()):
                return change.at
        return None

    def stopped(self, after: float) -> float | None:
        """When no ReplicaSet of the bad version wanted a pod, and each that there was had been told to stop."""
        zero, told = self.wanted_zero(after), self.told(after)
        return None if zero is None or told is None else max(zero, told)

    def first(self, after: float, holds: Callable[[Change], bool]) -> float | None:
        """When it first held of a change."""
        return next((change.at for change in self.changes if change.at >= after and holds(change)), None)

    def _when(self, after: float, holds: Callable[[Iterable[Json]], bool]) -> float | None:
        pods = {pod["metadata"]["name"]: pod for pod in self.before}
        past = after
        for change in self.changes:
            if change.at >= after and holds(pods.values()):
                return past
            past = max(after, change.at)
            if change.kind != "Pod":
                continue
            if change.type == "DELETED":
                pods.pop(change.name, None)
            else:
                pods[change.name] = change.object
        return past if holds(pods.values()) else None


def of_version(pods: Iterable[Json], version: str) -> list[Json]:
    """The pods that run it."""
    return [pod for pod in pods if version_of(pod) == version]


def able(pods: Iterable[Json], version: str) -> int:
    """How many pods of that version are Ready and stay."""
    return sum(is_ready(pod) and not is_told(pod) for pod in of_version(pods, version))


def is_full(pods: Sequence[Json], version: str, workers: int) -> bool:
    """Whether there are so many pods, all of them Ready workers of that version."""
    return len(pods) == workers == able(pods, version)


def version_of(obj: Json) -> str | None:
    """Of a pod, or of a pod template."""
    label: str | None = (obj.get("metadata", {}).get("labels") or {}).get(VERSION)
    return label


def is_told(pod: Json) -> bool:
    """To stop."""
    return bool(pod["metadata"].get("deletionTimestamp"))


def is_ready(pod: Json) -> bool:
    """By its condition."""
    conditions: list[Json] = (pod.get("status") or {}).get("conditions") or []
    return any(condition["type"] == "Ready" and condition["status"] == "True" for condition in conditions)
