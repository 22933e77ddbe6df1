"""What `kubectl crm` prints: whole screens, and that a missing field costs only its own line."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from crm_operator.api.v1alpha1 import CrmIntegrationStatus
from crm_operator.cli import view
from crm_operator.domain.decide import decide
from tests.unit.domain.builders import a_spec, a_world

DOCS = Path(__file__).parents[3] / "docs" / "cli.md"
NOW = datetime(2026, 11, 24, 3, 0, 0, tzinfo=UTC)


def an_object(**status: Any) -> dict[str, Any]:
    return {
        "metadata": {"namespace": "crm", "name": "hubspot", "generation": 2},
        "spec": {"provider": "hubspot"},
        "status": {"observedGeneration": 2, **status},
    }


CANARY = an_object(
    phase="Progressing",
    message="Canary 7c9f: holding at 20 % until 03:00:40; 10 of 10 workers Ready",
    workers={"desired": 10, "ready": 10, "stable": 8, "canary": 2},
    queue={"waiting": 120, "running": 16, "delayed": 3, "dead": 0, "oldestAgeSeconds": 7},
    rollout={"phase": "Canary", "step": 0, "weight": 20, "stableRevision": "51d2", "canaryRevision": "7c9f"},
    guards=[
        {
            "name": "sync-errors",
            "state": "Warning",
            "value": "3",
            "stableValue": "0",
            "threshold": "0",
            "window": "5m",
            "samples": 2,
            "since": "2026-11-24T02:58:00.000Z",
            "message": "crm_sync_errors_total +3 > 0 in 5m on the new version, +0 on stable",
        },
        {
            "name": "queue-size",
            "state": "OK",
            "value": "120",
            "threshold": "200",
            "samples": 1,
            "since": "2026-11-22T03:00:00Z",
        },
    ],
    decisions=[
        {"time": "2026-11-24T02:57:00.000Z", "what": "Completed", "why": "the new version runs in all workers"},
        {
            "time": "2026-11-24T02:59:40.000Z",
            "what": "RolloutStarted",
            "why": "new template",
            "from": "51d2",
            "to": "7c9f",
        },
        {
            "time": "2026-11-24T02:59:52.000Z",
            "what": "GuardWarning",
            "why": "sync-errors: crm_sync_errors_total +3 > 0 in 5m on the new version, +0 on stable",
            "evidence": {
                "guard": "sync-errors",
                "value": "3",
                "stableValue": "0",
                "threshold": "0",
                "window": "5m",
                "samples": 2,
            },
            "next": {
                "what": "step 2 of 2 at 50 %, if by then guard sync-errors is OK",
                "time": "2026-11-24T03:00:40.000Z",
            },
        },
    ],
    next={"what": "step 2 of 2 at 50 %, if by then guard sync-errors is OK", "time": "2026-11-24T03:00:40.000Z"},
    conditions=[{"type": "Ready", "status": "True"}],
)


def test_explain() -> None:
    assert (
        "\n".join(view.explain(CANARY, NOW))
        == """\
hubspot  Progressing  (provider hubspot)
  why        Canary 7c9f: holding at 20 % until 03:00:40; 10 of 10 workers Ready
  workers    10 Ready of 10 asked for (8 stable, 2 canary)
  queue      120 waiting, the oldest for 7 s, 16 running, 3 delayed, 0 dead
  rollout    Canary, step 1 at 20 %, stable 51d2, new 7c9f
  guards     GUARD        STATE    VALUE  STABLE  LIMIT  WINDOW  SAMPLES  BLAME  FOR
             sync-errors  Warning  3      0       0      5m      2        -      2m   crm_sync_errors_total +3 > 0 in \
5m on the new version, +0 on stable
             queue-size   OK       120    -       200    -       1        -      2d
  decided    8s ago  GuardWarning: sync-errors: \
crm_sync_errors_total +3 > 0 in 5m on the new version, +0 on stable
               guard sync-errors: 3 on 2 sample(s) in 5m, limit 0, stable 0
               then at 03:00:40 UTC: step 2 of 2 at 50 %, if by then guard sync-errors is OK
             20s ago  RolloutStarted: new template (51d2 -> 7c9f)
             3m ago  Completed: the new version runs in all workers
  next       03:00:40 UTC, in 40s: step 2 of 2 at 50 %, if by then guard sync-errors is OK"""
    )


def test_status_is_the_short_form() -> None:
    explained = view.explain(CANARY, NOW)
    assert view.status(CANARY, NOW) == [*explained[:5], explained[-1]]


def test_the_table_of_all() -> None:
    other = an_object()
    other["metadata"]["name"] = "zoho"
    assert view.table([other, CANARY]) == [
        "NAME     PHASE        READY  WAITING  WORKERS  CANARY  ROLLOUT",
        "hubspot  Progressing  True   120      10       2       Canary",
        "zoho     -            -      -        -        -       -",
    ]
    assert view.table([]) == ["no CrmIntegration in this namespace"]


@pytest.mark.parametrize("field", sorted(CANARY["status"]))
def test_half_an_answer_beats_none(field: str) -> None:
    status = {key: value for key, value in CANARY["status"].items() if key != field}
    lines = view.explain({**CANARY, "status": status}, NOW)
    assert lines[0].startswith("hubspot  ")


def test_in_mode_observe_nothing_was_asked_for() -> None:
    """What the operator itself says of an integration that has no workers of ours yet."""
    status = decide(a_world(spec=a_spec(mode="Observe"), stable=None, status=CrmIntegrationStatus())).status.to_wire()
    assert "  workers    0 Ready; mode Enforce would ask for 10 (10 stable, 0 canary)" in view.status(
        an_object(**status), NOW
    )


def test_an_object_that_the_operator_has_not_seen() -> None:
    lines = view.explain({"metadata": {"name": "hubspot", "generation": 1}, "spec": {"provider": "hubspot"}}, NOW)
    assert lines[:2] == [
        "hubspot  -  (provider hubspot)",
        "  why        the operator has not seen it yet; is it running?",
    ]


def test_a_status_of_an_older_spec_says_so() -> None:
    newer = {**CANARY, "metadata": {**CANARY["metadata"], "generation": 3}}
    assert "  stale      this is of generation 2; the spec is at 3" in view.explain(newer, NOW)


def test_a_time_that_has_come_is_due() -> None:
    late = NOW.replace(minute=1)
    assert view.explain(CANARY, late)[-1].startswith("  next       03:00:40 UTC, due: ")
