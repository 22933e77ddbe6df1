"""The Prometheus text format, of which only the wanted metrics are parsed.

A pod's answer is hostile input: a cheap filter keeps the lines of wanted names, bounds their number and length, and
leaves the parsing to prometheus_client, which takes tens of microseconds a line. What does not parse spoils its own
metric only. Called by `scrape`.
"""

import math
import re
from collections.abc import Iterable, Sequence
from functools import lru_cache

from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample as PrometheusSample

from crm_operator.domain.breadth import LABEL, workspaces_of
from crm_operator.domain.histogram import MAX_BOUNDS, Buckets, buckets_of
from crm_operator.domain.scraped import METRIC_MISSING, Sample
from crm_operator.domain.world import Unknown

#: Lines of wanted metrics in one scrape; Dramatiq makes one per queue and actor.
MAX_LINES = 2000
#: Longer lines are not parsed, in bytes: the parser's time grows with the square of the length.
MAX_LINE = 1024
#: Together they may be this long, in bytes: about 0.2 s of parsing in the worst case.
MAX_WANTED = 256 * 1024

_PARSE_ERRORS = (ValueError, LookupError, TypeError, ArithmeticError, RecursionError)


def parse(
    body: bytes,
    names: frozenset[str],
    *,
    not_before: float = -math.inf,
    by_workspace: frozenset[str] = frozenset(),
) -> dict[str, Sample | Unknown] | Unknown:
    """Each of `names` in `body`, or why the whole cannot be used.

    A series with a timestamp of its own from before `not_before` (Unix time, in seconds) is stale: some exporters go on
    telling what they saw last.

    A name is looked for as it is written, then with or without `_total`: a counter `x` is exposed as `x_total`. A
    metric that is declared (`# TYPE`) and has no series yet is 0; one that is not even declared is an Unknown. A name
    that ends with `_bucket` is read as a histogram too, and one of `by_workspace` as a counter of each workspace.
    """
    if body and not body.endswith(b"\n"):
        return Unknown("the answer is cut off: its last line has no end", "MetricsInvalid")
    lines = [match.group() for match in _wanted_lines(names).finditer(body)]
    if len(lines) > MAX_LINES or sum(map(len, lines)) > MAX_WANTED:
        return Unknown(
            f"more than {MAX_LINES} series, or {MAX_WANTED} bytes, of the metrics that guards read", "TooManySeries"
        )
    return {name: _sample(name, lines, not_before, by_workspace=name in by_workspace) for name in sorted(names)}


def _sample(name: str, lines: list[bytes], not_before: float, *, by_workspace: bool) -> Sample | Unknown:
    for spelling in (name, _other_spelling(name)):
        own = [line for line in lines if _line_belongs(line, spelling)]
        if own:
            return _sample_of(name, own, not_before, by_workspace=by_workspace)
    return Unknown(
        "not among the pod's metrics; check guards[].metric.name, and let the worker make a labelled counter's first "
        "series when it starts",
        METRIC_MISSING,
    )


def _sample_of(name: str, lines: list[bytes], not_before: float, *, by_workspace: bool) -> Sample | Unknown:
    invalid = Unknown("not in the Prometheus text format", "MetricInvalid")
    if any(len(line) > MAX_LINE for line in lines):
        return invalid
    try:
        text = b"\n".join([*lines, b""]).decode("utf-8")
        series = [line for family in _families(text) for line in family.samples]
        values = [float(line.value) for line in series]
        times = [float(line.timestamp) for line in series if line.timestamp is not None]
    except _PARSE_ERRORS:
        return invalid
    if len({(line.name, tuple(sorted(line.labels.items()))) for line in series}) < len(series):
        return Unknown("it has a series twice", "MetricInvalid")
    if not all(time >= not_before for time in times):
        return Unknown("it has a timestamp of its own that is too old", "Stale")
    if not all(math.isfinite(value) for value in values):
        not_finite = Unknown("not a finite number", "MetricInvalid")
        return Sample(not_finite, not_finite)
    total: float | Unknown = sum(values)  # math.fsum raises where the sum is too large
    if any(value < 0 for value in values):
        total = Unknown("negative, so it is no counter; use reduce: Last", "MetricInvalid")
    elif not math.isfinite(sum(values)):
        total = Unknown("not a finite number", "MetricInvalid")
    return Sample(
        total,
        max(values, default=0.0),
        _buckets(series) if name.endswith("_bucket") else None,
        workspaces_of(name, [(line.labels.get(LABEL), line.value) for line in series]) if by_workspace else None,
    )


def _buckets(series: Sequence[PrometheusSample]) -> Buckets | Unknown:
    """The label sets' buckets as one. A histogram without series has observed nothing."""
    counts: dict[float, float] = {} if series else {math.inf: 0.0}
    try:
        for line in series:
            bound = float(line.labels["le"])
            counts[bound] = counts.get(bound, 0.0) + line.value
    except (KeyError, ValueError):
        return Unknown("it has no upper bound in its label le", "MetricInvalid")
    if len(counts) > MAX_BOUNDS:
        return Unknown(f"it has more than {MAX_BOUNDS} buckets", "TooManyBuckets")
    buckets = buckets_of(counts)
    return Unknown("it has no +Inf bucket, or counts that fall", "MetricInvalid") if buckets is None else buckets


def _families(text: str) -> Iterable[Metric]:
    return text_string_to_metric_families(text)  # type: ignore[no-untyped-call, no-any-return, unused-ignore]


_TYPE = rb"[ \t]*#[ \t]*TYPE[ \t]+"


@lru_cache(maxsize=256)
def _wanted_lines(names: frozenset[str]) -> re.Pattern[bytes]:
    """Matches whole lines: samples of the names in both spellings, and the declarations of their families."""
    spellings = {spelling for name in names for spelling in (name, _other_spelling(name))}
    families = spellings | {_family(spelling) for spelling in spellings}
    return re.compile(
        rb"^(?:%b(?:%b)[ \t]|[ \t]*(?:%b)[{ \t]).*$" % (_TYPE, _any_of(families), _any_of(spellings)), re.MULTILINE
    )


@lru_cache(maxsize=1024)
def _line_of(spelling: str) -> re.Pattern[bytes]:
    return re.compile(
        rb"(?:%b(?:%b)[ \t]|[ \t]*%b[{ \t])" % (_TYPE, _any_of({spelling, _family(spelling)}), spelling.encode())
    )


def _line_belongs(line: bytes, spelling: str) -> bool:
    return _line_of(spelling).match(line) is not None


def _any_of(names: Iterable[str]) -> bytes:
    return "|".join(re.escape(name) for name in sorted(names)).encode()


def _other_spelling(name: str) -> str:
    return name.removesuffix("_total") if name.endswith("_total") else f"{name}_total"


def _family(name: str) -> str:
    """The declared name of `x_count` and the like, which are samples of a histogram or summary `x`."""
    return re.sub(r"_(count|sum|bucket)$", "", name)
