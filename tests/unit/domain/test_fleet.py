"""How scrapes of pods become evidence: pods that come and go, scrapes that fail; and the count of jobs."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crm_operator.domain.fleet import JOBS_METRIC, PodFleet
from crm_operator.domain.scraped import Sample
from crm_operator.domain.world import JobsDone, Reading, Recent, Unknown
from tests.unit.domain.fleet import ERRORS, NOON, REFUSED, Fleet, a_guard, at, reason, value

# -- pods that come and go ---------------------------------------------------------------------------------------------


def test_the_worked_case_of_the_module() -> None:
    fleet = Fleet(a1=0)
    for second, number in [(60, 4), (120, 9), (240, 2), (300, 2)]:
        if second == 240:
            fleet.there(180, a1=180)
        fleet.says(second, "a1", number)
    fleet.there(300, another=300)
    for second in (301, 330, 360, 1200):
        fleet.says(second, "another", 0)
        if second == 330:
            assert value(fleet.overall(330)) == 11
        if second == 360:
            assert value(fleet.overall(360)) == 7
            assert value(fleet.overall(360, a_guard(window="3m"))) == 2
    assert value(fleet.overall(1200)) == 0


def test_a_pod_in_which_two_processes_answer_in_turn_is_unsteady() -> None:
    fleet = Fleet(a1=0, a2=0)
    for second in range(1, 20):
        fleet.says(second, "a1", 12 if second % 2 else 3)
        fleet.says(second, "a2", 0)
    found = fleet.overall(20)
    assert isinstance(found, Reading)
    assert found.value == 12, "what it showed first may be its own"
    assert reason(found.lower_bound) == "MetricUnsteady"


def test_what_the_other_pods_count_is_real_beside_an_unsteady_one() -> None:
    fleet = Fleet(a1=-999, a2=0)
    for second in range(1, 20):
        fleet.says(second, "a1", 12 if second % 2 else 3)
        fleet.says(second, "a2", second)
    found = fleet.overall(20)
    assert isinstance(found, Reading)
    assert found.value == 19


def test_a_restart_that_is_told_after_it_shows_hides_nothing() -> None:
    fleet = Fleet(a1=-999)
    for second, number in [(1, 5), (2, 9), (3, 2), (4, 3)]:
        fleet.says(second, "a1", number)
    before = fleet.overall(4)
    assert isinstance(before, Reading)
    assert before.value == 4
    assert reason(before.lower_bound) == "WindowNotFilled"
    fleet.there(5, a1=2.5)
    assert value(fleet.overall(5)) == 7
    fleet.there(6, a1=None)
    fleet.there(7, a1=2.5)
    fleet.says(8, "a1", 1)
    assert value(fleet.overall(8)) == 7, "the same start is no restart"


def test_a_pod_that_is_gone_keeps_its_last_increase_in_the_window() -> None:
    fleet = Fleet(a1=-999, a2=-999)
    for second in (1, 2):
        fleet.says(second, "a1", 5 * second)
        fleet.says(second, "a2", 0)
    fleet.there(3, a2=-999)
    fleet.says(200, "a2", 0)
    assert value(fleet.overall(201)) == 5
    assert value(fleet.side(201, "a")) == 5
    fleet.says(301, "a2", 0)
    assert value(fleet.overall(302)) == 0


def test_a_pod_that_was_missing_for_a_moment_counts_once() -> None:
    fleet = Fleet(a1=0)
    fleet.says(5, "a1", 7)
    fleet.there(6)
    fleet.there(7, a1=0)
    fleet.says(8, "a1", 7)
    assert value(fleet.overall(9)) == 7


def test_a_pod_that_joins_late_brings_no_old_errors() -> None:
    fleet = Fleet(a1=-999)
    fleet.says(1, "a1", 0)
    fleet.says(2, "a1", 0)
    fleet.there(3, a1=-999, a2=-999)
    fleet.says(4, "a2", 1000)
    fleet.says(5, "a2", 1001)
    assert value(fleet.overall(6)) == 1


def test_pods_that_left_are_forgotten() -> None:
    fleet = Fleet(a0=0)
    for number in range(1, 400):
        fleet.there(number * 10, **{f"a{number}": number * 10})
        fleet.says(number * 10 + 1, f"a{number}", number)
    assert len(fleet.fleet.pods) <= 32


def test_revisions_are_told_apart_and_one_without_pods_is_absent() -> None:
    fleet = Fleet(a1=-999, b1=-5)
    for second in (1, 2):
        fleet.says(second, "a1", 100)
        fleet.says(second, "b1", 4)
    assert value(fleet.side(3, "a")) == 0
    assert value(fleet.side(3, "b")) == 4
    assert value(fleet.overall(3)) == 4
    fleet.there(4, a1=-999)
    evidence = fleet.fleet.evidence(a_guard(), at(5))
    assert set(evidence.by_revision) == {"a"}
    assert value(evidence.overall) == 4, "what the canary did in the window still happened"


def test_versions_are_compared_over_the_same_short_times() -> None:
    fleet = Fleet(old=-600, new=90)
    for second in range(100):
        fleet.says(second, "old", 2 * second, metric=JOBS_METRIC)
        fleet.says(second, "old", 1 if second > 97 else 0)
        if second >= 90:
            fleet.says(second, "new", 4 * (second - 90), metric=JOBS_METRIC)
            fleet.says(second, "new", 3 * (second - 90))
    old, new = fleet.side(99, "o"), fleet.side(99, "n")
    assert isinstance(old, Reading)
    assert isinstance(new, Reading)
    spans = [2, 4, 8, 16, 32, 64, 128, 256, 300]
    assert [recent.span.total_seconds() for recent in old.recent] == spans
    assert [recent.base for recent in old.recent] == [4, 8, 16, 32, 64, 128, 198, 198, 198]
    assert [recent.value for recent in old.recent] == [1] * 9
    assert [(recent.value, recent.base) for recent in new.recent][:4] == [(6, 8), (12, 16), (24, 32), (27, 36)]


def test_errors_that_are_counted_before_their_jobs_are_tries() -> None:
    fleet = Fleet(old=-600, new=-600)
    for pod in ("old", "new"):
        fleet.says(0, pod, 0)
        fleet.says(0, pod, 0, metric=JOBS_METRIC)
    fleet.says(1, "new", 5)
    fleet.says(1, "new", 3, metric=JOBS_METRIC)
    new = fleet.side(1, "n")
    assert isinstance(new, Reading)
    assert (new.recent[0].value, new.recent[0].base) == (5, 5)


def test_without_a_count_of_jobs_there_is_none() -> None:
    fleet = Fleet(old=-600, new=-60)
    fleet.says(0, "old", 1)
    fleet.says(0, "new", 1)
    new = fleet.side(0, "n")
    assert isinstance(new, Reading)
    assert {recent.base for recent in new.recent} == {None}


def test_one_version_alone_is_counted_over_the_window() -> None:
    """Its own past is all that it is compared with."""
    fleet = Fleet(old=-60)
    fleet.says(0, "old", 1)
    fleet.says(0, "old", 20, metric=JOBS_METRIC)
    old = fleet.side(0, "o")
    assert isinstance(old, Reading)
    assert old.recent == (Recent(timedelta(minutes=5), 1, 20),)


def test_without_pods_there_is_no_evidence() -> None:
    evidence = Fleet().fleet.evidence(a_guard(), NOON)
    assert evidence.by_revision == {}
    assert reason(evidence.overall) == "NoPods"


@given(
    lives=st.lists(
        st.tuples(st.integers(0, 200), st.integers(1, 80), st.lists(st.integers(0, 5), min_size=1, max_size=10)),
        min_size=1,
        max_size=8,
    )
)
def test_churn_neither_creates_nor_hides_increases(lives: list[tuple[int, int, list[int]]]) -> None:
    """Pods start, live a while and go; each is read every second. All happened within one long window."""
    fleet = PodFleet(keep=timedelta(seconds=3600), stale_after=timedelta(seconds=15))
    total, watcher = 0, ("watcher", "a", at(-99999))
    counts: dict[str, int] = {}
    for second in range(300):
        there = [watcher]
        for number, (start, length, adds) in enumerate(lives):
            if start <= second < start + length:
                uid = f"p{number}"
                there.append((uid, "a", at(start)))
                add = adds[second % len(adds)]
                counts[uid] = counts.get(uid, 0) + add
                total += add
        fleet.targets(there, at(second))
        for uid, _, _ in there:
            number = counts.get(uid, 0)
            fleet.record(uid, {ERRORS: Sample(number, number), JOBS_METRIC: Sample(number, number)}, at(second))
    found = fleet.evidence(a_guard(window="1h"), at(300)).overall
    assert value(found) == total
    jobs = fleet.jobs_done(at(300))["a"]
    assert isinstance(jobs, JobsDone)
    assert jobs.count == total


# -- scrapes that fail -------------------------------------------------------------------------------------------------


def test_one_reading_of_an_old_process_is_no_increase() -> None:
    fleet = Fleet(a1=-999)
    assert reason(fleet.overall(0)) == "Starting"
    fleet.says(1, "a1", 5)
    assert reason(fleet.overall(1)) == "Starting"
    fleet.says(2, "a1", 5)
    assert value(fleet.overall(2)) == 0


def test_one_failed_scrape_does_not_undo_the_last_and_many_do() -> None:
    fleet = Fleet(a1=-5)
    fleet.says(1, "a1", 7)
    fleet.fails(6, "a1")
    assert value(fleet.overall(7)) == 7
    assert value(fleet.overall(16)) == 7, "three intervals"
    found = fleet.overall(16.1)
    assert reason(found) == "Stale"
    assert isinstance(found, Unknown)
    assert "connection refused" in found.why


def test_a_version_whose_pods_all_refuse_has_told_for_the_last_time() -> None:
    fleet = Fleet(a1=-5, a2=-5, b1=-5)
    for pod in ("a1", "a2", "b1"):
        fleet.says(1, pod, 7)
    fleet.fails(2, "a1")
    assert not is_last(fleet.side(2, "a")), "one may still say something"
    fleet.fails(2, "a2", Unknown("no answer within 2s", "Timeout"))
    assert not is_last(fleet.side(2, "a")), "one that hangs may go on"
    fleet.fails(3, "a2")
    assert is_last(fleet.side(3, "a"))
    assert not is_last(fleet.side(3, "b"))
    fleet.says(4, "a2", 8)
    assert not is_last(fleet.side(4, "a"))


def is_last(found: Reading | Unknown) -> bool:
    return a_reading(found).is_last


def a_reading(found: Reading | Unknown) -> Reading:
    assert isinstance(found, Reading), found
    return found


def test_since_when_a_version_is_read_without_a_gap() -> None:
    fleet = Fleet(a1=-5, a2=-5, b1=-5)
    for second in (1, 4, 5):
        fleet.says(second, "a1", second)
        fleet.says(second, "a2", second)
    assert a_reading(fleet.side(5, "a")).read_since == at(1)
    for second in (7, 8, 9):
        fleet.says(second, "a1", second)
    fleet.says(9, "a2", 9)
    assert a_reading(fleet.side(12, "a")).read_since == at(1), "one that goes on tells for both"
    fleet.there(12, a2=-5, b1=-5)
    assert a_reading(fleet.side(12, "a")).read_since == at(9), "the other is gone"
    fleet.says(13, "a2", 13)
    assert a_reading(fleet.side(13, "a")).read_since == at(13), "not read for more than 3 s"
    assert a_reading(fleet.side(17, "a")).read_since is None


def test_after_when_a_version_ended_a_job_last() -> None:
    fleet = Fleet(a1=-500, a2=-500, b1=-500)
    for second, jobs in [(1, 3), (2, 3), (4, 5), (6, 5)]:
        fleet.says(second, "a1", 0)
        fleet.says(second, "a1", jobs, metric=JOBS_METRIC)
        fleet.says(second, "a2", 0)
        fleet.says(second, "a2", 1, metric=JOBS_METRIC)
        fleet.says(second, "b1", 0)
        if second == 2:
            assert a_reading(fleet.side(2, "a")).worked_since == at(-500)
    assert a_reading(fleet.side(6, "a")).worked_since == at(2)
    assert a_reading(fleet.side(6, "b")).worked_since is None, "it counts no jobs"


def test_a_sample_without_successor_is_stale() -> None:
    fleet = Fleet(a1=-5)
    fleet.says(1, "a1", 7)
    assert reason(fleet.overall(17)) == "Stale"


def test_pods_that_answer_give_a_lower_bound() -> None:
    fleet = Fleet(a1=-5, a2=-5, a3=-5)
    fleet.says(1, "a1", 20)
    fleet.fails(1, "a2")
    found = fleet.overall(2)
    assert value(found) == 20
    assert isinstance(found, Reading)
    assert (found.samples, found.at) == (1, at(1))


def test_the_commonest_reason_is_given_with_its_number() -> None:
    fleet = Fleet(a1=-5, a2=-5, a3=-5)
    for pod in ("a1", "a2"):
        fleet.fails(1, pod)
    fleet.fails(1, "a3", Unknown("no answer within 2s", "Timeout"))
    found = fleet.overall(2)
    assert found == Unknown(f"{ERRORS}: connection refused (2 of 3 pods)", "ConnectionRefused")


@pytest.mark.parametrize("why", ["MetricMissing", "MetricInvalid"])
def test_nonsense_takes_effect_at_once(why: str) -> None:
    fleet = Fleet(a1=-5)
    fleet.says(1, "a1", 99)
    fleet.says(2, "a1", Unknown("nonsense", why))
    assert reason(fleet.overall(3)) == why


def test_what_was_counted_before_nonsense_is_still_counted_after() -> None:
    fleet = Fleet(a1=-5)
    for second, number in [(1, 5.0), (2, Unknown("nonsense", "MetricInvalid")), (3, 8.0)]:
        fleet.says(second, "a1", number)  # type: ignore[arg-type]
    assert value(fleet.overall(3)) == 8


def test_a_pod_that_is_not_there_is_not_written_to() -> None:
    fleet = Fleet(a1=-5)
    fleet.says(1, "zz", 99)
    assert reason(fleet.overall(1)) == "Starting"


def test_which_pods_cannot_be_read() -> None:
    fleet = Fleet(a1=-5, a2=-5)
    fleet.says(1, "a1", 0)
    fleet.fails(1, "a2")
    both = ("a1", "a2")
    assert fleet.fleet.unread(at(10), among=both) is None, "it may be starting"
    fleet.says(15, "a1", 0)
    assert fleet.fleet.unread(at(16), among=both) == (REFUSED, 1, 2)
    assert fleet.fleet.unread(at(16), among=("a1",)) is None, "the other drains, and need not answer"
    fleet.says(17, "a2", 0)
    assert fleet.fleet.unread(at(18), among=both) is None


def test_what_adds_up_to_infinity_is_no_value() -> None:
    fleet = Fleet(a1=-5, a2=-5)
    fleet.says(1, "a1", 1.5e308)
    fleet.says(1, "a2", 1.5e308)
    assert reason(fleet.overall(1)) == "MetricInvalid"
    small = Fleet(a1=-5)
    small.says(1, "a1", 1e300)
    small.says(1, "a1", 1e-300, metric="done_total")
    assert reason(small.overall(1, a_guard(reduce="Ratio", per="done_total"))) == "MetricInvalid"
