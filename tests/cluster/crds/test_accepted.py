"""A real API server takes good specs and keeps them as they are."""

import httpx
import pytest

from crm_operator.api.base import ApiModel
from crm_operator.api.v1alpha1 import CrmIntegrationSpec, SyncPauseSpec
from tests.cluster.crds.specs import CA, POD_GUARD, PODS, Json, create, steps
from tests.cluster.objects import a_guard, a_pause, an_integration, worker_template

pytestmark = pytest.mark.cluster

GOOD = [
    pytest.param(an_integration(), id="the smallest"),
    pytest.param(an_integration("h" * 40), id="the longest name"),
    pytest.param(an_integration("0"), id="a name that begins with a digit"),
    pytest.param(
        an_integration(queue={"names": ["q"], "url": "https://rabbit.crm:15671/crm%2Feu", "broker": "rabbitmq"}),
        id="RabbitMQ",
    ),
    pytest.param(
        an_integration(
            queue={"names": ["q"], "urlFrom": {"secretKeyRef": {"name": "s", "key": "k"}}, "broker": "rabbitmq"}
        ),
        id="RabbitMQ with a password",
    ),
    pytest.param(an_integration(rollout={"steps": []}), id="zero steps"),
    pytest.param(an_integration(rollout=steps(*range(5, 101, 5))), id="20 steps up to 100"),
    pytest.param(an_integration(rollout={"minJobs": 0}), id="no jobs to count"),
    pytest.param(an_integration(rollout={"minJobs": 20}, metrics={"pods": {}}), id="jobs counted with default metrics"),
    pytest.param(an_integration(guards=[]), id="no guards"),
    pytest.param(an_integration(guards=[a_guard(f"g{i}") for i in range(20)]), id="20 guards"),
    pytest.param(an_integration(guards=[a_guard(warning={"above": 10})]), id="warning equal to critical"),
    pytest.param(
        an_integration(
            metrics=PODS,
            guards=[
                a_guard("increase", **POD_GUARD | {"minJobs": 20, "minWorkspaces": 3}),
                a_guard(
                    "ratio", **POD_GUARD | {"reduce": "Ratio", "metric": {"from": "pods", "name": "a", "per": "b"}}
                ),
                a_guard(
                    "slow",
                    **POD_GUARD
                    | {"reduce": "Quantile", "metric": {"from": "pods", "name": "job_seconds", "quantile": 0.95}},
                ),
                *(a_guard(reduce.lower(), **POD_GUARD | {"reduce": reduce}) for reduce in ("Rate", "Average", "Max")),
                a_guard("last", metric={"from": "pods", "name": "latency"}, warning={"above": 0.5}, critical=None),
                a_guard("dead", reduce="Increase", window="1h", breaches={"consecutive": 3, "total": 10}),
                *(a_guard(f"dead-{r.lower()}", reduce=r, window="5m") for r in ("Rate", "Average", "Max")),
            ],
        ),
        id="guards of all kinds",
    ),
    pytest.param(
        an_integration(
            metrics={
                "backend": {
                    "url": "https://api.agoralia.app/crm/metrics?provider=hubspot",
                    "tokenFrom": {"secretKeyRef": {"name": "api", "key": "token"}},
                    "tls": {"caFrom": CA},
                    "root": "data.metrics",
                    "interval": "10s",
                }
            },
            guards=[a_guard(metric={"from": "backend", "name": "failed_syncs"}, reduce="Rate", window="5m")],
        ),
        id="a backend",
    ),
    pytest.param(
        an_integration(metrics={"backend": {"urlFrom": {"secretKeyRef": {"name": "a", "key": "u"}}, "root": ""}}),
        id="a backend's URL from a Secret",
    ),
    pytest.param(
        an_integration(
            metrics={"prometheus": {"url": "https://prometheus.monitoring:9090/prefix", "interval": "30s"}},
            guards=[
                a_guard(
                    "errors",
                    metric={
                        "from": "prometheus",
                        "query": 'errors_total{revision="$(REVISION)", path=~".*$"}',
                        "perQuery": 'jobs_total{revision="$(REVISION)"}',
                    },
                    reduce="Ratio",
                    window="5m",
                ),
                a_guard("sum", metric={"from": "prometheus", "query": "sum(rate(errors_total[5m]))"}, reduce="Last"),
                a_guard(
                    "count",
                    metric={"from": "prometheus", "query": "http_request_duration_count or job_sum"},
                    reduce="Rate",
                    window="5m",
                ),
            ],
        ),
        id="Prometheus",
    ),
    pytest.param(
        an_integration(queue={"names": ["q"], "urlFrom": {"secretKeyRef": {"name": "redis", "key": "url"}}}),
        id="URL from a Secret",
    ),
    pytest.param(an_integration(queue={"names": ["q"], "url": "rediss://[fd00::1]:6380/2"}), id="TLS and IPv6"),
    pytest.param(an_integration(scaling={"maxReplicas": 3, "minReplicas": 3}), id="a fixed size"),
    pytest.param(an_integration(scaling={"maxReplicas": 3, "backlogPerReplica": 50}), id="by backlog"),
    pytest.param(
        an_integration(
            scaling={
                "maxReplicas": 3,
                "rateLimit": {
                    "preset": "hubspot-professional",
                    "requests": 100,
                    "per": "10s",
                    "concurrency": 10,
                    "daily": 250_000,
                    "requestsPerJob": 0.5,
                    "account": "acme",
                },
            }
        ),
        id="every limit",
    ),
    pytest.param(
        an_integration(workers={"template": {"spec": {"containers": [{"name": "worker"}, {"name": "proxy"}]}}}),
        id="a sidecar",
    ),
    *(
        pytest.param(
            an_integration(workers={"template": worker_template(), "strategy": strategy}), id=f"strategy {strategy}"
        )
        for strategy in (
            {},
            {"maxSurge": "25%", "maxUnavailable": 0},
            {"maxSurge": 0, "maxUnavailable": 1},
            {"maxSurge": "0%", "maxUnavailable": "100%"},
            {"maxSurge": "100%"},
            {"maxSurge": 1000, "maxUnavailable": 1000},
            {"maxUnavailable": "9%"},
        )
    ),
    pytest.param(a_pause(), id="pause all"),
    pytest.param(a_pause(providers=["hubspot", "zoho"], paused=False, expiresAfter="4h"), id="pause of providers"),
    pytest.param(a_pause(providers=None, integrations=["hubspot"]), id="pause of one integration"),
]


@pytest.mark.parametrize("obj", GOOD)
async def test_a_good_spec_is_accepted_and_read(kube: httpx.AsyncClient, obj: Json) -> None:
    answer = await create(kube, "default", obj, dryRun="All")
    assert answer.is_success, answer.text
    assert "warning" not in answer.headers
    stored = answer.json()
    assert stored["spec"] == obj["spec"], "the API server neither prunes nor defaults"
    assert stored["status"] == {"observedGeneration": -1}
    model: type[ApiModel] = CrmIntegrationSpec if obj["kind"] == "CrmIntegration" else SyncPauseSpec
    model.model_validate(stored["spec"])


async def test_any_field_of_a_template_is_kept(kube: httpx.AsyncClient) -> None:
    template = {
        "metadata": {"labels": {"a": "b"}, "annotations": {"c": "d"}},
        "spec": {
            "containers": [{"name": "worker", "image": "w:1", "env": [{"name": "A", "value": "B"}], "new": {"x": [1]}}],
            "futureField": {"deep": [{"er": True}]},
        },
    }
    answer = await create(kube, "default", an_integration(workers={"template": template}), dryRun="All")
    assert answer.json()["spec"]["workers"]["template"] == template
