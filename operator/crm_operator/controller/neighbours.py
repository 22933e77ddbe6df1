"""The other integrations of a provider in the same namespace, as far as they tell whether the provider fails.

From their recorded status in the cache: a guard that changes is written at once. One with a release
of its own on trial tells nothing of the provider, nor does a guard that blames a release, which is rolled back now: the
same bad build may be at work here. Asked by the observer while a version works without a stable one
beside it; loops over the namespace, so not on every pass.
"""

from collections.abc import Iterator
from datetime import timedelta

from pydantic import ValidationError

from crm_operator.api.v1alpha1 import (
    AutomaticPauseState,
    CrmIntegrationSpec,
    CrmIntegrationStatus,
    GuardState,
    MetricOrigin,
)
from crm_operator.controller.cache import Cache, key_of
from crm_operator.controller.kube import Object
from crm_operator.controller.resources import CRMINTEGRATIONS
from crm_operator.domain.default_guards import guards_of
from crm_operator.domain.guards import is_on_trial
from crm_operator.domain.key import Key
from crm_operator.domain.world import Neighbour


def neighbours(cache: Cache, key: Key, provider: str) -> tuple[Neighbour, ...]:
    """What guards say, of all others of the provider."""
    found: list[Neighbour] = []
    for item in cache.objects(CRMINTEGRATIONS.kind, key.namespace):
        if key_of(item) != key and item["spec"].get("provider") == provider:
            found += _guards(item)
    return tuple(sorted(found, key=lambda neighbour: neighbour.name))


def _guards(item: Object) -> Iterator[Neighbour]:
    try:
        spec = CrmIntegrationSpec.model_validate(item["spec"])
        status = CrmIntegrationStatus.model_validate(item.get("status") or {})
    except ValidationError:
        return  # what cannot be read proves nothing
    if is_on_trial(status):
        return
    pause = status.automatic_pause
    paused_at = pause.request_time if pause is not None and pause.state is AutomaticPauseState.HOLDING else None
    said = {was.name: was for was in status.guards if was.blame != "revision"}
    for guard, _ in guards_of(spec.guards):
        was = said.get(guard.name)
        if was is None:
            continue
        state, since = was.state, was.since
        if paused_at is not None and state is not GuardState.CRITICAL:
            state, since = GuardState.CRITICAL, paused_at
        if state is not GuardState.INACTIVE:
            yield Neighbour(
                name=item["metadata"]["name"],
                metric=guard.metric.shown,
                state=state,
                since=since,
                reads_every=_interval(spec, guard.metric.from_),
                is_kept=was.clear_time is not None and state is was.state,
            )


def _interval(spec: CrmIntegrationSpec, origin: MetricOrigin) -> timedelta:
    """Between two looks; a queue is read all the time."""
    sources = {
        MetricOrigin.PODS: spec.metrics.pods,
        MetricOrigin.BACKEND: spec.metrics.backend,
        MetricOrigin.PROMETHEUS: spec.metrics.prometheus,
    }
    source = sources.get(origin)
    return timedelta() if source is None else source.interval
