"""What was seen of each integration: its decisions, what its guard said, and which workers it had when."""

from collections import defaultdict
from dataclasses import dataclass, field
from math import inf

from bench.recorder import Change, Json, Recorder
from crm_operator.api.names import LABEL_INTEGRATION, LABEL_REVISION

#: The guard that is told of; another one is built in.
GUARD = "sync-errors"


@dataclass(frozen=True, slots=True)
class Decided:
    """`at` is when it was seen, in seconds since the epoch."""

    at: float
    time: str  # by the operator's clock
    what: str
    why: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a guard said from `at` on."""

    at: float
    state: str
    blame: str | None
    message: str


@dataclass(slots=True)
class SeenPod:
    """A worker's pod: since when it is there, and since when it is told to end or gone."""

    name: str
    revision: str
    came: float
    left: float | None = None


@dataclass(slots=True)
class Story:
    """One integration's."""

    decisions: list[Decided] = field(default_factory=list)
    verdicts: list[Verdict] = field(default_factory=list)
    pods: dict[str, SeenPod] = field(default_factory=dict)
    live: Json = field(default_factory=dict)

    @property
    def rollout(self) -> Json:
        found: Json = (self.live.get("status") or {}).get("rollout") or {}
        return found

    @property
    def phase(self) -> str | None:
        """Of its rollout."""
        found: str | None = self.rollout.get("phase")
        return found

    def decided(self, what: str) -> Decided | None:
        """The newest such decision."""
        return next((decided for decided in reversed(self.decisions) if decided.what == what), None)

    def working(self, *, at: float = inf) -> list[SeenPod]:
        """Its pods that stay, or that did at that time."""
        return [pod for pod in self.pods.values() if pod.came <= at and (pod.left is None or pod.left > at)]


class Stories:
    """Reads a recorder piece by piece; who looks at a story calls `read` first."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._read = 0
        self._of = defaultdict[str, Story](Story)

    def __getitem__(self, integration: str) -> Story:
        self.read()
        return self._of[integration]

    def read(self) -> None:
        changes = self._recorder.changes[self._read :]
        self._read += len(changes)
        for change in changes:
            if change.kind == "Pod":
                self._pod(change)
            elif change.kind == "CrmIntegration" and change.type != "DELETED":
                self._integration(change)

    def _pod(self, change: Change) -> None:
        integration = change.label.get(LABEL_INTEGRATION)
        if integration is None:
            return
        pods = self._of[integration].pods
        pod = pods.setdefault(change.name, SeenPod(change.name, change.label.get(LABEL_REVISION, ""), change.at))
        ends = change.type == "DELETED" or "deletionTimestamp" in change.object["metadata"]
        if ends and pod.left is None:
            pod.left = change.at

    def _integration(self, change: Change) -> None:
        story = self._of[change.name]
        story.live = change.object
        status: Json = change.object.get("status") or {}
        known = {(decided.time, decided.what, decided.why) for decided in story.decisions}
        for decision in status.get("decisions") or []:
            told = (decision["time"], decision["what"], decision["why"])
            if told not in known:
                story.decisions.append(Decided(change.at, *told))
        for guard in status.get("guards") or []:
            if guard["name"] != GUARD:
                continue
            said = Verdict(change.at, guard["state"], guard.get("blame"), guard["message"])
            last = story.verdicts[-1] if story.verdicts else None
            if last is None or (last.state, last.blame, last.message) != (said.state, said.blame, said.message):
                story.verdicts.append(said)
