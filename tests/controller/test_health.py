"""Probes tell the truth, and /metrics has the names that dashboards know."""

from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import aiohttp
import pytest
from prometheus_client import CollectorRegistry

from crm_operator.api.v1alpha1 import CrmIntegrationStatus
from crm_operator.api.v1alpha1.status import Phase, WorkersStatus
from crm_operator.controller.health import Health
from crm_operator.controller.telemetry import Telemetry
from crm_operator.domain.key import Key
from crm_operator.domain.world import QueueReading
from tests.controller.test_workqueue import a_queue

HUBSPOT = Key("crm", "hubspot")

Get = Callable[[str], "aiohttp.client._RequestContextManager"]


@pytest.fixture
def wrong() -> dict[str, str | None]:
    """What the checks find."""
    return {"watch": None, "loop": None, "cache": None}


@pytest.fixture
def telemetry() -> Telemetry:
    return Telemetry(CollectorRegistry())


@pytest.fixture
async def get(wrong: dict[str, str | None], telemetry: Telemetry) -> AsyncIterator[Get]:
    live = {"watch": lambda: wrong["watch"], "loop": lambda: wrong["loop"]}
    health = Health(telemetry.registry, live=live, ready={"cache": lambda: wrong["cache"]})
    port = await health.start("127.0.0.1", 0)
    async with aiohttp.ClientSession() as session:
        yield lambda path: session.get(f"http://127.0.0.1:{port}{path}")
    await health.stop()


async def test_probes_answer_200_while_nothing_is_wrong(get: Get) -> None:
    for path, word in (("/livez", "live\n"), ("/readyz", "ready\n")):
        async with get(path) as answer:
            assert (answer.status, await answer.text()) == (200, word)


async def test_each_failed_check_is_a_line_and_readiness_does_not_touch_liveness(
    get: Get, wrong: dict[str, str | None]
) -> None:
    wrong |= {"watch": "dead", "loop": "stuck"}
    async with get("/livez") as answer:
        assert (answer.status, await answer.text()) == (500, "watch: dead\nloop: stuck\n")
    async with get("/readyz") as answer:
        assert answer.status == 200


async def test_metrics_have_the_names_of_a_go_operator_and_ours(get: Get, telemetry: Telemetry) -> None:
    telemetry.watch_queue(a_queue(concurrency=7))
    telemetry.request("GET", "api:6443", "200", 0.01)
    telemetry.leads("crm-operator", True)
    telemetry.queue.added()
    telemetry.queue.finished(0.01, "error")
    telemetry.decided("RolledBack")
    async with get("/metrics") as answer:
        text = await answer.text()
        assert answer.headers["Content-Type"].startswith("text/plain; version=")
    for line in (
        'controller_runtime_reconcile_total{controller="crmintegration",result="error"} 1.0',
        'controller_runtime_reconcile_errors_total{controller="crmintegration"} 1.0',
        'controller_runtime_reconcile_time_seconds_count{controller="crmintegration"} 1.0',
        'controller_runtime_max_concurrent_reconciles{controller="crmintegration"} 7.0',
        'controller_runtime_active_workers{controller="crmintegration"} 0.0',
        'workqueue_depth{name="crmintegration"} 0.0',
        'workqueue_adds_total{name="crmintegration"} 1.0',
        'workqueue_retries_total{name="crmintegration"} 0.0',
        'workqueue_queue_duration_seconds_count{name="crmintegration"} 0.0',
        'workqueue_work_duration_seconds_count{name="crmintegration"} 1.0',
        'workqueue_longest_running_processor_seconds{name="crmintegration"} 0.0',
        'workqueue_unfinished_work_seconds{name="crmintegration"} 0.0',
        'rest_client_requests_total{code="200",host="api:6443",method="GET"} 1.0',
        'rest_client_request_duration_seconds_count{host="api:6443",verb="GET"} 1.0',
        'leader_election_master_status{name="crm-operator"} 1.0',
        'crm_decisions_total{what="RolledBack"} 1.0',
    ):
        assert line in text.splitlines()


async def test_an_integrations_series_follow_its_status_and_go_with_it(telemetry: Telemetry) -> None:
    at = datetime(2026, 11, 24, tzinfo=UTC)
    status = CrmIntegrationStatus(
        phase=Phase.PROGRESSING,
        workers=WorkersStatus(desired=4, ready=3, stable=3, canary=1),
    )
    reading = QueueReading(
        waiting=12, running=4, delayed=0, due=0, orphaned=3, dead=0, oldest_age=timedelta(seconds=7), at=at
    )

    def value(name: str, **labels: str) -> float | None:
        return telemetry.registry.get_sample_value(name, {"namespace": "crm", "name": "hubspot", **labels})

    telemetry.integrations.show(HUBSPOT, status, reading=reading)
    assert value("crm_integration_phase", phase="Progressing") == 1
    assert value("crm_integration_phase", phase="Healthy") == 0
    assert value("crm_workers", state="canary") == 1
    assert value("crm_queue_backlog_jobs") == 16
    assert value("crm_queue_jobs", state="waiting") == 12
    assert value("crm_queue_orphaned_jobs") == 3
    assert value("crm_queue_oldest_age_seconds") == 7
    telemetry.integrations.show(HUBSPOT, status, reading=replace(reading, oldest_age=None))
    assert value("crm_queue_oldest_age_seconds") is None, "an age that cannot be read is not 0"
    telemetry.integrations.show(HUBSPOT, status, reading=replace(reading, waiting=0, oldest_age=None))
    assert value("crm_queue_oldest_age_seconds") == 0
    telemetry.integrations.show(HUBSPOT, status, reading=None)
    assert value("crm_queue_backlog_jobs") is None, "an old number would look like a fresh one"
    assert value("crm_workers", state="ready") == 3
    telemetry.integrations.forget(HUBSPOT)
    left = [s for family in telemetry.registry.collect() for s in family.samples if s.labels.get("name") == "hubspot"]
    assert left == []
