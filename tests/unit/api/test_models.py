"""What the models read and write."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from crm_operator.api.base import ApiModel, cel_text, render_time
from crm_operator.api.v1alpha1 import (
    BrokerKind,
    Condition,
    CrmIntegrationSpec,
    CrmIntegrationStatus,
    RolloutStep,
    SyncPauseSpec,
    SyncPauseStatus,
)
from tests.unit.api.strategies import instances

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


def minimal() -> dict[str, Any]:
    """The smallest spec that works."""
    return {
        "provider": "hubspot",
        "workers": {"template": {"spec": {"containers": [{"name": "worker", "image": "worker:1"}]}}},
        "queue": {"url": "redis://redis:6379/0", "names": ["crm_hubspot"]},
        "scaling": {"maxReplicas": 3},
    }


@given(instances(CrmIntegrationStatus))
def test_an_integrations_status_reads_back_as_it_was_written(status: CrmIntegrationStatus) -> None:
    assert CrmIntegrationStatus.model_validate(status.to_wire()) == status


@given(instances(SyncPauseStatus))
def test_a_pauses_status_reads_back_as_it_was_written(status: SyncPauseStatus) -> None:
    assert SyncPauseStatus.model_validate(status.to_wire()) == status


@given(instances(CrmIntegrationStatus) | instances(SyncPauseStatus))
def test_nothing_absent_is_written_as_null(status: ApiModel) -> None:
    assert None not in list(_leaves(status.to_wire()))


def _leaves(value: Any) -> Any:
    if isinstance(value, dict):
        for member in value.values():
            yield from _leaves(member)
    elif isinstance(value, list):
        for member in value:
            yield from _leaves(member)
    else:
        yield value


def test_a_small_spec_is_enough_and_gets_the_documented_defaults() -> None:
    spec = CrmIntegrationSpec.model_validate(minimal())
    assert spec.rollout.steps == [RolloutStep(weight=20, hold=timedelta(minutes=5))]
    assert spec.rollout.bake == timedelta(minutes=15)
    assert spec.rollout.progress_deadline == timedelta(minutes=10)
    assert spec.rollout.min_jobs is None
    assert spec.scaling.min_replicas == 0
    assert spec.scaling.job_duration == timedelta(seconds=1)
    assert spec.scaling.scale_down_after == timedelta(seconds=20)
    assert spec.workers.concurrency == 8
    assert (spec.workers.strategy.max_surge, spec.workers.strategy.max_unavailable) == ("25%", 0)
    assert spec.queue.broker is BrokerKind.REDIS
    assert spec.queue.namespace == "dramatiq"
    assert spec.metrics.pods is None
    assert spec.guards is None
    assert spec.on_critical.rollback is True


def test_zero_steps_are_not_the_default_steps() -> None:
    assert CrmIntegrationSpec.model_validate(minimal() | {"rollout": {"steps": []}}).rollout.steps == []


def test_fields_of_a_newer_crd_are_ignored_at_every_depth() -> None:
    spec = minimal() | {"mode": "Observe", "onCritical": {"rollback": True, "pause": True}}
    spec["scaling"] |= {"rateLimit": {"requests": 190}}
    assert CrmIntegrationSpec.model_validate(spec).scaling.max_replicas == 3
    status = {
        "observedGeneration": 3,
        "incidents": 1,
        "workers": {"desired": 1, "ready": 1, "stable": 1, "canary": 0, "x": 1},
    }
    assert CrmIntegrationStatus.model_validate(status).observed_generation == 3


def test_a_template_is_kept_as_the_user_wrote_it() -> None:
    template = {
        "metadata": {"labels": {"a": "b"}},
        "spec": {"containers": [{"name": "w", "x": [1, None]}], "nodeName": None},
    }
    spec = minimal() | {"workers": {"template": template}}
    assert CrmIntegrationSpec.model_validate(spec).workers.template == template


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        pytest.param(("provider",), "Hub_Spot", '"Hub_Spot" must be a DNS label', id="provider"),
        pytest.param(("queue", "url"), "redis://:pw@h", "belongs in a Secret, see urlFrom", id="password in the URL"),
        pytest.param(("queue", "url"), "redis://h?password=pw", "belongs in a Secret", id="password as an option"),
        pytest.param(("queue", "url"), "redis+sentinel://h:26379", "MASTER/DATABASE", id="Sentinel without master"),
        pytest.param(("queue", "names"), ["a b"], '"a b" must be a Dramatiq name', id="queue name"),
        pytest.param(("queue", "names"), ["a\n"], "must be a Dramatiq name", id="line break at the end"),
        pytest.param(("scaling", "maxReplicas"), 0, "greater than or equal to 1", id="no replicas"),
        pytest.param(("workers", "strategy"), {"maxSurge": "120%"}, "from 0% to 100%, like 25%", id="120 %"),
        pytest.param(("workers", "strategy"), {"maxSurge": "5"}, '"5" must be a whole number', id="a number as text"),
        pytest.param(("workers", "strategy"), {"maxUnavailable": -1}, "greater than or equal to 0", id="fewer than 0"),
        pytest.param(("scaling", "drainTarget"), "5 min", '"5 min" must be a duration from 1s to 24h', id="duration"),
    ],
)
def test_a_wrong_value_is_refused_in_the_words_of_the_crd(path: tuple[str, ...], value: Any, words: str) -> None:
    spec = minimal()
    target = spec
    for step in path[:-1]:
        target = target[step]
    target[path[-1]] = value
    with pytest.raises(ValidationError) as refusal:
        CrmIntegrationSpec.model_validate(spec)
    assert words in str(refusal.value)


@pytest.mark.parametrize(
    "url",
    [
        "redis://redis",
        "redis://redis:6379/0",
        "rediss://redis.crm.svc:6380/15",
        "redis://[fd00::1]:6379/0",
        "redis://10.0.0.1/",
        "redis+sentinel://sentinel/mymaster",
        "rediss+sentinel://[fd00::1]:26379/my-master.1/3",
    ],
)
def test_plain_redis_urls_are_accepted(url: str) -> None:
    spec = minimal()
    spec["queue"]["url"] = url
    assert CrmIntegrationSpec.model_validate(spec).queue.url == url


def test_a_pause_needs_a_reason() -> None:
    with pytest.raises(ValidationError, match="must say in one line why"):
        SyncPauseSpec.model_validate({"providers": [], "reason": "  "})
    assert SyncPauseSpec.model_validate({"providers": [], "reason": "INC-42"}).paused is True


@given(st.text(max_size=3000))
def test_a_long_message_is_cut_and_stays_writable(message: str) -> None:
    condition = Condition(type="Ready", status="True", last_transition_time=NOW, reason="R", message=message)
    assert len(condition.message) <= 1024
    assert condition.message == message or (
        condition.message.endswith("…") and message.startswith(condition.message[:-1])
    )


def test_a_long_message_is_cut_also_in_an_updated_copy() -> None:
    status = CrmIntegrationStatus().model_copy(update={"message": "m" * 3000})
    assert len(status.to_wire()["message"]) == 1024


@pytest.mark.parametrize(
    ("time", "text"),
    [
        (NOW, "2026-11-24T12:00:00Z"),
        (NOW + timedelta(microseconds=1500), "2026-11-24T12:00:00.001Z"),
        (NOW + timedelta(microseconds=999), "2026-11-24T12:00:00Z"),
        (datetime.fromisoformat("2026-11-24T13:00:00+01:00"), "2026-11-24T12:00:00Z"),
    ],
)
def test_times_are_written_in_utc(time: datetime, text: str) -> None:
    assert render_time(time) == text


def test_cel_literals_are_quoted() -> None:
    assert cel_text(r"it's \d") == r"'it\'s \\d'"
