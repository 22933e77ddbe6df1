"""Where the runbook's guards are read, and when they are Inactive."""

import re
from typing import Any

import pytest

from crm_operator.api.duration import render
from crm_operator.api.v1alpha1 import CrmIntegrationSpec, Guard, GuardState, MetricOrigin
from crm_operator.domain.default_guards import RUNBOOK, lacks_metric, readings_of
from crm_operator.domain.guards import evaluate
from crm_operator.domain.world import Evidence, Reading, Unknown
from tests.unit.domain.builders import a_canary_world, a_guard, a_spec, a_world, read
from tests.unit.domain.fleet import LEVEL, Fleet

ERRORS, DEAD = RUNBOOK[0], RUNBOOK[4]
PROMETHEUS: dict[str, Any] = {"prometheus": {"url": "http://prometheus:9090"}}
PODS: dict[str, Any] = {"pods": {}}
BACKEND: dict[str, Any] = {"backend": {"url": "http://api/crm/metrics"}}
MISSING = Unknown("not there", "MetricMissing")
NO_PODS = Unknown("no pod", "NoPods")
REFUSED = Unknown("connection refused", "ConnectionRefused")


def readings(guard: Guard, spec: CrmIntegrationSpec) -> tuple[Guard, ...]:
    return readings_of(guard, spec, namespace="crm", name="hubspot")


#: The runbook's own lines; what the queue holds it watches without a window.
THRESHOLDS = {
    "critical": "crm_sync_errors_total > 10 in 5m | webhook_latency_p95 > 5s in 5m | connection_failures > 5 in 10m "
    "| dlq_size > 0",
    "warning": "crm_sync_errors_total > 0 in 5m | webhook_latency_p95 > 2s in 5m | rate_limit_hits > 20 in 1m "
    "| worker_queue_size > 200",
}


def test_the_numbers_severities_and_windows_are_the_runbooks() -> None:
    of_the_queue = {"dead": "dlq_size", "waiting": "worker_queue_size"}
    for severity, line in THRESHOLDS.items():
        told = [
            f"{of_the_queue.get(guard.metric.shown, guard.metric.shown)} > {limit.above:g}"
            + ("" if guard.window is None else f" in {render(guard.window)}")
            for guard in RUNBOOK
            if (limit := getattr(guard, severity)) is not None
        ]
        assert sorted(told) == sorted(line.replace("s in", " in").split(" | "))


def test_a_latency_breaches_at_once_and_is_clear_after_a_clean_window() -> None:
    default = next(guard for guard in RUNBOOK if guard.name == "webhook-latency")
    latency = default.model_copy(update={"metric": default.metric.model_copy(update={"name": LEVEL})})
    fleet, states, spec = Fleet(a=-5), [], a_spec(guards=[latency.to_wire()])
    for second, value in enumerate([1, 6, 6, *[1] * 310]):
        fleet.says(second, "a", float(value), metric=LEVEL)
        found = {latency.name: Evidence(overall=fleet.overall(second, latency))}
        states.append(evaluate(a_world(spec=spec, evidence=found))[0].state)
    assert states[:3] == [GuardState.OK, GuardState.OK, GuardState.CRITICAL], "two scrapes running"
    assert set(states[3:300]) == {GuardState.CRITICAL}
    assert states[-1] is GuardState.OK


def test_prometheus_is_asked_for_the_pods_of_the_integration_only() -> None:
    (asked,) = readings(ERRORS, a_spec(guards=None, metrics=PROMETHEUS))
    assert asked.metric.query == ('crm_sync_errors_total{namespace="crm",pod=~"hubspot(-canary)?-[a-z0-9]+-[a-z0-9]+"}')
    pattern = re.compile((asked.metric.query or "").partition('=~"')[2].removesuffix('"}'))
    assert pattern.fullmatch("hubspot-6d4cf56db6-x2x9q")
    assert pattern.fullmatch("hubspot-canary-6d4cf56db6-x2x9q")
    for other in ("hubspot-eu-6d4cf56db6-x2x9q", "my-hubspot-6d4cf56db6-x2x9q", "hubspot-0"):
        assert not pattern.fullmatch(other)


@pytest.mark.parametrize(
    ("metrics", "origins"),
    [
        pytest.param({}, [], id="no source"),
        pytest.param(PODS, ["pods"], id="pods"),
        pytest.param(BACKEND, ["backend"], id="the backend"),
        pytest.param(PROMETHEUS, ["prometheus"], id="Prometheus"),
        pytest.param(PROMETHEUS | BACKEND | PODS, ["pods", "backend", "prometheus"], id="in their order"),
    ],
)
def test_a_default_guard_may_be_read_from_each_configured_source(metrics: Any, origins: list[str]) -> None:
    spec = a_spec(guards=None, metrics=metrics)
    found = readings(ERRORS, spec)
    assert [reading.metric.from_.value for reading in found] == origins
    assert all(reading.metric.name == ERRORS.metric.name for reading in found)
    assert readings(DEAD, spec) == (DEAD,)
    own = a_guard()
    assert readings(own, a_spec(guards=[own.to_wire()], metrics=metrics)) == (own,), "a user's guard is what it says"


@pytest.mark.parametrize(
    ("evidence", "lacks"),
    [
        pytest.param(Evidence(overall=MISSING), True, id="it is missing"),
        pytest.param(Evidence(overall=NO_PODS), False, id="there is nobody to ask"),
        pytest.param(Evidence(overall=REFUSED), False, id="it may have it"),
        pytest.param(Evidence(overall=read(1)), False, id="it has it"),
        pytest.param(Evidence(overall=MISSING, by_revision={"a": NO_PODS, "b": MISSING}), True, id="on all sides"),
        pytest.param(Evidence(overall=MISSING, by_revision={"a": REFUSED, "b": MISSING}), False, id="not on all"),
    ],
)
def test_whether_a_source_lacks_a_metric(evidence: Evidence, lacks: bool) -> None:
    assert lacks_metric(evidence) == lacks


@pytest.mark.parametrize(
    ("metrics", "found", "state", "says"),
    [
        pytest.param({}, None, GuardState.INACTIVE, "set spec.metrics to use it", id="no source"),
        pytest.param(PODS, MISSING, GuardState.INACTIVE, "no source has the metric", id="nobody has it"),
        pytest.param(PODS, REFUSED, GuardState.UNKNOWN, "connection refused", id="unread"),
        pytest.param(BACKEND, read(11), GuardState.CRITICAL, "crm_sync_errors_total +11 > 10 in 5m", id="read"),
    ],
)
def test_the_state_of_a_default_guard(
    metrics: Any, found: Reading | Unknown | None, state: GuardState, says: str
) -> None:
    evidence = {} if found is None else {ERRORS.name: Evidence(overall=found)}
    world = a_world(spec=a_spec(guards=None, metrics=metrics), evidence=evidence)
    verdict = next(verdict for verdict in evaluate(world) if verdict.name == ERRORS.name)
    assert verdict.state is state
    assert says in verdict.message


def test_a_users_guard_without_its_source_is_unknown_and_blocks() -> None:
    unread = Unknown("spec.metrics.pods is not set", "NotConfigured")
    world = a_world(spec=a_spec(metrics={}), evidence={"sync-errors": Evidence(overall=unread)})
    (verdict,) = evaluate(world)
    assert (verdict.state, verdict.message) == (GuardState.UNKNOWN, unread.why)


def test_a_default_guard_from_the_backend_is_judged_over_all_versions() -> None:
    """The pods lack the metric: nobody waits for their sides."""
    (asked,) = readings(ERRORS, a_spec(guards=None, metrics=BACKEND))
    world = a_canary_world(
        spec=a_spec(guards=None, metrics=PODS | BACKEND),
        evidence={ERRORS.name: Evidence(overall=read(11), asked=asked)},
    )
    verdict = next(verdict for verdict in evaluate(world) if verdict.name == ERRORS.name)
    assert verdict.guard.metric.from_ is MetricOrigin.BACKEND
    assert (verdict.state, verdict.blame) == (GuardState.CRITICAL, "revision")
