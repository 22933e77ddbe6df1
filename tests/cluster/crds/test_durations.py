"""A real API server and the models agree on durations, and on reasons."""

from datetime import timedelta
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from crm_operator.api import duration
from crm_operator.api.v1alpha1 import SyncPauseSpec
from tests.cluster.crds.durations import DURATIONS
from tests.cluster.crds.specs import causes, create
from tests.cluster.objects import a_pause, an_integration

pytestmark = pytest.mark.cluster


@pytest.mark.parametrize(("build", "field", "low", "high"), [pytest.param(*row, id=row[1]) for row in DURATIONS])
async def test_durations_are_held_to_their_form_and_range(
    kube: httpx.AsyncClient, build: Any, field: str, low: str, high: str
) -> None:
    millisecond = timedelta(milliseconds=1)
    outside = [duration.render(duration.parse(high) + millisecond)]
    if duration.parse(low):
        outside.append(duration.render(duration.parse(low) - millisecond))
    for value in ("", "5", "5 min", "1.5h", "-5m", "30m1h", "soon", *outside):
        must = f"must be a duration from {low} to {high}, written like 400ms, 90s, 5m or 1h30m"
        refusal = causes(await create(kube, "default", build(value), dryRun="All"))
        assert refusal == [(field, f'Invalid value: "{value}": {must}')]
    for value in (low, high):
        accepted = await create(kube, "default", build(value), dryRun="All")
        assert accepted.is_success, accepted.text


@given(text=st.from_regex(duration.PATTERN, fullmatch=True).map(lambda text: text.strip("\n")))
@settings(
    max_examples=50,
    deadline=None,
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
async def test_server_and_models_agree_on_every_duration(kube: httpx.AsyncClient, text: str) -> None:
    answer = await create(kube, "default", an_integration(rollout={"bake": text}), dryRun="All")
    try:
        readable = timedelta(0) <= duration.parse(text) <= timedelta(hours=168)
    except ValueError:
        readable = False
    assert answer.is_success == readable, answer.text


@given(reason=st.text(max_size=12) | st.text(" \t\r\n\x0b\x85\xa0x", max_size=4))
@settings(
    max_examples=100,
    deadline=None,
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
async def test_server_and_models_agree_on_every_reason(kube: httpx.AsyncClient, reason: str) -> None:
    answer = await create(kube, "default", a_pause(reason=reason), dryRun="All")
    try:
        SyncPauseSpec.model_validate(a_pause(reason=reason)["spec"])
    except ValidationError:
        assert not answer.is_success
    else:
        assert answer.is_success, answer.text
