"""Guards that read the application's JSON endpoint or Prometheus, with an operator and a real API server."""

import base64
import json
from typing import Any

import pytest
from aiohttp import web

from tests.cluster.scene import Json, Scene, cond, in_phase, is_stable, observed, rollout, says, version
from tests.cluster.test_rollout import HOLDING
from tests.misbehaving import answers, served

pytestmark = pytest.mark.cluster


def guard_of(obj: Json, name: str) -> Json:
    found: list[Json] = (obj.get("status") or {}).get("guards") or []
    return next((guard for guard in found if guard["name"] == name), {})


def numbers(**values: Any) -> Any:
    return answers(text=json.dumps({"metrics": values}))


async def test_a_guard_on_the_applications_numbers(scene: Scene) -> None:
    """URL and token come from a Secret, and neither is seen anywhere; a failing endpoint is not a failing release."""
    async with served(numbers(failed_syncs=100)) as server:
        url = f"http://127.0.0.1:{server.port}/crm/metrics?key=s3cret-url"
        data = {"url": url, "token": "s3cret-token"}
        await scene.post(
            f"/api/v1/namespaces/{scene.namespace}/secrets",
            {
                "metadata": {"name": "backend"},
                "data": {name: base64.b64encode(value.encode()).decode() for name, value in data.items()},
            },
        )
        ref = {name: {"secretKeyRef": {"name": "backend", "key": name}} for name in data}
        guard = {
            "name": "failed-syncs",
            "metric": {"from": "backend", "name": "failed_syncs"},
            "reduce": "Increase",
            "window": "5s",
            "critical": {"above": 10},
        }
        await scene.create(
            metrics={"backend": {"urlFrom": ref["url"], "tokenFrom": ref["token"], "interval": "1s"}}, guards=[guard]
        )
        ok = await scene.until(lambda obj: guard_of(obj, "failed-syncs").get("state") == "OK")
        assert server.requests[0].headers["Authorization"] == "Bearer s3cret-token"
        assert cond(ok, "MetricsAvailable")["status"] == "True"

        server.handler = numbers(failed_syncs=111)
        critical = await scene.until(lambda obj: guard_of(obj, "failed-syncs").get("state") == "Critical")
        assert guard_of(critical, "failed-syncs")["message"].startswith("failed_syncs +11 > 10 in 5s")

        server.handler = answers(status=401, text="s3cret-body")
        told = await scene.until(says("MetricsAvailable", "False", "AuthenticationFailed"))
        assert "spec.metrics.backend.urlFrom (Secret backend, key url)" in cond(told, "MetricsAvailable")["message"]
        unknown = await scene.until(lambda obj: guard_of(obj, "failed-syncs").get("state") == "Unknown")
        server.handler = numbers(failed_syncs=111)
        await scene.until(lambda obj: guard_of(obj, "failed-syncs").get("state") == "OK")
    assert scene.log is not None
    assert "s3cret" not in json.dumps([ok, critical, told, unknown]) + scene.log.read_text()


async def test_default_guards_read_the_first_source_that_has_their_metric(scene: Scene) -> None:
    async with served(numbers(crm_sync_errors_total=0, rate_limit_hits=30)) as server:
        await scene.create(
            guards=None, metrics={"backend": {"url": f"http://127.0.0.1:{server.port}/", "interval": "1s"}}
        )
        seen = await scene.until(
            lambda obj: is_stable(obj) and "is not filled yet" in guard_of(obj, "sync-errors").get("message", ""),
            within=60,  # sentences with numbers are written every 15 s
        )
        assert guard_of(seen, "sync-errors")["state"] == "Unknown"
        assert guard_of(seen, "webhook-latency")["message"] == "no source has the metric webhook_latency_p95"
        assert guard_of(seen, "webhook-latency")["state"] == "Inactive"

        server.handler = numbers(crm_sync_errors_total=11, rate_limit_hits=30)
        critical = await scene.until(lambda obj: guard_of(obj, "sync-errors").get("state") == "Critical")
        assert guard_of(critical, "sync-errors")["value"] == "11", "a lower bound above the limit is real"


async def test_a_host_that_may_not_be_named(scene: Scene) -> None:
    guard = {
        "name": "failed-syncs",
        "metric": {"from": "backend", "name": "failed_syncs"},
        "reduce": "Last",
        "critical": {"above": 10},
    }
    await scene.create(metrics={"backend": {"url": "http://169.254.169.254/latest"}}, guards=[guard])
    told = await scene.until(says("MetricsAvailable", "False", "HostNotAllowed"))
    assert "spec.metrics.backend.url" in cond(told, "MetricsAvailable")["message"]
    assert observed(told)
    assert guard_of(told, "failed-syncs")["state"] == "Unknown"


async def test_a_query_by_version_rolls_the_release_back_that_fails_alone(scene: Scene) -> None:
    """Prometheus says how often each revision failed; stable does not, so the release is to blame."""
    stable = rollout(await scene.settled())["stableRevision"]

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        start, end = (float(request.query[name]) for name in ("start", "end"))
        errors = "0" if stable in request.query["query"] else "20"
        points = [[start, "0"], [end - 1, "0"], [end, errors]]
        data = {"resultType": "matrix", "result": [{"metric": {}, "values": points}]}
        return web.json_response({"status": "success", "data": data})

    guard = {
        "name": "sync-errors",
        "metric": {"from": "prometheus", "query": 'crm_sync_errors_total{revision="$(REVISION)"}'},
        "reduce": "Increase",
        "window": "5m",
        "critical": {"above": 10},
    }
    async with served(answer) as server:
        await scene.change(
            metrics={"prometheus": {"url": f"http://127.0.0.1:{server.port}", "interval": "1s"}},
            guards=[guard],
            rollout=HOLDING,
            workers=version(2),
        )
        back = await scene.until(in_phase("RolledBack"))
    told = guard_of(back, "sync-errors")
    assert "+20 > 10 in 5m on the new version, +0 on stable" in rollout(back)["reason"], told
    assert cond(back, "RolledBack")["status"] == "True"
