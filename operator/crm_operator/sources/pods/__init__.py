"""Prometheus metrics of the worker pods. `PodHub` is what the controller uses; the rest serves it."""

from crm_operator.sources.pods.hub import PodHub
from crm_operator.sources.pods.source import PodSource, PodTarget

__all__ = ["PodHub", "PodSource", "PodTarget"]
