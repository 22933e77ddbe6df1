"""What every chapter works with: the cluster, kubectl as the audience sees it, the watches, checks and measurements."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from demo.story.checks import CheckFailed
from demo.story.commands import from_anywhere, shown
from demo.story.narrator import Narrator
from demo.story.outside import NAMESPACE, Outside
from demo.story.report import Report
from demo.story.view import View
from demo.story.watch import Seen, Watch
from dev.cluster import Cluster

T = TypeVar("T")
INTEGRATION = "hubspot"
STABLE, CANARY = INTEGRATION, f"{INTEGRATION}-canary"
POLL_SECONDS = 0.2


@dataclass(slots=True)
class Stage:
    """One run of the story."""

    cluster: Cluster
    narrator: Narrator
    integrations: Watch
    deployments: Watch
    outside: Outside
    report: Report = field(default_factory=Report)
    held: int = 0  # checks
    bad_revision: str = ""  # set by the chapter that sees it rolled back, for the end
    bad_started: int = 0  # jobs that it had started by then

    # --- commands

    def kubectl(self, *arguments: str, quiet: bool = False) -> str:
        """Run a command in the story's namespace, shown as a user types it. Raises ClusterError."""
        self.narrator.idle()
        self.narrator.command(shown(("-n", NAMESPACE, *arguments)))
        output = self.cluster.run_kubectl("--namespace", NAMESPACE, *(from_anywhere(each) for each in arguments))
        if not quiet:
            self.narrator.output(output)
        return output

    def look(self) -> None:
        """What somebody on call would see now."""
        self.kubectl("get", "crmi")

    # --- checks

    def require(self, claim: str, holds: bool, *, found: object) -> None:
        """Say that the claim holds, with what was found. Raises CheckFailed if it does not."""
        if not holds:
            raise CheckFailed(expected=claim, found=found)
        self.held += 1
        self.narrator.idle()
        self.narrator.passed(f"{claim}: {found}")

    def equal(self, claim: str, found: object, expected: object) -> None:
        """As `require`, for something that must be exactly `expected`."""
        if found != expected:
            raise CheckFailed(expected=f"{claim}: {expected}", found=found)
        self.require(claim, holds=True, found=found)

    # --- waiting

    @property
    def view(self) -> View:
        """The integration now. Raises CheckFailed if it is gone."""
        data = self.integrations.latest(INTEGRATION)
        if data is None:
            raise CheckFailed(expected=f"CrmIntegration {INTEGRATION} to exist", found="none")
        return View(data)

    def views(self, *, since: float) -> list[View]:
        """The integration's versions from then on."""
        return [View(seen.data) for seen in self.integrations.since(INTEGRATION, since) if seen.data is not None]

    def until(self, test: Callable[[View], bool], *, within: float, expected: str, since: float | None = None) -> float:
        """When the integration first was so; waits for it. Raises CheckFailed."""
        seen = self.integrations.first(
            INTEGRATION,
            lambda data: data is not None and test(View(data)),
            since=time.time() if since is None else since,
            within=within,
            expected=expected,
            tick=lambda data: self.narrator.busy(f"{expected}; {View(data)}" if data else expected),
        )
        self.narrator.idle()
        return seen.at

    def until_deployment(
        self,
        name: str,
        test: Callable[[dict[str, Any] | None], bool],
        *,
        within: float,
        expected: str,
        since: float | None = None,
    ) -> Seen:
        """The first version of a Deployment that is so; None stands for "does not exist". Raises CheckFailed."""
        seen = self.deployments.first(
            name,
            test,
            since=time.time() if since is None else since,
            within=within,
            expected=expected,
            tick=lambda data: self.narrator.busy(f"{expected}; {ready_replicas(data)} of {replicas(data)} Ready"),
        )
        self.narrator.idle()
        return seen

    def eventually(self, read: Callable[[], T], *, until: Callable[[T], bool], within: float, expected: str) -> T:
        """Ask again and again, for what no watch tells. Raises CheckFailed."""
        deadline = time.monotonic() + within
        while not until(found := read()):
            if time.monotonic() >= deadline:
                raise CheckFailed(expected=f"{expected} within {within:g} s", found=found)
            self.narrator.busy(f"{expected}; {found}")
            time.sleep(POLL_SECONDS)
        self.narrator.idle()
        return found

    def stays(self, holds: Callable[[View], bool], *, since: float, until: float, expected: str) -> None:
        """Watch that every version from `since` to `until` (seconds since the epoch) holds. Raises CheckFailed."""
        while True:
            if (broken := next((view for view in self.views(since=since) if not holds(view)), None)) is not None:
                raise CheckFailed(expected=expected, found=broken)
            if time.time() >= until:
                break
            self.narrator.busy(f"watching {until - time.time():.0f} s more; {self.view}")
            time.sleep(POLL_SECONDS)
        self.narrator.idle()

    def follow(
        self, *, done: Callable[[View], bool], since: float, began: float | None = None, within: float, expected: str
    ) -> float:
        """Tell a rollout's stages as they come, until `done`; returns when that was. Raises CheckFailed.

        `began`, if it is not `since`, is what the told times count from.
        """
        deadline = time.monotonic() + within
        told, at = self.views(since=since)[0].stage, since

        def news(view: View) -> bool:
            return view.stage != told or done(view)

        while True:
            left = max(0.0, deadline - time.monotonic())
            at = self.until(news, since=at, within=left, expected=expected)
            view = next(view for view in self.views(since=at) if news(view))
            if view.stage != told:
                told = view.stage
                self.narrator.step(f"{told} after {at - (since if began is None else began):.1f} s: {_split(view)}")
            if done(view):
                return at


def replicas(deployment: dict[str, Any] | None) -> int:
    """What a Deployment is asked to have; 0 when it does not exist."""
    return int(deployment["spec"].get("replicas", 1)) if deployment else 0


def ready_replicas(deployment: dict[str, Any] | None) -> int:
    """Pods of a Deployment that are Ready."""
    return int(deployment.get("status", {}).get("readyReplicas", 0)) if deployment else 0


def _split(view: View) -> str:
    workers = view.workers
    return (
        f"{workers.get('stable', 0)} stable + {workers.get('canary', 0)} canary workers wanted; {view.reason}".rstrip(
            "; "
        )
    )
