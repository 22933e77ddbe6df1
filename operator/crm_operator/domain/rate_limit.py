"""How many workers a CRM's limits feed. More of them would only collect refusals, which fill the dead-letter queue.

    by rate          N = requests/s / requestsPerJob / speed of a worker        (a window, or a day spread evenly)
    by concurrency   N = allowed at once / concurrency of a worker

Rounded down, and at least 1: nothing would be done without one. Refusals (HTTP 429) that the workers count halve what
is used, once a minute; every minute without one gives back 10 % of the whole. The share is kept in status.
"""

import math
from dataclasses import dataclass
from datetime import datetime, timedelta

from crm_operator.api.duration import render
from crm_operator.api.v1alpha1 import RateLimit, RatePreset
from crm_operator.domain.world import QueueReading, Reading, World

#: The workers' counter of refusals, as the runbook names it.
HITS_METRIC = "rate_limit_hits"
#: Refusals are counted over this time, and the share that is used changes no more often.
PACE = timedelta(minutes=1)
#: In percent: what a minute without refusals gives back, and what is always used.
GIVEN_BACK, LEAST = 10, 5

_DAY = timedelta(days=1)
_10S = timedelta(seconds=10)
_1S = timedelta(seconds=1)

#: Requests, within which time, and at once, as the vendors published them (HubSpot usage guidelines, Zoho CRM v8 API
#: limits, Odoo Online's acceptable use; read in 2026). Daily quotas depend on users and add-ons: set `daily`.
PRESETS: dict[RatePreset, tuple[int | None, timedelta | None, int | None]] = {
    RatePreset.HUBSPOT_FREE: (100, _10S, None),
    RatePreset.HUBSPOT_PROFESSIONAL: (190, _10S, None),
    RatePreset.HUBSPOT_INCREASED: (250, _10S, None),
    RatePreset.HUBSPOT_OAUTH: (110, _10S, None),
    RatePreset.HUBSPOT_SEARCH: (5, _1S, None),
    RatePreset.ZOHO_FREE: (None, None, 5),
    RatePreset.ZOHO_STANDARD: (None, None, 10),
    RatePreset.ZOHO_PROFESSIONAL: (None, None, 15),
    RatePreset.ZOHO_ENTERPRISE: (None, None, 20),
    RatePreset.ZOHO_ULTIMATE: (None, None, 25),
    RatePreset.ODOO_ONLINE: (1, _1S, 1),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Cap:
    """The most workers that a limit feeds, >= 1."""

    workers: int
    #: The limit in words, with what was taken off it.
    why: str
    #: One worker alone may ask for more than is allowed.
    exceeded_by_one: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Throttle:
    """The share of the limit that is used, in percent (5..100), and since when; None: it never changed."""

    percent: int = 100
    since: datetime | None = None


def throttle(world: World) -> Throttle | None:
    """The recorded share, moved on by what the workers say. Unreadable counts hold it. None: there is no limit."""
    if world.spec.scaling.rate_limit is None:
        return None
    recorded = world.status.scaling
    before = (
        Throttle()
        if recorded is None or recorded.rate_limit_percent is None
        else Throttle(percent=recorded.rate_limit_percent, since=recorded.rate_limit_time)
    )
    hits = world.rate_limit_hits
    if hits is None:
        return Throttle()  # nobody counts refusals (any more), so nothing would ever give the share back
    if before.since is not None and world.now < before.since + PACE:
        return before
    if isinstance(hits, Reading):
        if hits.value > 0:
            return Throttle(percent=max(LEAST, before.percent // 2), since=world.now)
    elif hits.reason != "NoPods":
        return before
    if before.percent >= 100:
        return before
    return Throttle(percent=min(100, before.percent + GIVEN_BACK), since=world.now)


def look_again(used: Throttle | None) -> datetime | None:
    """When a share that is not whole may change though nothing else does."""
    return None if used is None or used.since is None or used.percent >= 100 else used.since + PACE


def cap(world: World, *, speed: float, used: Throttle | None) -> Cap | None:
    """The tightest of the limits for workers that each do `speed` jobs/s (> 0). None: there is no limit."""
    limit = world.spec.scaling.rate_limit
    if limit is None or used is None:
        return None
    share, words = _share(world)
    share *= used.percent / 100
    if used.percent < 100:
        words += f", {used.percent} % of it used after refusals"
    concurrency = world.spec.workers.concurrency
    caps = [_cap(rate * share / limit.requests_per_job / speed, f"{said}{words}") for rate, said in _rates(limit)]
    if (at_once := _concurrency(limit)) is not None:
        caps.append(_cap(at_once * share / concurrency, f"{at_once} requests at once{words}"))
    return min(caps, key=lambda found: found.workers, default=None)


def _cap(workers: float, why: str) -> Cap:
    # A rounding error below a whole number is that number.
    return Cap(workers=max(1, math.floor(round(workers, 6))), why=why, exceeded_by_one=round(workers, 6) < 1)


def _rates(limit: RateLimit) -> list[tuple[float, str]]:
    requests, per, _ = (None, None, None) if limit.preset is None else PRESETS[limit.preset]
    if limit.requests is not None:
        requests, per = limit.requests, limit.per
    rates = []
    if requests is not None and per is not None:
        rates.append((requests / per.total_seconds(), f"{requests} requests in {render(per)}"))
    if limit.daily is not None:
        rates.append((limit.daily / _DAY.total_seconds(), f"{limit.daily} requests a day, spread evenly"))
    return rates


def _concurrency(limit: RateLimit) -> int | None:
    return limit.concurrency or (None if limit.preset is None else PRESETS[limit.preset][2])


def _share(world: World) -> tuple[float, str]:
    """This integration's part of the account, in proportion to the backlog; one more each, so that none gets nothing.

    A backlog that cannot be read is taken to be as large as this one's.
    """
    reading = world.queue.latest
    own = 1 + (reading.backlog if isinstance(reading, QueueReading) else 0)
    others = [own if backlog is None else 1 + backlog for backlog in world.sharing]
    if not others:
        return 1.0, ""
    share = own / (own + sum(others))
    return share, f", {100 * share:.0f} % of it by backlog among {1 + len(others)} integrations"
