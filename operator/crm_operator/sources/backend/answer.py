"""The JSON of a metrics endpoint: numbers under a root object. Anything else is an Unknown, never a number.

An answer is hostile input: its size is bounded before, its nesting by the parser, and integers are read as floats,
because Python's own take time in the square of their length.
"""

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from crm_operator.domain.scraped import METRIC_MISSING, Sample, Scrape
from crm_operator.domain.world import Unknown


def parse(body: bytes, *, root: Sequence[str], names: frozenset[str]) -> Scrape | Unknown:
    """Each of `names` in `body`, or why the whole cannot be used."""
    try:
        found: Any = json.loads(body, parse_int=float, object_pairs_hook=_once)
    except (ValueError, RecursionError):
        return Unknown("the answer is not JSON, or has a name twice", "MetricsInvalid")
    for name in root:
        found = found.get(name) if isinstance(found, Mapping) else None
    if not isinstance(found, Mapping):
        where = f"object {'.'.join(root)}" if root else "object"
        return Unknown(f"the answer has no {where}; check metrics.backend.root", "MetricsInvalid")
    return {name: _sample(name, found) for name in sorted(names)}


def _sample(name: str, found: Mapping[str, Any]) -> Sample | Unknown:
    if name not in found:
        return Unknown("not in the answer; check guards[].metric.name", METRIC_MISSING)
    value = found[name]
    if not isinstance(value, float):
        return Unknown("not a number", "MetricInvalid")
    if not math.isfinite(value):
        return Unknown("not a finite number", "MetricInvalid")
    if value < 0:
        return Sample(Unknown("negative, so it is no counter; use reduce: Last", "MetricInvalid"), value)
    return Sample(value, value)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name twice")
    return found
