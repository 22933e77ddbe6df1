"""Jobs of a version: how many its workers have done, and how long one takes, over restarts and departures."""

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from crm_operator.domain.fleet import JOB_TIME_METRICS, JOBS_METRIC
from crm_operator.domain.world import JobsDone, JobTime, Unknown
from tests.unit.domain.fleet import Fleet, at, reason


def jobs(fleet: Fleet, second: float, revision: str) -> JobsDone | Unknown:
    return fleet.fleet.jobs_done(at(second))[revision]


def test_jobs_count_from_the_start_of_the_pods_over_restarts_and_departures() -> None:
    fleet = Fleet(a1=-999, a2=-5)
    fleet.says(1, "a1", 100, metric=JOBS_METRIC)
    fleet.says(1, "a2", 3, metric=JOBS_METRIC)
    assert jobs(fleet, 1, "a") == JobsDone(count=103, since=at(-999))
    fleet.there(2, a1=-999, a2=1)
    fleet.says(2, "a2", 1, metric=JOBS_METRIC)
    assert jobs(fleet, 2, "a") == JobsDone(count=104, since=at(-999))
    fleet.there(3, a1=-999)
    assert jobs(fleet, 3, "a") == JobsDone(count=104, since=at(-999))
    fleet.says(900, "a1", 101, metric=JOBS_METRIC)
    fleet.there(901, a1=-999)
    assert "a2" not in fleet.fleet.pods
    assert jobs(fleet, 901, "a") == JobsDone(count=105, since=at(-999))


def test_jobs_that_cannot_be_read_are_unknown_and_a_part_is_a_lower_bound() -> None:
    fleet = Fleet(a1=-5, a2=-5, b1=-5)
    fleet.says(1, "a1", 3, metric=JOBS_METRIC)
    fleet.fails(1, "a2")
    fleet.fails(1, "b1")
    assert jobs(fleet, 2, "a") == JobsDone(count=3, since=at(-5))
    assert reason(jobs(fleet, 2, "b")) == "ConnectionRefused"
    assert reason(jobs(fleet, 60, "a")) == "Stale"


def test_a_pod_that_claims_endless_jobs_breaks_nothing() -> None:
    fleet = Fleet(a1=-5)
    for second, claim in [(1, 1.7e308), (2, 1.0), (3, 1.7e308)]:
        fleet.says(second, "a1", claim, metric=JOBS_METRIC)
    assert jobs(fleet, 4, "a") == JobsDone(count=2**53, since=at(-5))


def test_a_new_revision_under_an_old_name_starts_at_zero() -> None:
    fleet = Fleet(a1=0)
    fleet.says(1, "a1", 50, metric=JOBS_METRIC)
    fleet.there(2)
    fleet.there(999)
    fleet.there(1000, a2=1000)
    fleet.says(1001, "a2", 1, metric=JOBS_METRIC)
    assert jobs(fleet, 1001, "a") == JobsDone(count=1, since=at(1000))


MILLIS, COUNT = JOB_TIME_METRICS


def test_the_mean_of_a_revisions_jobs_over_the_window() -> None:
    fleet = Fleet(a1=0, a2=0, b1=0)
    for pod, millis, jobs in [("a1", 4000, 10), ("a2", 8000, 30), ("b1", 100, 19)]:
        fleet.says(10, pod, millis, metric=MILLIS)
        fleet.says(10, pod, jobs, metric=COUNT)
    # 12 s for 40 jobs; 19 jobs are too few to tell.
    assert fleet.fleet.job_times(at(11)) == {"a": JobTime(mean=timedelta(milliseconds=300), jobs=40)}
    assert fleet.fleet.job_times(at(311)) == {}


def test_a_pod_that_left_still_teaches_and_a_version_without_pods_does_not() -> None:
    fleet = Fleet(a1=0, a2=0)
    fleet.says(10, "a2", 4000, metric=MILLIS)
    fleet.says(10, "a2", 40, metric=COUNT)
    fleet.there(20, a1=0)
    assert fleet.fleet.job_times(at(21)) == {"a": JobTime(mean=timedelta(milliseconds=100), jobs=40)}
    fleet.there(30, b1=30)
    assert fleet.fleet.job_times(at(31)) == {}


@given(st.floats(0, 1e308), st.floats(0, 1e308))
def test_no_numbers_of_a_pod_break_it(millis: float, jobs: float) -> None:
    fleet = Fleet(a1=0)
    fleet.says(10, "a1", millis, metric=MILLIS)
    fleet.says(10, "a1", jobs, metric=COUNT)
    for time in fleet.fleet.job_times(at(11)).values():
        assert timedelta(0) < time.mean <= timedelta(hours=1)
