"""Which other integrations tell whether a provider fails, and how old what they say may be."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from crm_operator.api.v1alpha1 import (
    AutomaticPauseState,
    AutomaticPauseStatus,
    CrmIntegrationStatus,
    GuardState,
    GuardStatus,
    RolloutPhase,
)
from crm_operator.controller.cache import Cache
from crm_operator.controller.neighbours import neighbours
from crm_operator.domain.key import Key
from crm_operator.domain.world import Neighbour
from tests.unit.domain.builders import NOW, a_rollout, a_spec, a_status

HUBSPOT = Key("crm", "hubspot")
ERRORS = GuardStatus(name="sync-errors", state=GuardState.OK, since=NOW, message="0 errors")
BLAMED = ERRORS.model_copy(update={"state": GuardState.CRITICAL, "blame": "revision"})


def integration(name: str, status: CrmIntegrationStatus, namespace: str = "crm", **spec: Any) -> dict[str, Any]:
    metadata = {"namespace": namespace, "name": name, "uid": f"{namespace}-{name}", "resourceVersion": "1"}
    return {"metadata": metadata, "spec": a_spec(**spec).to_wire(), "status": status.to_wire()}


def seen(*others: dict[str, Any]) -> tuple[Neighbour, ...]:
    cache = Cache()
    for item in (integration("hubspot", a_status(guards=[ERRORS])), *others):
        cache.upsert("CrmIntegration", item)
    return neighbours(cache, HUBSPOT, "hubspot")


@pytest.mark.parametrize("state", [GuardState.OK, GuardState.WARNING, GuardState.CRITICAL, GuardState.UNKNOWN])
def test_a_neighbour_says_what_its_guard_said_last(state: GuardState) -> None:
    (found,) = seen(integration("eu", a_status(guards=[ERRORS.model_copy(update={"state": state})])))
    assert (found.name, found.metric, found.state, found.since) == ("eu", "crm_sync_errors_total", state, NOW)
    assert found.reads_every == timedelta(seconds=5)


@pytest.mark.parametrize("clear_time", [None, NOW])
def test_a_state_that_is_only_kept_is_told_from_one_that_is(clear_time: datetime | None) -> None:
    was = ERRORS.model_copy(update={"state": GuardState.CRITICAL, "clear_time": clear_time})
    (found,) = seen(integration("eu", a_status(guards=[was])))
    assert (found.state, found.is_kept) == (GuardState.CRITICAL, clear_time is not None)


def test_it_is_as_old_as_the_source_of_that_guard_is_read() -> None:
    metrics = {"pods": {"interval": "2s"}, "backend": {"url": "http://api:8000", "interval": "30s"}}
    (found,) = seen(integration("eu", a_status(guards=[ERRORS]), metrics=metrics))
    assert found.reads_every == timedelta(seconds=2)


def test_one_that_was_paused_for_the_provider_says_so_by_each_guard_that_blames_no_release() -> None:
    metric, earlier = {"from": "queue", "name": "dead"}, NOW - timedelta(minutes=5)
    lasting = GuardStatus(name="lasting", state=GuardState.CRITICAL, since=earlier)
    guards = [
        GuardStatus(name="unread", state=GuardState.INACTIVE, since=earlier),
        GuardStatus(name="read-before", state=GuardState.OK, since=earlier),
        lasting,
        lasting.model_copy(update={"name": "left-behind", "blame": "revision"}),
    ]
    asked = [{"name": was.name, "metric": metric, "reduce": "Last", "critical": {"above": 1}} for was in guards]

    def told(state: AutomaticPauseState) -> list[tuple[GuardState, datetime]]:
        pause = AutomaticPauseStatus(name="eu-auto", state=state, guard="lasting", request_time=NOW, reason="dead")
        found = seen(integration("eu", a_status(guards=guards, automatic_pause=pause), guards=asked))
        return [(neighbour.state, neighbour.since) for neighbour in found]

    assert told(AutomaticPauseState.HOLDING) == [
        (GuardState.CRITICAL, NOW),
        (GuardState.CRITICAL, NOW),
        (GuardState.CRITICAL, earlier),
    ]
    # Workers run, and tell.
    for state in (AutomaticPauseState.REQUESTED, AutomaticPauseState.LIFTED):
        assert told(state) == [(GuardState.OK, earlier), (GuardState.CRITICAL, earlier)]


def test_nobody_else_tells() -> None:
    trial = a_status(a_rollout(RolloutPhase.CANARY), guards=[ERRORS])
    broken = integration("broken", a_status(guards=[ERRORS]))
    broken["spec"]["scaling"] = {"maxReplicas": "many"}
    assert (
        seen(
            integration("trial", trial),
            integration("elsewhere", a_status(guards=[ERRORS]), namespace="other"),
            integration("zoho", a_status(guards=[ERRORS]), provider="zoho"),
            integration("idle", a_status(guards=[ERRORS.model_copy(update={"state": GuardState.INACTIVE})])),
            integration("back", a_status(a_rollout(RolloutPhase.ROLLING_BACK), guards=[BLAMED])),
            integration("old", a_status(guards=[ERRORS.model_copy(update={"name": "gone"})])),
            broken,
        )
        == ()
    )
