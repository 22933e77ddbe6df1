"""How many jobs each pod works on: what shows none, what cannot be read, what is old."""

from datetime import UTC, datetime, timedelta

import pytest

from crm_operator.domain.busy_pods import IN_PROGRESS_METRIC, BusyPods
from crm_operator.domain.scraped import METRIC_MISSING, Sample, Scrape
from crm_operator.domain.world import Unknown

NOON = datetime(2026, 11, 28, 12, 0, tzinfo=UTC)
LONG_AGO = NOON - timedelta(hours=1)
MISSING = Unknown("not among the pod's metrics", METRIC_MISSING)
NONSENSE = Unknown("not in the Prometheus text format", "MetricInvalid")
NEGATIVE = Unknown("negative, so it is no counter", "MetricInvalid")


def at(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def shows(jobs: float) -> Scrape:
    return {IN_PROGRESS_METRIC: Sample(jobs, jobs)}


def says(found: Sample | Unknown) -> Scrape:
    return {IN_PROGRESS_METRIC: found}


def jobs(busy: BusyPods, since: datetime = LONG_AGO) -> dict[str, int]:
    return {uid: found.jobs for uid, found in busy.jobs(since=since).items()}


def test_each_pod_has_its_own_number() -> None:
    busy = BusyPods()
    busy.record("a", "v1", shows(3), at(0))
    busy.record("b", "v1", shows(0), at(0))
    assert jobs(busy) == {"a": 3, "b": 0}


def test_the_newest_scrape_counts() -> None:
    busy = BusyPods()
    busy.record("a", "v1", shows(3), at(0))
    busy.record("a", "v1", shows(1), at(1))
    assert jobs(busy) == {"a": 1}


def test_a_pod_before_its_first_job_is_idle_where_others_of_its_version_show_the_gauge() -> None:
    busy = BusyPods()
    busy.record("new", "v1", says(MISSING), at(0))
    assert jobs(busy) == {}
    busy.record("old", "v1", shows(2), at(0))
    assert jobs(busy) == {"new": 0, "old": 2}


def test_workers_of_another_version_prove_nothing() -> None:
    busy = BusyPods()
    busy.record("bare", "v2", says(MISSING), at(0))
    busy.record("old", "v1", shows(2), at(0))
    assert jobs(busy) == {"old": 2}


def test_a_restarted_worker_is_idle_until_its_first_job() -> None:
    busy = BusyPods()
    busy.record("other", "v1", shows(1), at(0))
    busy.record("a", "v1", shows(4), at(0))
    busy.record("a", "v1", says(MISSING), at(1))
    assert jobs(busy) == {"other": 1, "a": 0}


def test_a_failed_scrape_leaves_the_one_before_to_grow_old() -> None:
    busy = BusyPods()
    busy.record("a", "v1", shows(4), at(0))
    busy.record("a", "v1", Unknown("no answer within 2s", "Timeout"), at(5))
    assert jobs(busy, since=at(0)) == {"a": 4}
    assert jobs(busy, since=at(1)) == {}


@pytest.mark.parametrize(
    "found", [NONSENSE, Sample(NEGATIVE, 1), Sample(NONSENSE, NONSENSE)], ids=["unreadable", "negative", "infinite"]
)
def test_nonsense_is_no_number(found: Sample | Unknown) -> None:
    busy = BusyPods()
    busy.record("a", "v1", shows(4), at(0))
    busy.record("a", "v1", says(found), at(1))
    assert jobs(busy) == {}


def test_a_claim_beyond_all_measure_is_bounded() -> None:
    busy = BusyPods()
    busy.record("a", "v1", shows(1e300), at(0))
    assert jobs(busy) == {"a": 2**53}


def test_pods_that_are_gone_are_forgotten() -> None:
    busy = BusyPods()
    busy.record("a", "v1", shows(4), at(0))
    busy.record("b", "v1", says(MISSING), at(0))
    busy.keep({"b"})
    assert jobs(busy) == {}, "nobody is left who shows the gauge"
