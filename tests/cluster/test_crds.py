"""A real API server takes our CRDs, refuses wrong specs in words that help, and stores all that a status can hold."""

import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import httpx
import pytest
import yaml
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from crm_operator.api import duration
from crm_operator.api.base import ApiModel
from crm_operator.api.crdgen import KINDS, crd
from crm_operator.api.v1alpha1 import CrmIntegrationSpec, CrmIntegrationStatus, SyncPauseSpec, SyncPauseStatus
from tests.cluster.kube import CRD_COLLECTION, CRDS, collection, condition, install_crds, server_side_apply
from tests.cluster.objects import a_guard, a_pause, an_integration
from tests.unit.api.strategies import instances

pytestmark = pytest.mark.cluster

Json = dict[str, Any]

PODS = {"pods": {"port": 9191}}
PROMETHEUS = {"prometheus": {"url": "http://prometheus:9090"}}
BACKEND = {"backend": {"url": "http://api:8000/crm/metrics"}}
CA = {"secretKeyRef": {"name": "ca", "key": "ca.crt"}}
POD_GUARD: Json = {"metric": {"from": "pods", "name": "crm_sync_errors_total"}, "reduce": "Increase", "window": "5m"}
MANY_LETTERS = "a" * 600


def steps(*weights: int) -> Json:
    """A rollout with these steps."""
    return {"steps": [{"weight": weight, "hold": "1m"} for weight in weights]}


def wrong(what: str, obj: Json, field: str, says: str) -> Any:
    """A row: the object is refused because of `field`, and the message says `says`."""
    return pytest.param(obj, field, says, id=what)


WRONG = [
    # names
    wrong(
        "name too long", an_integration("h" * 41), "metadata.name", f"{'h' * 41} has a dot or more than 40 characters"
    ),
    wrong("name with a dot", an_integration("crm.hubspot"), "metadata.name", "use at most 40 of a-z, 0-9 and -"),
    wrong("no provider", an_integration(provider=None), "spec.provider", "Required value"),
    wrong("provider", an_integration(provider="HubSpot"), "spec.provider", '"HubSpot": must be a DNS label'),
    wrong("provider too long", an_integration(provider="h" * 64), "spec.provider", "Too long: may not be more than 63"),
    wrong("provider empty", an_integration(provider=""), "spec.provider", "must be a DNS label"),
    # workers
    wrong("no workers", an_integration(workers=None), "spec.workers", "Required value"),
    wrong("no template", an_integration(workers={}), "spec.workers.template", "Required value"),
    wrong(
        "no pod spec",
        an_integration(workers={"template": {}}),
        "spec.workers.template",
        "spec.containers is missing or empty; give the worker container",
    ),
    wrong(
        "no containers",
        an_integration(workers={"template": {"spec": {"containers": []}}}),
        "spec.workers.template",
        "spec.containers is missing or empty; give the worker container",
    ),
    wrong(
        "which container",
        an_integration(workers={"template": {"spec": {"containers": [{"name": "a"}, {"name": "b"}]}}}),
        "spec.workers.template.spec.containers",
        "several containers, and none is named worker; give the one that takes jobs that name",
    ),
    wrong(
        "template is a list",
        an_integration(workers={"template": []}),
        "spec.workers.template",
        "must be of type object",
    ),
    wrong(
        "no concurrency",
        an_integration(workers={"template": an_integration()["spec"]["workers"]["template"], "concurrency": 0}),
        "spec.workers.concurrency",
        "greater than or equal to 1",
    ),
    # queue
    wrong("no queue", an_integration(queue=None), "spec.queue", "Required value"),
    wrong(
        "no url",
        an_integration(queue={"names": ["q"]}),
        "spec.queue",
        "url and urlFrom are both missing; give exactly one of them (urlFrom when the URL holds a password)",
    ),
    wrong(
        "both urls",
        an_integration(
            queue={"names": ["q"], "url": "redis://r", "urlFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}
        ),
        "spec.queue",
        "both url and urlFrom are given; give exactly one of them",
    ),
    *(
        wrong(
            f"url {url}",
            an_integration(queue={"names": ["q"], "url": url}),
            "spec.queue.url",
            "a URL with a user or password belongs in a Secret, see urlFrom",
        )
        for url in (
            "redis://:secret@redis:6379/0",
            "redis://redis?password=secret",
            "amqp://rabbit",
            "redis:6379",
            "",
            "redis+sentinel://:secret@sentinel/mymaster",
            "redis+sentinel://sentinel:26379",
            "redis+sentinel://sentinel:26379/my master/0",
        )
    ),
    wrong(
        "a CA without TLS",
        an_integration(
            queue={
                "names": ["q"],
                "url": "redis://r",
                "tls": {"caFrom": {"secretKeyRef": {"name": "redis-ca", "key": "ca.crt"}}},
            }
        ),
        "spec.queue.tls",
        "tls is given, but url does not ask for TLS; write rediss://, rediss+sentinel:// or https://, or remove tls",
    ),
    wrong(
        "tls without a CA",
        an_integration(queue={"names": ["q"], "url": "rediss://r", "tls": {}}),
        "spec.queue.tls.caFrom",
        "Required value",
    ),
    *(
        wrong(
            f"url {url}",
            an_integration(queue={"names": ["q"], "url": url, "broker": "rabbitmq"}),
            "spec.queue.url",
            "a URL with a user or password belongs in a Secret, see urlFrom",
        )
        for url in (
            "http://u:secret@rabbit:15672/crm",
            "http://rabbit/crm",
            "https://rabbit:15671/a/b",
            "amqp://r:5672",
        )
    ),
    wrong(
        "broker",
        an_integration(queue={"names": ["q"], "url": "redis://r", "broker": "kafka"}),
        "spec.queue.broker",
        'Unsupported value: "kafka": supported values: "redis", "rabbitmq"',
    ),
    wrong(
        "the URL of the other broker",
        an_integration(queue={"names": ["q"], "url": "http://rabbit:15672/crm"}),
        "spec.queue.url",
        "an http:// URL does not fit broker redis; write redis://HOST:PORT/DATABASE, or add broker: rabbitmq",
    ),
    wrong(
        "the broker of the other URL",
        an_integration(queue={"names": ["q"], "url": "redis://r", "broker": "rabbitmq"}),
        "spec.queue.url",
        "a redis:// URL does not fit broker rabbitmq; write that of the management API, http://HOST:15672/VHOST, "
        "or remove broker",
    ),
    wrong(
        "a key prefix on RabbitMQ",
        an_integration(
            queue={"names": ["q"], "url": "http://rabbit:15672/crm", "broker": "rabbitmq", "namespace": "jobs"}
        ),
        "spec.queue.namespace",
        "namespace jobs is a key prefix of Redis, and RabbitMQ has none; remove namespace",
    ),
    wrong("url too long", an_integration(queue={"names": ["q"], "url": MANY_LETTERS}), "spec.queue.url", "Too long"),
    wrong(
        "no secret name",
        an_integration(queue={"names": ["q"], "urlFrom": {"secretKeyRef": {"key": "k"}}}),
        "spec.queue.urlFrom.secretKeyRef.name",
        "Required value",
    ),
    wrong(
        "secret of another namespace",
        an_integration(queue={"names": ["q"], "urlFrom": {"secretKeyRef": {"name": "other/s", "key": "k"}}}),
        "spec.queue.urlFrom.secretKeyRef.name",
        '"other/s": must be the name of a Secret',
    ),
    wrong(
        "secret key",
        an_integration(queue={"names": ["q"], "urlFrom": {"secretKeyRef": {"name": "s", "key": "a b"}}}),
        "spec.queue.urlFrom.secretKeyRef.key",
        '"a b": must be a key of a Secret',
    ),
    wrong("no queue names", an_integration(queue={"url": "redis://r"}), "spec.queue.names", "Required value"),
    wrong(
        "empty queue names",
        an_integration(queue={"url": "redis://r", "names": []}),
        "spec.queue.names",
        "should have at least 1 items",
    ),
    wrong(
        "too many queues",
        an_integration(queue={"url": "redis://r", "names": [f"q{i}" for i in range(17)]}),
        "spec.queue.names",
        "Too many: 17: must have at most 16 items",
    ),
    wrong(
        "a queue twice",
        an_integration(queue={"url": "redis://r", "names": ["q", "q"]}),
        "spec.queue.names[1]",
        'Duplicate value: "q"',
    ),
    wrong(
        "queue name",
        an_integration(queue={"url": "redis://r", "names": ["ok", "crm hubspot"]}),
        "spec.queue.names[1]",
        '"crm hubspot": must be a Dramatiq name',
    ),
    wrong(
        "queue namespace",
        an_integration(queue={"url": "redis://r", "names": ["q"], "namespace": "a:b"}),
        "spec.queue.namespace",
        '"a:b": must be a Dramatiq name',
    ),
    # scaling
    wrong("no scaling", an_integration(scaling=None), "spec.scaling", "Required value"),
    wrong("no maximum", an_integration(scaling={}), "spec.scaling.maxReplicas", "Required value"),
    wrong("maximum 0", an_integration(scaling={"maxReplicas": 0}), "spec.scaling.maxReplicas", "equal to 1"),
    wrong("maximum 1001", an_integration(scaling={"maxReplicas": 1001}), "spec.scaling.maxReplicas", "equal to 1000"),
    wrong(
        "maximum is text",
        an_integration(scaling={"maxReplicas": "3"}),
        "spec.scaling.maxReplicas",
        "must be of type integer",
    ),
    wrong(
        "minimum above maximum",
        an_integration(scaling={"minReplicas": 2, "maxReplicas": 1}),
        "spec.scaling.maxReplicas",
        "maxReplicas is below minReplicas; raise it to minReplicas or more",
    ),
    wrong(
        "minimum below 0",
        an_integration(scaling={"minReplicas": -1, "maxReplicas": 1}),
        "spec.scaling.minReplicas",
        "greater than or equal to 0",
    ),
    wrong(
        "two targets",
        an_integration(scaling={"maxReplicas": 3, "drainTarget": "60s", "backlogPerReplica": 50}),
        "spec.scaling",
        "drainTarget and backlogPerReplica are two ways to say one thing; remove one of them",
    ),
    wrong(
        "backlog 0",
        an_integration(scaling={"maxReplicas": 3, "backlogPerReplica": 0}),
        "spec.scaling.backlogPerReplica",
        "greater than or equal to 1",
    ),
    wrong(
        "no limit",
        an_integration(scaling={"maxReplicas": 3, "rateLimit": {"requestsPerJob": 2}}),
        "spec.scaling.rateLimit",
        "rateLimit names no limit; give a preset, or requests and per, concurrency or daily",
    ),
    wrong(
        "requests without a time",
        an_integration(scaling={"maxReplicas": 3, "rateLimit": {"requests": 100}}),
        "spec.scaling.rateLimit",
        "requests needs its time; add per, e.g. per: 10s",
    ),
    wrong(
        "a time without requests",
        an_integration(scaling={"maxReplicas": 3, "rateLimit": {"per": "10s", "daily": 1}}),
        "spec.scaling.rateLimit",
        "per needs a number; add requests, e.g. requests: 100",
    ),
    wrong(
        "an unknown preset",
        an_integration(scaling={"maxReplicas": 3, "rateLimit": {"preset": "salesforce"}}),
        "spec.scaling.rateLimit.preset",
        "supported values",
    ),
    wrong(
        "0 requests a job",
        an_integration(scaling={"maxReplicas": 3, "rateLimit": {"daily": 1, "requestsPerJob": 0}}),
        "spec.scaling.rateLimit.requestsPerJob",
        "greater than 0",
    ),
    wrong(
        "an account's name",
        an_integration(scaling={"maxReplicas": 3, "rateLimit": {"daily": 1, "account": "Acme Inc"}}),
        "spec.scaling.rateLimit.account",
        "must be a DNS label",
    ),
    # rollout
    wrong("weights fall", an_integration(rollout=steps(50, 20)), "spec.rollout.steps", "do not rise from step to step"),
    wrong("weights stay", an_integration(rollout=steps(10, 50, 50)), "spec.rollout.steps", "remove equal weights"),
    wrong("weight 0", an_integration(rollout=steps(0)), "spec.rollout.steps[0].weight", "equal to 1"),
    wrong("weight 101", an_integration(rollout=steps(101)), "spec.rollout.steps[0].weight", "equal to 100"),
    wrong("21 steps", an_integration(rollout=steps(*range(1, 22))), "spec.rollout.steps", "must have at most 20 items"),
    wrong(
        "no hold",
        an_integration(rollout={"steps": [{"weight": 10}]}),
        "spec.rollout.steps[0].hold",
        "Required value",
    ),
    wrong(
        "jobs cannot be counted",
        an_integration(rollout={"minJobs": 20}),
        "spec.rollout.minJobs",
        "minJobs counts jobs in the workers' metrics, but metrics.pods is not set; add it",
    ),
    wrong(
        "minJobs below 0", an_integration(rollout={"minJobs": -1}, metrics=PODS), "spec.rollout.minJobs", "equal to 0"
    ),
    # metrics
    wrong("port", an_integration(metrics={"pods": {"port": 70000}}), "spec.metrics.pods.port", "equal to 65535"),
    wrong("named port", an_integration(metrics={"pods": {"port": "http"}}), "spec.metrics.pods.port", "type integer"),
    wrong(
        "path",
        an_integration(metrics={"pods": {"path": "http://elsewhere/metrics"}}),
        "spec.metrics.pods.path",
        "must be a path: / and then letters, digits",
    ),
    # guards
    wrong(
        "21 guards",
        an_integration(guards=[a_guard(f"g{i}") for i in range(21)]),
        "spec.guards",
        "Too many: 21: must have at most 20 items",
    ),
    wrong("a guard twice", an_integration(guards=[a_guard(), a_guard()]), "spec.guards[1]", "Duplicate value"),
    wrong(
        "guard without name", an_integration(guards=[a_guard("") | {"name": ""}]), "spec.guards[0].name", "DNS label"
    ),
    wrong("guard name", an_integration(guards=[a_guard("Sync Errors")]), "spec.guards[0].name", "must be a DNS label"),
    wrong("no metric", an_integration(guards=[a_guard(metric=None)]), "spec.guards[0].metric", "Required value"),
    wrong("no reduce", an_integration(guards=[a_guard(reduce=None)]), "spec.guards[0].reduce", "Required value"),
    wrong(
        "unknown reduce",
        an_integration(guards=[a_guard(reduce="Median")]),
        "spec.guards[0].reduce",
        'Unsupported value: "Median": supported values: "Increase", "Rate", "Ratio", "Quantile", "Average", '
        '"Max", "Last"',
    ),
    wrong(
        "no threshold",
        an_integration(guards=[a_guard("dlq", critical=None)]),
        "spec.guards[0]",
        "guard dlq has no threshold; give warning, critical or both, e.g. critical: {above: 10}",
    ),
    wrong(
        "threshold without number",
        an_integration(guards=[a_guard(critical={})]),
        "spec.guards[0].critical.above",
        "Required value",
    ),
    wrong(
        "threshold below 0",
        an_integration(guards=[a_guard(critical={"above": -1})]),
        "spec.guards[0].critical.above",
        "greater than or equal to 0",
    ),
    wrong(
        "warning above critical",
        an_integration(guards=[a_guard(warning={"above": 10.5})]),
        "spec.guards[0].warning",
        "warning.above is higher than critical.above; a warning comes first, so lower it",
    ),
    wrong(
        "no window",
        an_integration(guards=[a_guard(reduce="Increase")]),
        "spec.guards[0].window",
        "Increase needs a window; add one, e.g. window: 5m",
    ),
    wrong(
        "useless window",
        an_integration(guards=[a_guard(window="5m")]),
        "spec.guards[0].window",
        "Last takes the newest value and no window; remove window",
    ),
    wrong(
        "ratio of nothing",
        an_integration(metrics=PODS, guards=[a_guard(**POD_GUARD | {"reduce": "Ratio"})]),
        "spec.guards[0].metric",
        "Ratio needs the counter to divide by; add metric.per, e.g. per: crm_sync_jobs_total, "
        "or metric.perQuery with prometheus",
    ),
    wrong(
        "useless per",
        an_integration(metrics=PODS, guards=[a_guard(**POD_GUARD | {"metric": POD_GUARD["metric"] | {"per": "jobs"}})]),
        "spec.guards[0].metric",
        "metric.per and perQuery are for Ratio only; remove them or write reduce: Ratio",
    ),
    wrong(
        "quantile of nothing",
        an_integration(metrics=PODS, guards=[a_guard(**POD_GUARD | {"reduce": "Quantile"})]),
        "spec.guards[0].metric",
        "Quantile needs to know which one; add metric.quantile, e.g. quantile: 0.95",
    ),
    wrong(
        "useless quantile",
        an_integration(
            metrics=PODS, guards=[a_guard(**POD_GUARD | {"metric": POD_GUARD["metric"] | {"quantile": 0.5}})]
        ),
        "spec.guards[0].metric",
        "metric.quantile is for Quantile only; remove it or write reduce: Quantile",
    ),
    wrong(
        "quantile 1",
        an_integration(
            metrics=PODS,
            guards=[a_guard(**POD_GUARD | {"reduce": "Quantile", "metric": POD_GUARD["metric"] | {"quantile": 1}})],
        ),
        "spec.guards[0].metric.quantile",
        "should be less than 1",
    ),
    wrong(
        "unknown origin",
        an_integration(guards=[a_guard(metric={"from": "datadog", "name": "x"})]),
        "spec.guards[0].metric.from",
        'Unsupported value: "datadog": supported values: "pods", "backend", "prometheus", "queue"',
    ),
    wrong(
        "prometheus without metrics",
        an_integration(guards=[a_guard(metric={"from": "prometheus", "query": "up"})]),
        "spec.guards",
        "a guard reads from prometheus, but metrics.prometheus is not set; "
        "add it, e.g. metrics: {prometheus: {url: 'http://prometheus.monitoring:9090'}}",
    ),
    wrong(
        "prometheus by name",
        an_integration(metrics=PROMETHEUS, guards=[a_guard(metric={"from": "prometheus", "name": "up"})]),
        "spec.guards[0].metric",
        "prometheus is asked with metric.query, and metric.perQuery of a Ratio; write these, not name and per",
    ),
    wrong(
        "pods by query",
        an_integration(metrics=PODS, guards=[a_guard(metric={"from": "pods", "query": "up"})]),
        "spec.guards[0].metric",
        "pods is read by metric.name, and metric.per of a Ratio; write these, not query and perQuery",
    ),
    wrong(
        "queue by query",
        an_integration(guards=[a_guard(metric={"from": "queue", "query": "up"})]),
        "spec.guards[0].metric",
        "queue is read by metric.name",
    ),
    wrong(
        "another placeholder",
        an_integration(metrics=PROMETHEUS, guards=[a_guard(metric={"from": "prometheus", "query": "up{a='$(ROLE)'}"})]),
        "spec.guards[0].metric.query",
        "must be PromQL, in which $(REVISION) is the only $(...)",
    ),
    wrong(
        "increase of a sum",
        an_integration(
            metrics=PROMETHEUS,
            guards=[
                a_guard(
                    metric={"from": "prometheus", "query": "sum by (pod) (errors_total)"},
                    reduce="Increase",
                    window="5m",
                )
            ],
        ),
        "spec.guards[0].metric",
        "Increase adds the series up itself, after it has looked for restarts in each; "
        "write the bare counter, without sum() or rate()",
    ),
    wrong(
        "ratio by a rate",
        an_integration(
            metrics=PROMETHEUS,
            guards=[
                a_guard(
                    metric={"from": "prometheus", "query": "errors_total", "perQuery": "rate(jobs_total[5m])"},
                    reduce="Ratio",
                    window="5m",
                )
            ],
        ),
        "spec.guards[0].metric",
        "Ratio adds the series up itself",
    ),
    wrong(
        "prometheus with a query in the URL",
        an_integration(metrics={"prometheus": {"url": "http://prometheus:9090/?x=y"}}),
        "spec.metrics.prometheus.url",
        "must be http://HOST:PORT or https://..., with the path before /api/v1 if there is one; "
        "a URL with a user or password belongs in a Secret, see urlFrom",
    ),
    wrong(
        "quantile of a backend",
        an_integration(
            metrics=BACKEND,
            guards=[a_guard(metric={"from": "backend", "name": "x", "quantile": 0.5}, reduce="Quantile", window="5m")],
        ),
        "spec.guards[0].reduce",
        "a JSON endpoint has no histograms, so Quantile does not work; read it from pods, "
        "or a quantile of its own with reduce: Last",
    ),
    wrong(
        "backend without metrics",
        an_integration(metrics=PODS, guards=[a_guard(metric={"from": "backend", "name": "x"})]),
        "spec.guards",
        "a guard reads from backend, but metrics.backend is not set; "
        "add it, e.g. metrics: {backend: {url: 'http://api:8000/crm/metrics'}}",
    ),
    wrong(
        "backend without URL",
        an_integration(metrics={"backend": {}}),
        "spec.metrics.backend",
        "url and urlFrom are both missing; give exactly one of them",
    ),
    wrong(
        "backend with a password",
        an_integration(metrics={"backend": {"url": "http://me:pw@api/metrics"}}),
        "spec.metrics.backend.url",
        "must be http://HOST:PORT/PATH or https://..., a query is allowed; "
        "a URL with a user or password belongs in a Secret, see urlFrom",
    ),
    wrong(
        "backend with TLS for nothing",
        an_integration(metrics={"backend": {"url": "http://api/metrics", "tls": {"caFrom": CA}}}),
        "spec.metrics.backend.tls",
        "tls is given, but url does not ask for TLS; write https://, or remove tls",
    ),
    wrong(
        "backend with a root of another language",
        an_integration(metrics={"backend": {"url": "http://api/metrics", "root": "$.metrics[0]"}}),
        "spec.metrics.backend.root",
        "must be the way to the object with the numbers: names of letters, digits, _ and -, with dots between",
    ),
    wrong(
        "metric with labels",
        an_integration(metrics=PODS, guards=[a_guard(**POD_GUARD | {"metric": {"from": "pods", "name": 'a{b="c"}'}})]),
        "spec.guards[0].metric.name",
        "must be a metric name without labels, like crm_sync_errors_total",
    ),
    wrong(
        "unknown queue metric",
        an_integration(guards=[a_guard(metric={"from": "queue", "name": "size"})]),
        "spec.guards[0].metric",
        "metric.name size is unknown to a queue; use waiting, running, delayed or dead",
    ),
    wrong(
        "ratio of a queue",
        an_integration(
            guards=[a_guard(metric={"from": "queue", "name": "dead", "per": "waiting"}, reduce="Ratio", window="5m")]
        ),
        "spec.guards[0].reduce",
        "a queue has no second counter and no histograms, so Ratio does not work; "
        "write Last, Average, Max, Increase or Rate",
    ),
    wrong(
        "jobs of the newest value",
        an_integration(metrics=PODS, guards=[a_guard(minJobs=20)]),
        "spec.guards[0].minJobs",
        "minJobs counts the jobs of a window, and Last has none; remove minJobs, or write reduce: Average or Max",
    ),
    wrong(
        "jobs that nobody counts",
        an_integration(guards=[a_guard(reduce="Increase", window="5m", minJobs=1)]),
        "spec.guards",
        "a guard's minJobs counts jobs in the workers' metrics, but metrics.pods is not set; "
        "add it, e.g. metrics: {pods: {port: 9191}}, or remove minJobs",
    ),
    wrong(
        "fewer than no jobs",
        an_integration(metrics=PODS, guards=[a_guard(**POD_GUARD | {"minJobs": -1})]),
        "spec.guards[0].minJobs",
        "should be greater than or equal to 0",
    ),
    wrong(
        "no more in total than running",
        an_integration(guards=[a_guard(breaches={"consecutive": 3, "total": 3})]),
        "spec.guards[0].breaches.total",
        "total is not above consecutive, so it says nothing; raise it, or remove total",
    ),
    wrong(
        "a total of warnings",
        an_integration(guards=[a_guard(critical=None, warning={"above": 1}, breaches={"consecutive": 3, "total": 9})]),
        "spec.guards[0].breaches",
        "breaches.total counts what is above critical, which is missing; add critical, or remove total",
    ),
    wrong(
        "only in total",
        an_integration(guards=[a_guard(breaches={"total": 9})]),
        "spec.guards[0].breaches.consecutive",
        "Required value",
    ),
    wrong(
        "101 running",
        an_integration(guards=[a_guard(breaches={"consecutive": 101})]),
        "spec.guards[0].breaches.consecutive",
        "should be less than or equal to 100",
    ),
    wrong(
        "workspaces of a queue",
        an_integration(guards=[a_guard(reduce="Increase", window="5m", minWorkspaces=2)]),
        "spec.guards[0].minWorkspaces",
        "minWorkspaces counts the label workspace of metrics from pods, and queue has none; "
        "remove minWorkspaces, or read the metric from pods",
    ),
    wrong(
        "workspaces of a query",
        an_integration(
            metrics=PROMETHEUS,
            guards=[
                a_guard(metric={"from": "prometheus", "query": "x"}, reduce="Increase", window="5m", minWorkspaces=2)
            ],
        ),
        "spec.guards[0].minWorkspaces",
        "or read the metric from pods; a query can count workspaces itself",
    ),
    wrong(
        "workspaces of a gauge",
        an_integration(metrics=PODS, guards=[a_guard(**POD_GUARD | {"reduce": "Max", "minWorkspaces": 2})]),
        "spec.guards[0].minWorkspaces",
        "minWorkspaces counts the workspaces in which a counter grew, before a breach is Critical; "
        "write reduce: Increase, Rate or Ratio, and critical, or remove minWorkspaces",
    ),
    wrong(
        "workspaces of a warning",
        an_integration(
            metrics=PODS,
            guards=[a_guard(**POD_GUARD | {"critical": None, "warning": {"above": 1}, "minWorkspaces": 2})],
        ),
        "spec.guards[0].minWorkspaces",
        "and critical, or remove minWorkspaces",
    ),
    wrong(
        "101 workspaces",
        an_integration(metrics=PODS, guards=[a_guard(**POD_GUARD | {"minWorkspaces": 101})]),
        "spec.guards[0].minWorkspaces",
        "should be less than or equal to 100",
    ),
    wrong(
        "pods without metrics",
        an_integration(guards=[a_guard(**POD_GUARD)]),
        "spec.guards",
        "a guard reads from pods, but metrics.pods is not set; add it, e.g. metrics: {pods: {port: 9191}}",
    ),
    wrong(
        "rollback is text",
        an_integration(onCritical={"rollback": "yes"}),
        "spec.onCritical.rollback",
        "must be of type boolean",
    ),
    # pauses
    wrong("no reason", a_pause(reason=None), "spec.reason", "Required value"),
    wrong("empty reason", a_pause(reason=""), "spec.reason", "must say in one line why, e.g. INC-42"),
    wrong("blank reason", a_pause(reason="  "), "spec.reason", "must say in one line why, e.g. INC-42"),
    wrong("a long story", a_pause(reason="INC-42\nIt began"), "spec.reason", "must say in one line why, e.g. INC-42"),
    wrong("reason too long", a_pause(reason="r" * 201), "spec.reason", "Too long: may not be more than 200"),
    wrong(
        "nothing to pause",
        a_pause(providers=None),
        "spec",
        "providers and integrations are both missing; give exactly one of them (providers: [] means all",
    ),
    wrong(
        "providers and integrations",
        a_pause(providers=["hubspot"], integrations=["hubspot"]),
        "spec",
        "both providers and integrations are given; give exactly one of them",
    ),
    wrong(
        "no integrations",
        a_pause(providers=None, integrations=[]),
        "spec.integrations",
        "should have at least 1 items",
    ),
    wrong("a provider's name", a_pause(providers=["HubSpot"]), "spec.providers[0]", "must be a DNS label"),
    wrong("33 providers", a_pause(providers=[f"p{i}" for i in range(33)]), "spec.providers", "must have at most 32"),
    wrong("paused is text", a_pause(paused="no"), "spec.paused", "must be of type boolean"),
]

#: Every duration of the API: an object that has it, its path, and its bounds.
DURATIONS = [
    (lambda d: an_integration(scaling={"maxReplicas": 3, "drainTarget": d}), "spec.scaling.drainTarget", "1s", "24h"),
    (lambda d: an_integration(scaling={"maxReplicas": 3, "jobDuration": d}), "spec.scaling.jobDuration", "1ms", "1h"),
    (
        lambda d: an_integration(scaling={"maxReplicas": 3, "scaleDownAfter": d}),
        "spec.scaling.scaleDownAfter",
        "0s",
        "1h",
    ),
    (
        lambda d: an_integration(scaling={"maxReplicas": 3, "rateLimit": {"requests": 1, "per": d}}),
        "spec.scaling.rateLimit.per",
        "1s",
        "24h",
    ),
    (
        lambda d: an_integration(rollout={"steps": [{"weight": 1, "hold": d}]}),
        "spec.rollout.steps[0].hold",
        "0s",
        "168h",
    ),
    (lambda d: an_integration(rollout={"bake": d}), "spec.rollout.bake", "0s", "168h"),
    (lambda d: an_integration(rollout={"progressDeadline": d}), "spec.rollout.progressDeadline", "10s", "24h"),
    (lambda d: an_integration(metrics={"pods": {"interval": d}}), "spec.metrics.pods.interval", "1s", "5m"),
    (
        lambda d: an_integration(metrics={"prometheus": {"url": "http://prometheus:9090", "interval": d}}),
        "spec.metrics.prometheus.interval",
        "1s",
        "5m",
    ),
    (
        lambda d: an_integration(metrics={"backend": {"url": "http://api/", "interval": d}}),
        "spec.metrics.backend.interval",
        "1s",
        "5m",
    ),
    (
        lambda d: an_integration(metrics=PODS, guards=[a_guard(**POD_GUARD | {"window": d})]),
        "spec.guards[0].window",
        "5s",
        "1h",
    ),
    (lambda d: a_pause(expiresAfter=d), "spec.expiresAfter", "1m", "168h"),
]

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
    pytest.param(a_pause(), id="pause all"),
    pytest.param(a_pause(providers=["hubspot", "zoho"], paused=False, expiresAfter="4h"), id="pause of providers"),
    pytest.param(a_pause(providers=None, integrations=["hubspot"]), id="pause of one integration"),
]


def plural(obj: Json) -> str:
    """Of the object's kind, as in URLs."""
    return f"{obj['kind'].lower()}s"


async def create(kube: httpx.AsyncClient, namespace: str, obj: Json, **parameters: str) -> httpx.Response:
    """Create as kubectl does: unknown fields are errors."""
    return await kube.post(
        collection(plural(obj), namespace), json=obj, params={"fieldValidation": "Strict", **parameters}
    )


def causes(answer: httpx.Response) -> list[tuple[str, str]]:
    """Field and message of everything that the API server objects to.

    Its remark that it left rules unchecked because of the other faults, which has no field, is left out.
    """
    assert answer.status_code == httpx.codes.UNPROCESSABLE_ENTITY, answer.text
    found = [(cause["field"], cause["message"]) for cause in answer.json()["details"]["causes"]]
    return [(field, message) for field, message in found if "some validation rules were not checked" not in message]


async def test_the_api_server_takes_the_crds_without_a_warning(kube: httpx.AsyncClient) -> None:
    for answer in await install_crds(kube):
        assert "warning" not in answer.headers
        assert condition(answer.json(), "NonStructuralSchema") is None


async def test_the_kinds_are_established_under_all_their_names(kube: httpx.AsyncClient) -> None:
    for path in CRDS.glob("*s.yaml"):
        wanted = yaml.safe_load(path.read_text())
        stored = (await kube.get(f"{CRD_COLLECTION}/{wanted['metadata']['name']}")).json()
        assert condition(stored, "Established") == "True"
        assert condition(stored, "NamesAccepted") == "True"
        assert condition(stored, "NonStructuralSchema") is None
        assert stored["status"]["acceptedNames"] == wanted["spec"]["names"]


@pytest.mark.parametrize(("obj", "field", "says"), WRONG)
async def test_a_wrong_spec_is_refused_for_its_one_fault(
    kube: httpx.AsyncClient, obj: Json, field: str, says: str
) -> None:
    ((refused, message),) = causes(await create(kube, "default", obj, dryRun="All"))
    assert refused == field
    assert says in message


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


async def test_a_misspelt_field_is_refused_when_asked_as_kubectl_does(kube: httpx.AsyncClient) -> None:
    answer = await create(kube, "default", an_integration(scalling={"maxReplicas": 3}), dryRun="All")
    assert answer.status_code == httpx.codes.BAD_REQUEST
    assert 'unknown field "spec.scalling"' in answer.json()["message"]


async def test_all_faults_of_a_spec_are_named_at_once(kube: httpx.AsyncClient) -> None:
    spec = an_integration(
        "h" * 41, provider="HubSpot", rollout=steps(50, 20), scaling={"minReplicas": 2, "maxReplicas": 1}
    )
    fields = ["metadata.name", "spec.provider", "spec.rollout.steps", "spec.scaling.maxReplicas"]
    assert sorted(field for field, _ in causes(await create(kube, "default", spec, dryRun="All"))) == fields


async def test_the_provider_cannot_be_changed(kube: httpx.AsyncClient, namespace: str) -> None:
    assert (await create(kube, namespace, an_integration())).is_success
    path = f"{collection('crmintegrations', namespace)}/hubspot"
    answer = await server_side_apply(kube, path, an_integration(provider="zoho"))
    says = "provider cannot change from hubspot to zoho; create another CrmIntegration for zoho"
    assert causes(answer) == [("spec.provider", f"Invalid value: {says}")]
    assert (await server_side_apply(kube, path, an_integration(scaling={"maxReplicas": 9}))).is_success


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


CASES = [
    pytest.param(CrmIntegrationStatus, an_integration(), id="CrmIntegration"),
    pytest.param(SyncPauseStatus, a_pause(), id="SyncPause"),
]


@pytest.mark.parametrize(("model", "obj"), CASES)
async def test_a_status_with_every_field_is_stored_as_written(
    kube: httpx.AsyncClient, namespace: str, model: type[ApiModel], obj: Json
) -> None:
    created = (await create(kube, namespace, obj)).json()
    path = f"{collection(plural(obj), namespace)}/{obj['metadata']['name']}"

    @given(status=instances(model, complete=True))
    @settings(max_examples=1, phases=[Phase.generate], derandomize=True, database=None)
    def one(status: ApiModel) -> None:
        examples.append(status)

    examples: list[ApiModel] = []
    one()
    wire = _with_unique_keys(examples[0].to_wire())
    assert set(_paths(wire)) == set(_schema_paths(obj["kind"])), "the example fills every field of the schema"
    body = {"apiVersion": obj["apiVersion"], "kind": obj["kind"], "status": wire}
    answer = await server_side_apply(kube, f"{path}/status", body, fieldValidation="Strict")
    assert answer.is_success, answer.text
    assert "warning" not in answer.headers
    stored = (await kube.get(path)).json()
    assert stored["status"] == wire
    assert model.model_validate(stored["status"]) == model.model_validate(wire)
    assert stored["metadata"]["generation"] == created["metadata"]["generation"], "a status is no new wish"


@pytest.mark.parametrize(("model", "obj"), CASES)
async def test_the_main_endpoint_does_not_write_status(
    kube: httpx.AsyncClient, namespace: str, model: type[ApiModel], obj: Json
) -> None:
    answer = await create(kube, namespace, obj | {"status": {"observedGeneration": 7, "message": "forged"}})
    assert answer.json()["status"] == {"observedGeneration": -1}


async def test_kubectl_get_shows_what_someone_on_call_needs(kube: httpx.AsyncClient, namespace: str) -> None:
    integration = an_integration()
    await create(kube, namespace, integration)
    await create(kube, namespace, a_pause(providers=["hubspot", "zoho"]))
    path = collection("crmintegrations", namespace)
    when = "2026-11-24T12:00:00Z"
    ready = {"type": "Ready", "status": "False", "reason": "RolledBack", "message": "m", "lastTransitionTime": when}
    paused = ready | {"type": "Paused", "reason": "NotPaused"}
    status = {
        "phase": "RolledBack",
        "workers": {"desired": 4, "ready": 3, "stable": 4, "canary": 0},
        "queue": {"waiting": 17, "running": 0, "delayed": 0, "dead": 2, "observedTime": when},
        "conditions": [ready, paused],
    }
    body = {"apiVersion": integration["apiVersion"], "kind": integration["kind"], "status": status}
    assert (await server_side_apply(kube, f"{path}/hubspot/status", body)).is_success
    row = await _row(kube, path)
    del row["AGE"]
    assert row == {
        "NAME": "hubspot",
        "PHASE": "RolledBack",
        "READY": "False",
        "WAITING": 17,
        "WORKERS": 3,
        "CANARY": 0,
        "PAUSED": "False",
        "REASON": "RolledBack",
    }
    row = await _row(kube, collection("syncpauses", namespace))
    assert (row["PROVIDERS"], row["REASON"]) == ('["hubspot","zoho"]', "INC-42")


async def _row(kube: httpx.AsyncClient, path: str) -> Json:
    """The first line of the table that kubectl prints without -o wide, by heading."""
    table = (await kube.get(path, headers={"accept": "application/json;as=Table;v=v1;g=meta.k8s.io"})).json()
    columns = table["columnDefinitions"]
    cells = zip(columns, table["rows"][0]["cells"], strict=True)
    return {column["name"].upper(): cell for column, cell in cells if column["priority"] == 0}


def _with_unique_keys(value: Any) -> Any:
    """Lists cut to one item: keys of list maps must differ, and one shows every field."""
    if isinstance(value, dict):
        return {key: _with_unique_keys(member) for key, member in value.items()}
    return [_with_unique_keys(value[0])] if isinstance(value, list) else value


def _paths(value: Any, path: str = "") -> Iterator[str]:
    if isinstance(value, dict):
        for key, member in value.items():
            yield from _paths(member, f"{path}.{key}")
    elif isinstance(value, list):
        for member in value:
            yield from _paths(member, f"{path}[]")
    else:
        yield path


def _schema_paths(kind: str) -> Iterator[str]:
    def walk(schema: Json, path: str) -> Iterator[str]:
        if "properties" in schema:
            for name, member in schema["properties"].items():
                yield from walk(member, f"{path}.{name}")
        elif "items" in schema:
            yield from walk(schema["items"], f"{path}[]")
        else:
            yield path

    (document,) = (crd(each) for each in KINDS if each.kind == kind)
    return walk(document["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["status"], "")


def test_every_rule_of_the_crds_has_a_wrong_spec() -> None:
    tried = [row.values[2].split('": ')[-1] for row in WRONG]  # without the value
    tried += [f"must be a duration from {low} to {high}, " for _, _, low, high in DURATIONS]
    tried += ["provider cannot change from "]  # test_the_provider_cannot_be_changed
    for rule in _rules([crd(kind) for kind in KINDS]):
        words = (
            [rule["message"]] if "message" in rule else re.findall(r"'((?:[^'\\]|\\.)*)'", rule["messageExpression"])
        )
        words = [word for word in words if " " in word and len(word) > 12]
        assert any(word in said or said in word for word in words for said in tried), rule


def _rules(value: Any) -> Iterator[Json]:
    if isinstance(value, dict):
        yield from value.get("x-kubernetes-validations", [])
        for member in value.values():
            yield from _rules(member)
    elif isinstance(value, list):
        for member in value:
            yield from _rules(member)
