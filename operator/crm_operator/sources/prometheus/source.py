"""What the controller asks for: which queries, over which windows, for which versions."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from crm_operator.api.v1alpha1 import REVISION, Guard, Reduce
from crm_operator.domain.reductions import metric_names, needs_levels
from crm_operator.sources.endpoint import EndpointSource


@dataclass(frozen=True, slots=True)
class RangeQuery:
    """One query over one window."""

    key: str  # what texts, and the memory, call it
    text: str  # PromQL
    window: timedelta  # 0: the newest samples only
    is_level: bool = False  # a gauge that is reduced over the window
    is_histogram: bool = False  # its series are the buckets of histograms


@dataclass(frozen=True, slots=True)
class PrometheusSource:
    """The server of one integration."""

    endpoint: EndpointSource
    interval: timedelta  # between looks, and between the samples of a window
    revisions: tuple[str, ...]  # for queries with $(REVISION)
    queries: frozenset[RangeQuery]


def queries_of(guard: Guard, revisions: Sequence[str]) -> dict[str | None, tuple[RangeQuery, ...]]:
    """What a guard asks, by revision; under None if its query is the same for all of them."""
    texts = [text for text in (guard.metric.query, guard.metric.per_query) if text is not None]
    sides: Sequence[str | None] = revisions if any(REVISION in text for text in texts) else (None,)
    return {
        side: tuple(
            RangeQuery(
                key=key or "",
                text=text.replace(REVISION, side or ""),
                window=guard.window or timedelta(),
                is_level=needs_levels(guard),
                is_histogram=guard.reduce is Reduce.QUANTILE,
            )
            for key, text in zip(metric_names(guard), texts, strict=False)
        )
        for side in sides
    }
