"""When an integration is paused, and what a SyncPause says of itself."""

from datetime import timedelta
from typing import Any

import pytest

from crm_operator.api.v1alpha1 import SyncPausePhase, SyncPauseSpec, SyncPauseStatus, SyncState, SyncStatus
from crm_operator.domain.decide import decide
from crm_operator.domain.pause import effective, matches, pause_status, sync
from crm_operator.domain.plan import SetReplicas
from tests.unit.domain.builders import (
    GOOD,
    NOW,
    SECOND,
    a_canary_world,
    a_pause,
    a_status,
    a_workload,
    a_world,
    an_outage,
    pods,
)

PAUSING = SyncStatus(state=SyncState.PAUSING, since_time=NOW - 4 * SECOND)
PAUSED = SyncStatus(state=SyncState.PAUSED, since_time=NOW - 60 * SECOND, took_seconds=4.0, pauses=["hubspot"])


def a_pause_spec(**parts: Any) -> SyncPauseSpec:
    return SyncPauseSpec.model_validate({"providers": ["hubspot"], "reason": "INC-42"} | parts)


def test_a_pause_scales_both_sides_to_zero() -> None:
    plan = decide(a_canary_world(pauses=(a_pause(),)))
    assert {(a.role, a.replicas) for a in plan.actions if isinstance(a, SetReplicas)} == {("stable", 0), ("canary", 0)}


def test_a_pause_with_no_reachable_broker_still_scales_to_zero() -> None:
    plan = decide(a_world(target=GOOD, pauses=(a_pause(),), queue=an_outage()))
    assert [(a.role, a.replicas) for a in plan.actions if isinstance(a, SetReplicas)] == [("stable", 0)]


@pytest.mark.parametrize(
    ("stable", "state"),
    [
        pytest.param(a_workload(0), SyncState.PAUSED, id="no pod is left"),
        pytest.param(a_workload(0, pods=pods(1, terminating=True)), SyncState.PAUSING, id="a pod still drains"),
        pytest.param(a_workload(0, observed=False), SyncState.PAUSING, id="the controller has not seen it"),
        pytest.param(a_workload(0, total=1), SyncState.PAUSING, id="a pod is not in the cache yet"),
        pytest.param(a_workload(3), SyncState.PAUSING, id="not scaled yet"),
        pytest.param(None, SyncState.PAUSED, id="never deployed"),
    ],
)
def test_paused_is_said_only_when_no_worker_can_start_a_job(stable: Any, state: SyncState) -> None:
    found = sync(a_world(pauses=(a_pause(),), stable=stable, status=a_status(sync=PAUSING)))
    assert found.status.state is state


def test_paused_says_the_seconds_it_took() -> None:
    found = sync(a_world(pauses=(a_pause(),), stable=a_workload(0), status=a_status(sync=PAUSING)))
    assert found.status.took_seconds == 4.0
    assert "4.0 s after the pause" in found.decisions[-1].why


def test_a_worker_found_during_a_pause_takes_the_word_paused_back() -> None:
    found = sync(a_world(pauses=(a_pause(),), stable=a_workload(2), status=a_status(sync=PAUSED)))
    assert found.status.state is SyncState.PAUSING


def test_lifting_the_last_pause_resumes() -> None:
    found = sync(a_world(status=a_status(sync=PAUSED)))
    assert found.status.state is SyncState.RUNNING
    assert [decision.what for decision in found.decisions] == ["Resumed"]


def test_nothing_changes_while_nothing_changes() -> None:
    found = sync(a_world(pauses=(a_pause(),), stable=a_workload(0), status=a_status(sync=PAUSED)))
    assert (found.status, found.decisions) == (PAUSED, ())


@pytest.mark.parametrize(
    ("spec", "matched"),
    [
        pytest.param({"providers": ["hubspot"]}, True, id="by provider"),
        pytest.param({"providers": ["zoho"]}, False, id="another provider"),
        pytest.param({"providers": []}, True, id="all of the namespace"),
        pytest.param({"providers": None, "integrations": ["hubspot-eu"]}, True, id="by name"),
        pytest.param({"providers": None, "integrations": ["hubspot"]}, False, id="a name is not a provider"),
    ],
)
def test_matches(spec: dict[str, Any], matched: bool) -> None:
    assert matches(a_pause_spec(**spec), provider="hubspot", integration="hubspot-eu") is matched


def test_a_pause_expires_after_its_time_from_when_it_was_first_seen() -> None:
    spec = a_pause_spec(expiresAfter="1h")
    seen = SyncPauseStatus(effective_time=NOW - timedelta(hours=1))
    assert effective("p", spec, SyncPauseStatus(), NOW) is not None
    assert effective("p", spec, seen, NOW - SECOND) is not None
    assert effective("p", spec, seen, NOW) is None


def status_of(spec: SyncPauseSpec, syncs: dict[str, SyncStatus | None], was: SyncPauseStatus | None = None) -> Any:
    return pause_status("hubspot", spec, was or SyncPauseStatus(), generation=3, syncs=syncs, now=NOW)


@pytest.mark.parametrize(
    ("spec", "syncs", "phase", "words"),
    [
        pytest.param({}, {"hubspot": PAUSED}, SyncPausePhase.PAUSED, "ended 4.0 s after", id="paused"),
        pytest.param({}, {"hubspot": PAUSING}, SyncPausePhase.PAUSING, "hubspot are still draining", id="pausing"),
        pytest.param({}, {"hubspot": None}, SyncPausePhase.PAUSING, "still draining", id="not seen yet"),
        pytest.param(
            {},
            {"hubspot": PAUSED.model_copy(update={"pauses": ["other"]})},
            SyncPausePhase.PAUSING,
            "still draining",
            id="held by another pause only",
        ),
        pytest.param({}, {}, SyncPausePhase.PAUSED, "nothing to pause", id="matches nothing"),
        pytest.param({"paused": False}, {"hubspot": PAUSED}, SyncPausePhase.RELEASED, "lifted", id="lifted"),
    ],
)
def test_what_a_pause_says(
    spec: dict[str, Any], syncs: dict[str, SyncStatus | None], phase: SyncPausePhase, words: str
) -> None:
    status = status_of(a_pause_spec(**spec), syncs)
    assert status.phase is phase
    assert words in status.message
    assert status.observed_generation == 3


def test_a_pause_that_was_lifted_and_set_again_counts_anew() -> None:
    lifted = status_of(a_pause_spec(paused=False), {}, SyncPauseStatus(effective_time=NOW - timedelta(hours=2)))
    assert lifted.effective_time is None
    assert status_of(a_pause_spec(), {}, lifted).effective_time == NOW


def test_an_expired_pause_says_so() -> None:
    was = SyncPauseStatus(effective_time=NOW - timedelta(hours=2))
    assert status_of(a_pause_spec(expiresAfter="1h"), {"hubspot": PAUSED}, was).phase is SyncPausePhase.EXPIRED


def test_the_same_pause_gives_the_same_status() -> None:
    once = status_of(a_pause_spec(), {"hubspot": PAUSED})
    again = pause_status(
        "hubspot", a_pause_spec(), once, generation=3, syncs={"hubspot": PAUSED}, now=NOW + timedelta(hours=1)
    )
    assert again == once
