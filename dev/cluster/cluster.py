"""What other code uses: `up`, `down`, and the running Cluster between them.

Which provider does the work shows only here.
"""

import os
import signal
import subprocess
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from dev.cluster import containerd, control_plane, diagnose, kind, kwok, local, teardown
from dev.cluster.components import Supervisor
from dev.cluster.config import DEFAULT_NAME, ProviderName, Tier, clusters_root, work_folder
from dev.cluster.errors import ClusterError
from dev.cluster.locks import exclusive
from dev.cluster.network import Addresses
from dev.cluster.progress import PlainProgress, Progress
from dev.cluster.state import Record

DEFAULT_FAKE_NODES = 3


@dataclass(frozen=True, slots=True)
class Cluster:
    """A running cluster. Holds no connection: make as many of the same name as you like."""

    record: Record
    work: Path  # 0700; gone after `down`

    @property
    def name(self) -> str:
        """Its name, as given to `up`."""
        return self.record.name

    @property
    def tier(self) -> Tier:
        """api or node."""
        return self.record.tier

    @property
    def kubeconfig(self) -> Path:
        """Kubeconfig of an administrator. The caller's KUBECONFIG is never read or written."""
        return self.work / "admin.kubeconfig"

    @property
    def audit_log(self) -> Path:
        """The API server's audit log: JSON lines at level Metadata, one per finished request, without health checks."""
        return control_plane.audit_log(self.work)

    @property
    def kubectl(self) -> Path:
        """A kubectl of the cluster's version."""
        return self.work / "kubectl"

    @property
    def host_ip(self) -> str:
        """Address of this machine that programs on it can listen on and pods can reach; 127.0.0.1 in the api tier."""
        if self.record.provider is ProviderName.KIND:
            return kind.host_ip()
        return str(Addresses(self.record.block).host if self.record.block else control_plane.LOOPBACK)

    def run_kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        """Output of `kubectl ARGUMENTS` as administrator. Raises ClusterError with kubectl's words if it fails."""
        done = subprocess.run(
            [self.kubectl, f"--kubeconfig={self.kubeconfig}", *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            env={key: value for key, value in os.environ.items() if key != "KUBECONFIG"},
        )
        if done.returncode:
            raise ClusterError(f"kubectl {' '.join(arguments)}: {done.stderr.strip()}")
        return done.stdout

    def load_image(self, archive: Path) -> None:
        """Give the node the image of an OCI archive, under the name it was built with. Raises ClusterError."""
        if self.record.provider is ProviderName.KIND:
            kind.load_image(self.name, archive)
        elif self.tier is Tier.API:
            raise ClusterError("the api tier has no containers; start the cluster with --tier node to load images")
        else:
            containerd.import_image(self.work, archive)

    def components(self) -> list[str]:
        """Names for the methods below, in the order of their start."""
        return list(self._supervisor().statuses())

    def stop_component(self, name: str, *, kill: bool = False, within_seconds: float = 10.0) -> None:
        """Stop a component: by SIGTERM and after `within_seconds` by SIGKILL, or with `kill` as in a crash.

        Returns when it has ended. It stays down until start_component. Raises ClusterError if it does not run.
        """
        supervisor = self._supervisor()
        if kill:
            supervisor.kill(name)
        else:
            supervisor.stop(name, within_seconds=within_seconds)

    def start_component(self, name: str) -> None:
        """Start a stopped component as before; returns when the cluster is whole again. Raises ComponentFailed."""
        supervisor = self._supervisor()
        supervisor.start_again(name)
        if name == "kube-apiserver":
            with local.admin_api(self.record.server, self.work) as api:
                supervisor.wait_component_ready(name, api.is_ready, "/readyz")

    def freeze_component(self, name: str) -> None:
        """SIGSTOP: it keeps its connections and answers nothing, as a machine that hangs."""
        self._supervisor().signal(name, signal.SIGSTOP)

    def thaw_component(self, name: str) -> None:
        """SIGCONT."""
        self._supervisor().signal(name, signal.SIGCONT)

    def add_stages(self, documents: str) -> None:
        """Teach the fake nodes of an api tier further behaviour: KWOK `Stage` documents (YAML). Restarts KWOK.

        A stage with `weight: 1` beats the usual ones, by which every pod becomes Ready at once. Raises ClusterError.
        """
        if self.tier is not Tier.API:
            raise ClusterError("only the api tier has fake nodes; start the cluster with --tier api to add stages")
        with kwok.stages_file(self.work).open("a") as file:
            file.write(f"\n---\n{documents}")
        self.stop_component("kwok", kill=True)
        self.start_component("kwok")

    def diagnose(self, into: Path) -> None:
        """Write logs, events, objects and pod logs into the folder `into`, as much as can be had."""
        diagnose.write(self, into)

    def healthy(self) -> bool:
        """Whether all of it runs and answers."""
        if self.record.provider is ProviderName.KIND:
            return kind.is_healthy(self.name)
        return local.is_healthy(self.record, self.work)

    def _supervisor(self) -> Supervisor:
        if self.record.provider is ProviderName.KIND:
            raise ClusterError("components of a kind cluster cannot be stopped one by one; use --provider local")
        return Supervisor(self.work)


def up(
    name: str = DEFAULT_NAME,
    tier: Tier | str = Tier.NODE,
    provider: ProviderName | str = ProviderName.AUTO,
    *,
    progress: Progress | None = None,
    fake_nodes: int = DEFAULT_FAKE_NODES,
    autoscaler_sync_seconds: int = 15,
) -> Cluster:
    """Start a cluster, or find the healthy one of that name and tier; returns when it is complete.

    What an earlier, killed run left under that name is removed first. `fake_nodes` counts in the api tier only, and
    Kubernetes' default of `autoscaler_sync_seconds`, for HorizontalPodAutoscalers, is 15. Both need the local provider.
    Raises ClusterError; see dev.cluster.errors.
    """
    tier, provider = Tier(tier), ProviderName(provider)
    progress = progress or PlainProgress()
    work = work_folder(name)
    with _only_one(name, progress):
        if (running := _find(work)) is not None:
            if running.tier is not tier and running.healthy():
                raise ClusterError(
                    f"cluster {name} runs with tier {running.tier}, not {tier}: choose another name, or stop it first"
                )
            if running.healthy():
                progress.step(f"cluster {name} ({tier} tier) runs already")
                return running
            progress.step(f"cluster {name} is there but not healthy: starting it anew")
        _remove(name, work, running)
        chosen = kind.choose(provider, tier)
        if chosen is ProviderName.KIND:
            kind.start(name, work, progress)
        else:
            local.start(
                name, tier, work, progress, fake_nodes=fake_nodes, autoscaler_sync_seconds=autoscaler_sync_seconds
            )
        started = _find(work)
        assert started is not None
        return started


def down(name: str = DEFAULT_NAME, *, progress: Progress | None = None) -> bool:
    """Stop a cluster and remove everything of it; False when there was none. Raises ClusterError or TimeoutError."""
    progress = progress or PlainProgress()
    work = work_folder(name)
    with _only_one(name, progress):
        existed = work.exists()
        _remove(name, work, _find(work))
    return existed


def find(name: str = DEFAULT_NAME) -> Cluster | None:
    """The cluster of that name as recorded, healthy or not; None when there is none."""
    return _find(work_folder(name))


def _find(work: Path) -> Cluster | None:
    record = Record.load(work)
    return Cluster(record, work) if record else None


def _remove(name: str, work: Path, cluster: Cluster | None) -> None:
    if cluster is not None and cluster.record.provider is ProviderName.KIND:
        kind.delete(name)
    teardown.clean(work)


def _only_one(name: str, progress: Progress) -> AbstractContextManager[None]:
    return exclusive(clusters_root() / f".{name}.lock", progress, f"starting or stopping cluster {name}")
