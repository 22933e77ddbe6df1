"""A CRM's limits bound the workers, refusals lower them, and an account is shared."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crm_operator.api.v1alpha1 import RatePreset, ScalingStatus
from crm_operator.domain.decide import decide
from crm_operator.domain.rate_limit import PRESETS, Throttle, cap, look_again, throttle
from crm_operator.domain.scaling import size
from crm_operator.domain.world import QueueView, Reading, Unknown, World
from tests.unit.domain.builders import (
    GOOD,
    NOW,
    a_queue,
    a_reading,
    a_spec,
    a_status,
    a_template,
    a_world,
    an_outage,
    read,
)

#: One worker does 10 jobs a second, 10 at once.
SCALING = {"maxReplicas": 50, "drainTarget": "60s", "jobDuration": "1s"}
MINUTE = timedelta(minutes=1)
LIMIT = {"requests": 1000, "per": "10s"}


def limited(rate_limit: dict[str, Any] | None, *, concurrency: int = 10, **parts: Any) -> World:
    spec = a_spec(
        workers={"template": a_template(), "concurrency": concurrency},
        scaling=SCALING | ({"rateLimit": rate_limit} if rate_limit else {}),
    )
    return a_world(**({"spec": spec, "target": GOOD, "status": a_status(desired=0), "queue": a_queue(12_000)} | parts))


def used(percent: int, since: datetime | None = NOW - timedelta(hours=1)) -> dict[str, Any]:
    recorded = ScalingStatus(job_duration_milliseconds=1000, rate_limit_percent=percent, rate_limit_time=since)
    return {"status": a_status(desired=0, scaling=recorded)}


@pytest.mark.parametrize(
    ("rate_limit", "workers"),
    [
        pytest.param(None, 20, id="none: what the load needs"),
        pytest.param({"requests": 1000, "per": "10s"}, 10, id="a window"),
        pytest.param({"requests": 190, "per": "10s"}, 1, id="never more than allowed"),
        pytest.param({"requests": 1, "per": "10s"}, 1, id="but one"),
        pytest.param({"requests": 1000, "per": "10s", "requestsPerJob": 2.5}, 4, id="several requests a job"),
        pytest.param({"requests": 1000, "per": "10s", "requestsPerJob": 0.1}, 20, id="ten jobs a request: no bound"),
        pytest.param({"concurrency": 55}, 5, id="at once"),
        pytest.param({"concurrency": 5}, 1, id="fewer at once than one worker has threads"),
        pytest.param({"daily": 2_592_000}, 3, id="30 a second, all day"),
        pytest.param({"requests": 1000, "per": "10s", "concurrency": 40, "daily": 2_592_000}, 3, id="the tightest"),
        pytest.param({"preset": "zoho-ultimate"}, 2, id="a preset"),
        pytest.param({"preset": "zoho-ultimate", "concurrency": 70}, 7, id="overridden"),
    ],
)
def test_a_limit_bounds_the_workers(rate_limit: dict[str, Any] | None, workers: int) -> None:
    assert size(limited(rate_limit)).replicas == workers


def test_every_preset_limits_something() -> None:
    assert set(PRESETS) == set(RatePreset)
    for preset in RatePreset:
        assert cap(limited({"preset": preset.value}), speed=0.01, used=Throttle()) is not None


def test_it_says_the_numbers_and_what_to_do() -> None:
    found = size(limited(LIMIT, **used(50, NOW), rate_limit_hits=read(0)))
    assert (found.reason, found.replicas) == ("RateLimited", 5)
    for words in ("12000 jobs", "need 20 workers", "1000 requests in 10s", "50 % of it used", "feeds 5", "raise it if"):
        assert words in found.why
    conditions = {c.type: c for c in decide(limited({"concurrency": 5})).status.conditions}
    assert (conditions["Scaled"].status, conditions["Scaled"].reason) == ("False", "RateLimited")
    assert "lower workers.concurrency" in conditions["Scaled"].message


def test_the_users_maximum_is_named_when_it_is_the_tighter_one() -> None:
    world = limited({"requests": 6000, "per": "10s"}, queue=a_queue(100_000))
    assert (size(world).reason, size(world).replicas) == ("AtMaximum", 50)


def test_an_account_is_shared_by_backlog() -> None:
    limit = {"requests": 1000, "per": "10s", "account": "acme"}
    assert size(limited(limit, sharing=(12_000,))).replicas == 5
    assert size(limited(limit, sharing=(36_000,))).replicas == 2
    assert size(limited(limit, sharing=(0, 0))).replicas == 9, "an idle one keeps a trace"
    assert "50 % of it by backlog among 2 integrations" in size(limited(limit, sharing=(12_000,))).why


def test_the_backlogs_of_sharers_are_looked_at_again() -> None:
    account = {**LIMIT, "account": "acme"}
    assert decide(limited(account, sharing=(5,))).requeue_after == timedelta(seconds=5)
    assert decide(limited(account, sharing=())).requeue_after == timedelta(seconds=5), "one may come back from a pause"


def test_an_unread_sharer_counts_as_much_as_oneself() -> None:
    assert size(limited(LIMIT, sharing=(None,))).replicas == 5


@given(st.lists(st.integers(0, 10**6), min_size=2, max_size=6))
def test_all_sharers_together_stay_within_the_limit_but_for_their_one_worker(backlogs: list[int]) -> None:
    total = 0
    for own, backlog in enumerate(backlogs):
        others = tuple(other for n, other in enumerate(backlogs) if n != own)
        world = limited(LIMIT, queue=a_queue(backlog), sharing=others)
        found = cap(world, speed=10, used=Throttle())
        assert found is not None
        total += found.workers if found.workers > 1 else 0
    assert total <= 10


# -- refusals


@pytest.mark.parametrize(
    ("before", "minutes", "hits", "percent"),
    [
        pytest.param(100, 60, read(1), 50, id="a refusal halves it"),
        pytest.param(50, 1, read(7), 25, id="a minute later again"),
        pytest.param(50, 0.9, read(7), 50, id="not before"),
        pytest.param(7, 5, read(7), 5, id="something is always used"),
        pytest.param(50, 1, read(0), 60, id="a minute without gives 10 % back"),
        pytest.param(50, 0.9, read(0), 50, id="not before either"),
        pytest.param(95, 1, read(0), 100, id="up to the whole"),
        pytest.param(50, 60, Unknown("refused", "ConnectionRefused"), 50, id="what cannot be read holds it"),
        pytest.param(50, 60, Unknown("no pod", "NoPods"), 60, id="without pods there are no refusals"),
        pytest.param(50, 60, None, 100, id="nobody counts refusals"),
    ],
)
def test_refusals_halve_what_is_used_and_time_gives_it_back(
    before: int, minutes: float, hits: Reading | Unknown | None, percent: int
) -> None:
    found = throttle(limited(LIMIT, **used(before, NOW - minutes * MINUTE), rate_limit_hits=hits))
    assert found is not None
    assert found.percent == percent
    changed = percent != before and hits is not None
    assert found.since == (NOW if changed else None if hits is None else NOW - minutes * MINUTE)


def test_the_share_is_kept_in_status_so_that_a_restart_goes_on() -> None:
    first = decide(limited(LIMIT, rate_limit_hits=read(3)))
    assert first.status.scaling is not None
    assert (first.status.scaling.rate_limit_percent, first.status.scaling.rate_limit_time) == (50, NOW)
    again = decide(limited(LIMIT, status=first.status, rate_limit_hits=read(3), now=NOW + timedelta(seconds=30)))
    assert again.status.scaling is not None
    assert again.status.scaling.rate_limit_percent == 50
    later = decide(limited(LIMIT, status=first.status, rate_limit_hits=read(0), now=NOW + MINUTE))
    assert later.status.scaling is not None
    assert later.status.scaling.rate_limit_percent == 60


def test_a_lowered_share_is_looked_at_again_after_a_minute() -> None:
    assert look_again(Throttle(percent=50, since=NOW)) == NOW + MINUTE
    assert look_again(Throttle(percent=100, since=NOW)) is None
    plan = decide(limited(LIMIT, rate_limit_hits=read(3), queue=a_queue(0)))
    assert plan.requeue_after is not None
    assert plan.requeue_after <= MINUTE


def test_without_a_limit_refusals_change_nothing() -> None:
    world = limited(None, rate_limit_hits=read(99))
    assert throttle(world) is None
    assert size(world).replicas == 20


@given(
    percent=st.integers(5, 100),
    hits=st.floats(0, 1e6),
    minutes=st.floats(0, 100),
    backlog=st.integers(0, 10**6),
    requests=st.integers(1, 10**6),
    outage=st.booleans(),
    desired=st.integers(0, 50),
)
def test_a_capped_size_is_within_the_bounds_and_never_zero_while_there_is_work(
    percent: int, hits: float, minutes: float, backlog: int, requests: int, outage: bool, desired: int
) -> None:
    parts = used(percent, NOW - minutes * MINUTE)
    status = parts["status"].model_copy(update={"workers": a_status(desired=desired).workers})
    queue = an_outage() if outage else a_queue(backlog)
    world = limited(
        {"requests": requests, "per": "10s"}, status=status, queue=queue, rate_limit_hits=read(hits), sharing=(backlog,)
    )
    found = throttle(world)
    assert found is not None
    assert 5 <= found.percent <= 100
    replicas = size(world).replicas
    if outage:
        assert replicas == desired
    else:
        assert (1 if backlog else 0) <= replicas <= max(1, requests // 100)


# -- the objective


def late(age: float, **parts: Any) -> World:
    view = QueueView(latest=a_reading(1200, oldest_age=timedelta(seconds=age)), good_since=NOW - timedelta(hours=1))
    return limited(parts.pop("rate_limit", None), queue=view, **parts)


@pytest.mark.parametrize(
    ("age", "held", "replicas", "reason"),
    [
        pytest.param(30, 0, 2, "AtTarget", id="half of the target: in time"),
        pytest.param(31, 0, 3, "AtTarget", id="longer: a step more"),
        pytest.param(31, 9, 9, "AtTarget", id="and none goes"),
        pytest.param(30, 9, 2, "AtTarget", id="in time they may"),
        pytest.param(61, 0, 3, "SLOBreached", id="over the target: said"),
    ],
)
def test_an_old_job_asks_for_a_step_more(age: float, held: int, replicas: int, reason: str) -> None:
    found = size(late(age, status=a_status(desired=held)))
    assert (found.replicas, found.reason) == (replicas, reason)


def test_a_broken_objective_is_a_condition_with_numbers() -> None:
    condition = next(c for c in decide(late(75)).status.conditions if c.type == "Scaled")
    assert (condition.status, condition.reason) == ("False", "SLOBreached")
    assert "the oldest waits for 75 s, longer than drainTarget (1m)" in condition.message


def test_at_the_cap_it_is_said_and_not_exceeded() -> None:
    found = size(late(75, rate_limit={"requests": 200, "per": "10s"}, status=a_status(desired=9)))
    assert (found.replicas, found.reason) == (2, "RateLimited")
    assert "the oldest waits for 75 s" in found.why


def test_backlog_per_replica_has_no_objective_of_time() -> None:
    view = QueueView(latest=a_reading(20, oldest_age=timedelta(hours=1)), good_since=NOW - timedelta(hours=1))
    found = size(a_world(queue=view, status=a_status(desired=0)))
    assert (found.replicas, found.reason) == (2, "AtTarget")
