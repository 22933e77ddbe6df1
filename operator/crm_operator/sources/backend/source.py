"""What the controller asks for: one integration's JSON endpoint, and what of it."""

from dataclasses import dataclass
from datetime import timedelta

from crm_operator.sources.endpoint import EndpointSource


@dataclass(frozen=True, slots=True)
class BackendSource:
    """The endpoint of one integration."""

    endpoint: EndpointSource
    root: tuple[str, ...]  # names of the objects that lead to the numbers; () = the answer itself
    interval: timedelta  # between looks
    metrics: frozenset[str]  # names that guards need
    levels: frozenset[str]  # of `metrics`, gauges that guards reduce over a window
    window: timedelta  # the longest guard window
