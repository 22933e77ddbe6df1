"""How a pod is seen: through its worker container, and what keeps that from starting."""

from typing import Any

import pytest

from crm_operator.controller.workloads import pod


def a_pod(worker: dict[str, Any], *inits: dict[str, Any]) -> dict[str, Any]:
    """As the API server has it; each container is its status."""
    status = {
        "containerStatuses": [{"name": "sidecar", "restartCount": 9}, {"name": "worker", **worker}],
        "initContainerStatuses": [{"name": f"init-{n}", **init} for n, init in enumerate(inits)],
    }
    return {"metadata": {"name": "w-1", "labels": {}}, "status": status}


def waiting(reason: str, *, restarts: int = 0, message: str | None = None) -> dict[str, Any]:
    state = {"reason": reason} | ({"message": message} if message else {})
    return {"restartCount": restarts, "state": {"waiting": state}}


RUNNING = {"restartCount": 1, "state": {"running": {"startedAt": "2026-11-28T10:00:00Z"}}}
ENDED = {"restartCount": 0, "state": {"terminated": {"exitCode": 0}}}


@pytest.mark.parametrize(
    ("item", "reason", "message", "restarts"),
    [
        pytest.param(a_pod(RUNNING), None, None, 1, id="running"),
        pytest.param(a_pod(waiting("ContainerCreating")), None, None, 0, id="being created"),
        pytest.param(
            a_pod(waiting("CrashLoopBackOff", restarts=3, message="back-off")),
            "CrashLoopBackOff",
            "back-off",
            3,
            id="crashing",
        ),
        pytest.param(
            a_pod(waiting("PodInitializing"), ENDED, waiting("CrashLoopBackOff", restarts=2)),
            "CrashLoopBackOff",
            None,
            2,
            id="an init container crashes",
        ),
        pytest.param(a_pod(waiting("PodInitializing"), RUNNING), None, None, 0, id="an init container runs"),
        pytest.param(a_pod(RUNNING, ENDED), None, None, 1, id="the init containers are done"),
    ],
)
def test_what_keeps_a_worker_from_starting(
    item: dict[str, Any], reason: str | None, message: str | None, restarts: int
) -> None:
    seen = pod(item, role="canary", worker="worker")
    assert (seen.waiting_reason, seen.waiting_message, seen.restarts) == (reason, message, restarts)
