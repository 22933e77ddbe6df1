"""The table of `bench judged`, and the metrics that its fake workers serve. No cluster."""

import json
import random

import httpx
import pytest

from bench.judged.report import judged_table
from bench.judged.workers import MetricPods
from bench.records import Json, Series
from crm_operator.domain.fleet import JOB_TIME_METRICS, JOBS_METRIC
from crm_operator.domain.scraped import Sample
from crm_operator.sources.pods.exposition import parse


def a_run(**requests: int) -> Json:
    return {
        "integrations": 50,
        "seconds": 120.0,
        "scrapes_per_s": 280.4,
        "cpu_s_per_min": 30.06,
        "rss_mib": 101.4,
        "rss_peak_mib": 103.0,
        "requests": requests,
    }


def test_requests_are_told_a_minute_upkeep_among_them() -> None:
    text = judged_table(Series({}, (a_run(watch=8, lease=60, **{"patch crmintegrations": 3}),)))
    assert "| 50 | 280 | 35.5 | watch 4.0, lease 30.0, patch crmintegrations 1.5 | 30.1 | 101 | 103 |" in text
    assert "missed" not in text


@pytest.mark.parametrize("run", [a_run(lease=60, **{"list pods": 60}), {**a_run(), "cpu_s_per_min": 60.0}])
def test_exactly_the_limit_is_no_success(run: Json) -> None:
    assert judged_table(Series({}, (run,))).count("**missed**") == 1


def a_pod(name: str) -> Json:
    status = {"phase": "Running", "podIP": "10.0.0.1", "conditions": [{"type": "Ready", "status": "True"}]}
    return {"metadata": {"name": name, "uid": name}, "status": status}


async def test_fake_workers_serve_what_the_operator_reads_each_at_its_own_address() -> None:
    pods = {name: a_pod(name) for name in "ab"}

    async def status(request: httpx.Request) -> httpx.Response:
        pods[request.url.path.split("/")[2]]["status"] |= json.loads(request.content)["status"]
        return httpx.Response(200, json={})

    async with httpx.AsyncClient(transport=httpx.MockTransport(status), base_url="http://kube") as kube:
        workers = MetricPods(kube, "/pods", random.Random(1))
        async with workers.serving() as port, httpx.AsyncClient(trust_env=False) as client:
            for pod in pods.values():
                assert workers.lacks(pod)
                await workers.give(pod)
                assert not workers.lacks(pod)
            pods["a"]["status"]["podIP"] = "10.0.0.7"
            assert workers.lacks(pods["a"]), "KWOK has given it another one"
            await workers.give(pods["a"])
            assert not workers.lacks(pods["a"])
            answers = [await client.get(f"http://{address}:{port}/metrics") for address in workers.addresses]
    assert (len(answers), workers.scrapes) == (2, 2)
    names = frozenset({JOBS_METRIC, *JOB_TIME_METRICS, "crm_sync_errors_total", "webhook_latency_p95"})
    found = parse(answers[0].content, names)
    assert isinstance(found, dict)
    assert all(isinstance(found[name], Sample) for name in names), found
