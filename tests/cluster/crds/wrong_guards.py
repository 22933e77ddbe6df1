"""Guards that are refused."""

from tests.cluster.crds.specs import BACKEND, CA, POD_GUARD, PODS, PROMETHEUS, wrong
from tests.cluster.objects import a_guard, an_integration

WRONG_GUARDS = [
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
]
