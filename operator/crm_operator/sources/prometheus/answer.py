"""The JSON of a range query: series with their samples. Anything else is an Unknown, never a number.

An answer is hostile input: series and samples are counted before anything is made of them, and the server's own words
(errors, warnings) are not repeated.
"""

import json
import math
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from crm_operator.domain.histogram import MAX_BOUNDS, buckets_of
from crm_operator.domain.scraped import METRIC_MISSING, Sample, Scraped
from crm_operator.domain.world import Unknown
from crm_operator.sources.prometheus.source import RangeQuery

#: Of one query.
MAX_SERIES, MAX_SAMPLES = 200, 20_000
#: An answer's times may be this far outside what was asked, in seconds: they come back rounded.
_ROUNDING = 1.0

Labels = tuple[tuple[str, str], ...]
#: A series' samples, by time in seconds.
Points = dict[float, float]

GARBLED = Unknown("the answer is not that of Prometheus's API; check the URL", "MetricsInvalid")


@dataclass(frozen=True, slots=True)
class Span:
    """The time that was asked for."""

    start: datetime
    end: datetime
    apart: timedelta  # samples further apart have a gap between them
    stale_after: timedelta  # a series without a sample for so long has ended


def members(body: bytes, query: RangeQuery, span: Span) -> tuple[Scraped, ...] | Unknown:
    """Each series as one process with its past, or why the answer is none."""
    series = _series(body, span)
    if isinstance(series, Unknown):
        return series
    if not series:
        return Unknown(f"{query.key}: no series; where that means 0, write `or vector(0)` behind it", METRIC_MISSING)
    if query.is_histogram:
        samples = _histograms(query.key, series)
        if isinstance(samples, Unknown):
            return samples
    else:
        samples = [{at: _sample(value) for at, value in points.items()} for points in series.values()]
    return tuple(_remembered(found, query, span) for found in samples)


def _remembered(samples: Mapping[float, Sample | Unknown], query: RangeQuery, span: Span) -> Scraped:
    member = Scraped(started_at=None, first_at=span.start, whole=True)
    levels = frozenset({query.key}) if query.is_level else frozenset()
    at = span.start
    for seconds, sample in samples.items():
        at = datetime.fromtimestamp(seconds, UTC)
        member.record({query.key: sample}, at, keep=span.end - span.start, apart=span.apart, levels=levels)
    member.is_there = span.end - at <= span.stale_after
    return member


def _series(body: bytes, span: Span) -> dict[Labels, Points] | Unknown:
    try:
        content: Any = json.loads(body)
        if content["status"] != "success" or content["data"]["resultType"] != "matrix":
            return GARBLED
        if content.get("warnings"):
            return Unknown("Prometheus warns that the answer may not be whole; ask it there", "QueryWarning")
        found = content["data"]["result"]
        if len(found) > MAX_SERIES or sum(len(item["values"]) for item in found) > MAX_SAMPLES:
            return Unknown(
                f"more than {MAX_SERIES} series or {MAX_SAMPLES} samples; select fewer series", "TooManySeries"
            )
        series = {_labels(item["metric"]): _points(item["values"]) for item in found}
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError, OverflowError):
        return GARBLED
    if len(series) < len(found):
        return Unknown("the answer has a series twice", "MetricsInvalid")
    earliest, latest = span.start.timestamp() - _ROUNDING, span.end.timestamp() + _ROUNDING
    for points in series.values():
        times = list(points)
        if times != sorted(times) or not all(earliest <= time <= latest for time in times):
            return Unknown("the answer has samples of another time than was asked for", "MetricsInvalid")
    return {labels: points for labels, points in series.items() if points}


def _labels(metric: Any) -> Labels:
    return tuple(sorted((str(name), str(value)) for name, value in metric.items()))


def _points(values: Any) -> Points:
    points = {float(at): float(value) for at, value in values}
    if len(points) < len(values):
        raise ValueError("a time twice")
    return points


def _sample(value: float) -> Sample | Unknown:
    if not math.isfinite(value):
        return Unknown("not a finite number", "MetricInvalid")
    if value < 0:
        return Sample(Unknown("negative, so it is no counter; use reduce: Last", "MetricInvalid"), value)
    return Sample(value, value)


def _histograms(key: str, series: Mapping[Labels, Points]) -> list[dict[float, Sample | Unknown]] | Unknown:
    """Series that differ in `le` only are one histogram."""
    groups: defaultdict[Labels, dict[float, Points]] = defaultdict(dict)
    for labels, points in series.items():
        by_name = dict(labels)
        try:
            bound = float(by_name.pop("le"))
        except (KeyError, ValueError):
            return Unknown(f"{key} has no upper bound in its label le", "MetricInvalid")
        groups[tuple(by_name.items())][bound] = points
    if any(len(bounds) > MAX_BOUNDS for bounds in groups.values()):
        return Unknown(f"{key} has more than {MAX_BOUNDS} buckets", "TooManyBuckets")
    return [_histogram(bounds) for bounds in groups.values()]


def _histogram(bounds: Mapping[float, Points]) -> dict[float, Sample | Unknown]:
    found: dict[float, Sample | Unknown] = {}
    for at in sorted({at for points in bounds.values() for at in points}):
        counts = {bound: points[at] for bound, points in bounds.items() if at in points}
        whole = len(counts) == len(bounds) and all(math.isfinite(count) and count >= 0 for count in counts.values())
        buckets = buckets_of(counts) if whole else None
        if buckets is None:
            found[at] = Unknown("it has no +Inf bucket, or counts that fall", "MetricInvalid")
        else:
            found[at] = Sample(buckets[-1][1], buckets[-1][1], buckets)
    return found
