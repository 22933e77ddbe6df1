"""A Prometheus server's query API. `prometheus_hub` is what the program builds; the rest serves it."""

from crm_operator.sources.prometheus.source import PrometheusSource, RangeQuery, queries_of
from crm_operator.sources.prometheus.watched import PrometheusHub, prometheus_hub

__all__ = ["PrometheusHub", "PrometheusSource", "RangeQuery", "prometheus_hub", "queries_of"]
