"""Whom a breach blames: errors per finished job, over the same short time, and no verdict by chance."""

from dataclasses import replace
from datetime import datetime, timedelta
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crm_operator.api.v1alpha1 import GuardState, GuardStatus
from crm_operator.domain.blame import PATIENCE, Likeness, compare, find
from crm_operator.domain.reduce import JOBS_METRIC, PodFleet, Sample
from crm_operator.domain.world import Reading, Recent, Unknown
from tests.unit.domain.builders import NOW, SECOND, a_guard

SHORT, WINDOW = 2 * SECOND, 300 * SECOND
GUARD = a_guard()
RATIO = a_guard(reduce="Ratio", metric={"from": "pods", "name": "took_seconds", "per": "calls_total"})


def did(errors: float, jobs: float | None, *, before: tuple[float, float] = (0, 0), samples: int = 1) -> Reading:
    """`errors` of `jobs` in the last two seconds, and `before` that in the window."""
    whole = Recent(WINDOW, errors + before[0], None if jobs is None else jobs + before[1])
    return Reading(whole.value, samples=samples, at=NOW, recent=(Recent(SHORT, errors, jobs), whole))


@pytest.mark.parametrize(
    ("mine", "other", "likeness"),
    [
        pytest.param(did(10, 10), did(0, 40), Likeness.LESS, id="the new version fails alone"),
        pytest.param(did(27, 30), did(3, 5), Likeness.ALIKE, id="the fast failing side took most jobs"),
        pytest.param(did(27, 27), did(3, 10), Likeness.UNSETTLED, id="stable just finishes what it had begun"),
        pytest.param(did(27, 27), did(0, 2), Likeness.UNSETTLED, id="stable finished hardly anything"),
        pytest.param(did(27, 27), did(0, 0), Likeness.UNSETTLED, id="stable finished nothing"),
        pytest.param(did(1, 3), did(0, 12), Likeness.UNSETTLED, id="one error proves nothing"),
        pytest.param(did(5, 10), did(0, 40), Likeness.LESS, id="five do, beside four times the jobs"),
        pytest.param(did(12, 20), did(6, 20), Likeness.ALIKE, id="half as often is as well"),
        pytest.param(did(120, 200), did(20, 200), Likeness.LESS, id="a sixth is clearly less"),
        pytest.param(did(5000, 9000), did(2000, 9000), Likeness.LESS, id="beyond chance"),
        pytest.param(did(5000, 9000), did(2500, 9000), Likeness.ALIKE, id="exactly half, beyond chance"),
        pytest.param(
            did(27, 30), did(8, 10, before=(0, 9000)), Likeness.ALIKE, id="a good hour before does not hide an outage"
        ),
        pytest.param(
            did(1, 10, before=(30, 600)),
            did(0, 40, before=(0, 2400)),
            Likeness.LESS,
            id="a slow trickle counts as long",
        ),
        pytest.param(did(12, None, samples=2), did(12, None, samples=8), Likeness.LESS, id="per pod without jobs"),
        pytest.param(did(12, None, samples=2), did(24, None, samples=8), Likeness.ALIKE, id="per pod, half"),
    ],
)
def test_how_stable_fares_beside_the_new_version(mine: Reading, other: Reading, likeness: Likeness) -> None:
    assert compare(GUARD, mine, other) is likeness


@pytest.mark.parametrize(
    ("mine", "other", "likeness"),
    [
        pytest.param(did(9, 3), did(8, 20), Likeness.LESS, id="3 s a call beside 0.4 s"),
        pytest.param(did(9, 3), did(40, 20), Likeness.ALIKE, id="3 s beside 2 s"),
        pytest.param(did(9, 3), did(0, 0), Likeness.UNSETTLED, id="stable made no call"),
    ],
)
def test_a_ratio_is_compared_as_it_is(mine: Reading, other: Reading, likeness: Likeness) -> None:
    assert compare(RATIO, mine, other) is likeness


def was(blame: str, *, for_seconds: float = 0, clear_for: float | None = None) -> GuardStatus:
    return GuardStatus(
        name="sync-errors",
        state=GuardState.CRITICAL,
        blame=blame,
        since=NOW - for_seconds * SECOND,
        stable_clear_time=None if clear_for is None else NOW - clear_for * SECOND,
    )


LATE = replace(did(0, 40), at=NOW - timedelta(milliseconds=251))
PATIENT = PATIENCE / SECOND


@pytest.mark.parametrize(
    ("mine", "other", "before", "blame"),
    [
        pytest.param(did(10, 10), did(0, 40), None, "revision", id="at once when it is clear"),
        pytest.param(did(10, 10), did(40, 40), None, "provider", id="at once when both fail"),
        pytest.param(did(10, 10), LATE, None, "undecided", id="stable is to be read again"),
        pytest.param(did(10, 10), LATE, was("undecided", for_seconds=PATIENT), "revision", id="not for ever"),
        pytest.param(did(1, 3), did(0, 9), None, "undecided", id="too few jobs"),
        pytest.param(
            did(1, 3), did(0, 9), was("undecided", for_seconds=PATIENT - 0.1), "undecided", id="still too few"
        ),
        pytest.param(did(1, 3), did(0, 9), was("undecided", for_seconds=PATIENT), "revision", id="patience ends"),
        pytest.param(did(10, 10), Unknown("hangs"), None, "revision", id="a real breach beside an unread stable"),
        pytest.param(did(10, 10), Unknown("hangs"), was("provider"), "provider", id="unread in an outage"),
        pytest.param(did(10, 10), did(0, 40), was("provider"), "provider", id="an outage that just ended"),
        pytest.param(did(10, 10), did(0, 40), was("provider", clear_for=15), "revision", id="and is over for long"),
    ],
)
def test_whom_a_breach_blames(mine: Reading, other: Reading | Unknown, before: GuardStatus | None, blame: str) -> None:
    assert find(GUARD, mine, other, before, NOW).blame == blame


counts = st.integers(0, 400)


@given(errors=st.integers(1, 400), good=counts, other_errors=counts, other_good=counts)
def test_a_stable_version_that_fails_as_often_never_lets_the_release_be_blamed(
    errors: int, good: int, other_errors: int, other_good: int
) -> None:
    mine, other = did(errors, errors + good), did(other_errors, other_errors + other_good)
    as_often = other_errors * (errors + good) >= errors * (other_errors + other_good)
    if as_often and other_errors + other_good > 0:
        assert find(GUARD, mine, other, None, NOW).blame == "provider"


@given(errors=st.integers(1, 200), jobs=st.integers(1, 200), more=st.integers(0, 200))
def test_more_good_jobs_on_stable_never_speak_for_the_release(errors: int, jobs: int, more: int) -> None:
    mine = did(errors, errors + jobs)
    less, much = compare(GUARD, mine, did(0, jobs)), compare(GUARD, mine, did(0, jobs + more))
    assert much is Likeness.LESS or less is not Likeness.LESS


def an_outage_begins(seed: int) -> tuple[str, datetime]:
    """Whom the first settled verdict blames when a provider fails for both versions, read once a second.

    One canary worker, four of stable, two jobs each at once. A good job takes 400 ms, a failing one 30 ms, so whoever
    met the outage first takes more of the jobs: for its first second that is the canary.
    """
    random = Random(seed)
    fleet = PodFleet(keep=WINDOW, stale_after=15 * SECOND)
    pods = [("new-1", "new"), *((f"old-{n}", "old") for n in range(4))]
    fleet.targets([(name, side, NOW) for name, side in pods], NOW)
    done, failed = dict.fromkeys((name for name, _ in pods), 0), dict.fromkeys((name for name, _ in pods), 0)
    outage = 60 + random.random()
    before: GuardStatus | None = None
    free = [(random.random(), name) for name, _ in pods for _ in range(2)]
    for second in range(1, 80):
        turns = sorted(free)
        free = []
        while turns:
            now, name = turns.pop(0)
            if now >= second:
                free.append((now, name))
                continue
            fails = now >= outage
            ends = now + (0.03 if fails and name == "new-1" else 0.12 if fails else 0.4) * random.uniform(0.7, 1.3)
            if ends < second:
                done[name] += 1
                failed[name] += fails
                turns.append((ends, name))
                turns.sort()
            else:
                free.append((ends, name))
                done[name], failed[name] = done[name] + 1, failed[name] + fails
        now_ = NOW + second * SECOND
        for name, _ in pods:
            sample = {GUARD.metric.name: failed[name], JOBS_METRIC: done[name]}
            fleet.record(name, {metric: Sample(count, count) for metric, count in sample.items()}, now_)
        sides = fleet.evidence(GUARD, now_).by_revision
        mine = sides["new"]
        assert isinstance(mine, Reading)
        if GUARD.critical is not None and mine.value > GUARD.critical.above:
            found = find(GUARD, mine, sides["old"], before, now_)
            if found.blame != "undecided":
                return found.blame, now_
            before = before or was("undecided").model_copy(update={"since": now_})
    raise AssertionError("no verdict")


def test_an_outage_that_a_fast_failing_canary_meets_first_is_not_the_releases_fault() -> None:
    verdicts = [an_outage_begins(seed)[0] for seed in range(100)]
    assert verdicts.count("provider") == 100


def test_chance_alone_rarely_blames_a_release() -> None:
    """Both versions fail in a tenth of their jobs."""
    random = Random(7)
    blamed = 0
    for _ in range(2000):
        mine, other = (did(sum(random.random() < 0.1 for _ in range(jobs)), jobs) for jobs in (50, 100))
        blamed += mine.value > 0 and compare(GUARD, mine, other) is Likeness.LESS
    assert blamed / 2000 < 0.01
