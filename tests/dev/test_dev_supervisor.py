"""The supervisor, with ordinary programs as components: no Kubernetes needed."""

import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from dev.cluster import processes, teardown
from dev.cluster.components import Component, Supervisor
from dev.cluster.errors import ClusterError, ComponentFailed
from dev.cluster.waiting import wait_until

FOREVER = [sys.executable, "-c", "import time; print('up', flush=True); time.sleep(3600)"]
STUBBORN = [
    sys.executable,
    "-c",
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(3600)",
]


@pytest.fixture
def supervisor(tmp_path: Path) -> Iterator[Supervisor]:
    """A running supervisor without namespaces."""
    (tmp_path / "logs").mkdir()
    supervisor = Supervisor(tmp_path)
    supervisor.launch(isolated=False)
    yield supervisor
    teardown.end_processes(tmp_path)


def started(supervisor: Supervisor, name: str, argv: list[str]) -> processes.Identity:
    """Start a component that says `up` and wait until it did."""
    supervisor.start(Component(name, argv))
    status = supervisor.statuses()[name]
    wait_until(lambda: "up" in status.log.read_text(), f"{name} up", within_seconds=10)
    assert status.pid is not None
    identity = processes.identify(status.pid)
    assert identity is not None
    return identity


def test_a_component_runs_until_it_is_stopped_and_can_be_started_again(supervisor: Supervisor) -> None:
    started(supervisor, "one", FOREVER)
    supervisor.stop("one", within_seconds=10)
    assert supervisor.statuses()["one"].exit == -signal.SIGTERM
    supervisor.start_again("one")
    assert supervisor.statuses()["one"].pid is not None


def test_a_component_that_ignores_sigterm_is_killed(supervisor: Supervisor) -> None:
    started(supervisor, "stubborn", STUBBORN)
    supervisor.stop("stubborn", within_seconds=0.2)
    assert supervisor.statuses()["stubborn"].exit == -signal.SIGKILL


def test_components_end_with_their_supervisor_however_it_ends(supervisor: Supervisor) -> None:
    identity = started(supervisor, "stubborn", STUBBORN)
    assert supervisor.identity is not None
    processes.kill(supervisor.identity)
    wait_until(lambda: not processes.is_alive(identity), "the end of the component", within_seconds=10)


def test_a_component_that_ends_is_named_with_the_end_of_its_log(supervisor: Supervisor) -> None:
    supervisor.start(Component("broken", [sys.executable, "-c", "raise SystemExit('no such flag')"]))
    with pytest.raises(ComponentFailed, match=r"broken: ended with code 1(.|\n)*no such flag") as caught:
        supervisor.wait_ready("other", lambda: False, "something that never happens")
    assert caught.value.component == "broken"


def test_a_component_that_is_never_ready_is_named(supervisor: Supervisor) -> None:
    started(supervisor, "slow", FOREVER)
    with pytest.raises(ComponentFailed, match=r"slow: readiness did not happen within 0\.1 s"):
        supervisor.wait_ready("slow", lambda: False, "readiness", within_seconds=0.1)


def test_a_program_that_does_not_exist_says_so(supervisor: Supervisor) -> None:
    supervisor.start(Component("missing", ["/nonexistent"]))
    with pytest.raises(ComponentFailed, match="cannot start /nonexistent"):
        supervisor.wait_ready("missing", lambda: False, "anything")


def test_misuse_is_answered_in_words(supervisor: Supervisor) -> None:
    started(supervisor, "one", FOREVER)
    with pytest.raises(ClusterError, match="one is running already"):
        supervisor.start_again("one")
    with pytest.raises(ClusterError, match="never is not running"):
        supervisor.kill("never")
    with pytest.raises(ClusterError, match="was never started"):
        supervisor.start_again("never")


def test_the_environment_of_the_caller_does_not_reach_components(
    supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", "/somebody/elses")
    supervisor.start(Component("env", [sys.executable, "-c", "import os; print('up', sorted(os.environ))"]))
    log = supervisor.statuses()["env"].log
    wait_until(lambda: "up" in log.read_text(), "the environment", within_seconds=10)
    assert "KUBECONFIG" not in log.read_text()
