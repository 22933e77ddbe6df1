"""Whom a breach blames, when, and for how long."""

from dataclasses import dataclass, replace
from datetime import timedelta
from heapq import heapify, heappop, heappush
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crm_operator.api.v1alpha1 import GuardState, GuardStatus
from crm_operator.domain.blame import find
from crm_operator.domain.fleet import JOBS_METRIC, PodFleet
from crm_operator.domain.likeness import PATIENCE, SECOND_LOOK
from crm_operator.domain.scraped import Sample
from crm_operator.domain.world import Neighbour, Reading, Unknown
from tests.unit.domain.builders import AT_ONCE, NOW, SECOND, a_guard, did, was

WINDOW = 300 * SECOND
GUARD = a_guard()


def last(reading: Reading) -> Reading:
    """Of workers that end."""
    return replace(reading, is_last=True)


LATE = replace(did(0, 40), at=NOW - timedelta(milliseconds=251))
PATIENT = PATIENCE / SECOND
EARLIEST = SECOND_LOOK / SECOND + 0.001  # times are rounded to microseconds


@pytest.mark.parametrize(
    ("mine", "other", "before", "blame"),
    [
        pytest.param(did(10, 10), did(0, 40), None, "undecided", id="even when it is clear: look once more"),
        pytest.param(did(10, 10), did(0, 40), was("undecided", for_seconds=0.15), "revision", id="which stays clear"),
        pytest.param(did(10, 10), did(0, 40), was("undecided", for_seconds=0.14), "undecided", id="too soon for jobs"),
        pytest.param(did(10, 10), did(40, 40), None, "provider", id="at once when both fail"),
        pytest.param(did(10, 10), LATE, None, "undecided", id="stable is to be read again"),
        pytest.param(did(10, 10), LATE, was("undecided", for_seconds=PATIENT), "revision", id="not for ever"),
        pytest.param(did(1, 3), did(0, 40), None, "undecided", id="one error beside a clean stable: look once more"),
        pytest.param(did(1, 3), did(0, 10), was("undecided", for_seconds=0.15), "revision", id="which stays clean"),
        pytest.param(did(1, 3), did(0, 40), was("undecided", for_seconds=0.14), "undecided", id="too soon to say"),
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


FEW = Unknown("jobs did not grow in 300s, so there is no ratio", "NoData")
MISSING = Unknown("not among the pod's metrics", "MetricMissing")


@pytest.mark.parametrize(
    ("other", "before", "blame"),
    [
        pytest.param(Unknown("hangs", "Timeout"), None, "undecided", id="it is read before anybody is blamed"),
        pytest.param(Unknown("hangs", "Timeout"), was("undecided", for_seconds=29), "undecided", id="29 s later"),
        pytest.param(Unknown("hangs", "Timeout"), was("undecided", for_seconds=30), "revision", id="it takes too long"),
        pytest.param(FEW, None, "undecided", id="it has too few jobs for a ratio"),
        pytest.param(FEW, was("undecided", for_seconds=9.9), "undecided", id="for nearly 10 s"),
        pytest.param(FEW, was("undecided", for_seconds=10), "revision", id="for 10 s"),
        pytest.param(MISSING, was("undecided", for_seconds=9.9), "undecided", id="it may not have had an error yet"),
        pytest.param(MISSING, was("undecided", for_seconds=10), "revision", id="it does not have the metric"),
        pytest.param(None, None, "revision", id="it has no worker"),
        pytest.param(did(10, 10), was("undecided", for_seconds=29), "provider", id="it is read, and fails as well"),
        pytest.param(did(0, 40), was("undecided", for_seconds=29), "revision", id="it is read, and does not fail"),
    ],
)
def test_a_stable_version_that_is_there_and_cannot_be_read_is_waited_for(
    other: Reading | Unknown | None, before: GuardStatus | None, blame: str
) -> None:
    assert find(GUARD, did(10, 10), other, before, NOW, beside=True).blame == blame


@pytest.mark.parametrize(
    ("other", "beside", "blame"),
    [
        pytest.param(did(0, 40), False, "undecided", id="still tells: it is read again"),
        pytest.param(last(did(0, 40)), False, "revision", id="has told for the last time, and was well"),
        pytest.param(last(did(0, 2)), False, "revision", id="and had hardly any jobs"),
        pytest.param(last(did(10, 10)), False, "provider", id="and failed as well"),
        pytest.param(last(did(0, 40)), True, "undecided", id="and is to run beside a canary: it may come back"),
    ],
)
def test_nobody_waits_for_a_stable_version_that_ends(other: Reading, beside: bool, blame: str) -> None:
    assert find(GUARD, did(10, 10), other, None, NOW, beside=beside).blame == blame


def test_the_others_of_a_provider_are_asked_when_a_stable_version_ends() -> None:
    fails = nearby(GuardState.CRITICAL)
    assert find(GUARD, did(10, 10), last(did(0, 40)), None, NOW, (fails,)).blame == "provider"


counts = st.integers(0, 400)


def nearby(
    state: GuardState, *, ago: float = 2, metric: str = "crm_sync_errors_total", is_kept: bool = False
) -> Neighbour:
    return Neighbour(
        name="hubspot-us",
        metric=metric,
        state=state,
        since=NOW - timedelta(seconds=ago),
        reads_every=timedelta(seconds=5),
        is_kept=is_kept,
    )


KEPT = nearby(GuardState.CRITICAL, ago=99, is_kept=True)


@pytest.mark.parametrize(
    ("neighbours", "before", "blame"),
    [
        pytest.param([], None, "revision", id="nobody else has the provider"),
        pytest.param([nearby(GuardState.CRITICAL)], None, "provider", id="another one fails since a moment ago"),
        pytest.param([nearby(GuardState.CRITICAL, ago=60)], None, "provider", id="since a minute"),
        pytest.param([nearby(GuardState.CRITICAL, ago=61)], None, "revision", id="for longer: its own trouble"),
        pytest.param([nearby(GuardState.CRITICAL, metric="latency")], None, "revision", id="of something else"),
        pytest.param([nearby(GuardState.WARNING)], None, "undecided", id="another one begins to fail"),
        pytest.param([nearby(GuardState.WARNING)], was("undecided", for_seconds=9), "undecided", id="9 s later"),
        pytest.param([nearby(GuardState.WARNING)], was("undecided", for_seconds=10), "revision", id="no more came"),
        pytest.param([nearby(GuardState.CRITICAL)], was("undecided", for_seconds=9), "provider", id="more came"),
        pytest.param([], was("provider", for_seconds=99), "provider", id="to blame stays to blame"),
        pytest.param([nearby(GuardState.OK, ago=999)], None, "undecided", id="one that was well when it was read last"),
        pytest.param([nearby(GuardState.OK)], was("undecided", for_seconds=5), "undecided", id="its next look comes"),
        pytest.param([nearby(GuardState.OK)], was("undecided", for_seconds=6), "revision", id="and it is well"),
        pytest.param([nearby(GuardState.CRITICAL, is_kept=True)], None, "provider", id="it failed a moment ago"),
        pytest.param([KEPT], None, "undecided", id="one whose older trouble is over: it is read again"),
        pytest.param([KEPT], was("undecided", for_seconds=6), "revision", id="and has none"),
        pytest.param([nearby(GuardState.UNKNOWN)], None, "undecided", id="one that cannot be read since a moment ago"),
        pytest.param([nearby(GuardState.UNKNOWN, ago=99)], None, "revision", id="for long"),
    ],
)
def test_with_no_stable_worker_the_providers_other_integrations_tell(
    neighbours: list[Neighbour], before: GuardStatus | None, blame: str
) -> None:
    found = find(a_guard(), did(20, 100), Unknown("no pods", "NoPods"), before, NOW, neighbours)
    assert found.blame == blame


def test_a_stable_version_that_can_be_read_tells_more_than_others() -> None:
    before = was("undecided", for_seconds=1)
    found = find(a_guard(), did(20, 100), did(0, 100), before, NOW, [nearby(GuardState.CRITICAL)])
    assert found.blame == "revision"


@given(errors=st.integers(1, 400), good=counts, other_errors=counts, other_good=counts)
def test_a_stable_version_that_fails_as_often_never_lets_the_release_be_blamed(
    errors: int, good: int, other_errors: int, other_good: int
) -> None:
    mine, other = did(errors, errors + good), did(other_errors, other_errors + other_good)
    as_often = other_errors * (errors + good) >= errors * (other_errors + other_good)
    if as_often and other_errors + other_good > 0:
        assert find(GUARD, mine, other, None, NOW).blame == "provider"


@dataclass(frozen=True, kw_only=True)
class Trouble:
    """What befalls both versions, or one; every worker runs two jobs at once, and a good job takes 400 ms."""

    new: float = 1.0  # share of the new version's jobs that fail from then on
    old: float = 1.0
    new_takes: float = 0.12  # seconds to fail
    workers: tuple[int, int] = (1, 4)  # new, old
    limit: float = 10
    quick: bool = True  # False: so many pods run the new version that all are read once a second
    at_once: float = AT_ONCE  # from the first verdict that is open to the scrape of all workers, in seconds


def first_blame(trouble: Trouble, seed: int) -> tuple[str, float]:
    """Whom the first settled verdict blames, and how long after the new version's first error, in seconds.

    As the controller does: the old version's workers are read once a second, the new one's four times, and all of them
    four times once a verdict is open, the first time at once.
    """
    random = Random(seed)
    guard = a_guard(warning=None, critical={"above": trouble.limit})
    fleet = PodFleet(keep=WINDOW, stale_after=15 * SECOND)
    pods = [f"{side}-{n}" for side, count in zip(("new", "old"), trouble.workers, strict=True) for n in range(count)]
    fleet.targets([(pod, pod[:3], NOW) for pod in pods], NOW)
    done, failed = dict.fromkeys(pods, 0), dict.fromkeys(pods, 0)
    running = [(random.random() * 0.4, pod, False) for pod in pods for _ in range(2)]
    heapify(running)
    begins, look, first = 20 + random.random(), random.random(), 0.0
    before: GuardStatus | None = None
    step, rounds = (0.25, 4) if trouble.quick else (1.0, 1)
    number = 0
    while look < begins + 60:
        while running[0][0] < look:
            time, pod, fails = heappop(running)
            done[pod], failed[pod] = done[pod] + 1, failed[pod] + fails
            is_new = pod.startswith("new")
            if fails and is_new and not first:
                first = time
            fails = time >= begins and random.random() < (trouble.new if is_new else trouble.old)
            takes = 0.4 if not fails else trouble.new_takes if is_new else 0.12
            heappush(running, (time + takes * random.uniform(0.7, 1.3), pod, fails))
        now = NOW + look * SECOND
        number += 1
        for pod in pods:
            if not before and number % rounds and pod.startswith("old"):
                continue
            counts = {guard.metric.shown: failed[pod], JOBS_METRIC: done[pod]}
            fleet.record(pod, {name: Sample(count, count) for name, count in counts.items()}, now)
        sides = fleet.evidence(guard, now).by_revision
        mine, at, look = sides["new"], look, look + step
        if isinstance(mine, Reading) and mine.value > trouble.limit:
            found = find(guard, mine, sides["old"], before, now)
            if found.blame != "undecided":
                return found.blame, at - first
            look = at + (0.25 if before else trouble.at_once)
            before = before or was("undecided").model_copy(update={"since": now})
    raise AssertionError("no verdict")


@pytest.mark.parametrize(
    "trouble",
    [
        pytest.param(Trouble(), id="a dead provider"),
        pytest.param(Trouble(limit=0), id="a strict limit"),
        pytest.param(Trouble(new=0.5, old=0.5), id="a provider that fails every other call"),
        pytest.param(Trouble(workers=(2, 2)), id="half and half"),
        pytest.param(Trouble(new_takes=0.03), id="a new version that fails faster takes most jobs"),
        pytest.param(Trouble(new_takes=0.03, limit=3), id="with a low limit"),
        pytest.param(Trouble(quick=False), id="of many pods"),
        pytest.param(Trouble(quick=False, limit=0), id="of many pods, with a strict limit"),
        pytest.param(Trouble(quick=False, new_takes=0.03), id="of many pods that fail faster"),
        pytest.param(Trouble(at_once=EARLIEST), id="a second look as early as can be"),
        pytest.param(Trouble(at_once=EARLIEST, limit=0), id="as early, with a strict limit"),
        pytest.param(Trouble(at_once=EARLIEST, new_takes=0.03), id="as early, of one that fails faster"),
    ],
)
def test_an_outages_onset_is_hardly_ever_the_releases_fault(trouble: Trouble) -> None:
    verdicts = [first_blame(trouble, seed)[0] for seed in range(100)]
    assert verdicts.count("revision") <= 2


@pytest.mark.parametrize(
    ("trouble", "p50", "p95"),
    [
        pytest.param(Trouble(old=0), 1.2, 1.4, id="eleven errors, which take a while"),
        pytest.param(Trouble(old=0, limit=0), 0.5, 0.6, id="with a strict limit"),
        pytest.param(Trouble(old=0, new=0.2, new_takes=0.4, limit=0), 0.5, 0.7, id="one job in five"),
        pytest.param(Trouble(old=0, limit=0, quick=False), 1.0, 1.3, id="of many pods, read once a second"),
    ],
)
def test_a_bad_release_is_blamed_soon(trouble: Trouble, p50: float, p95: float) -> None:
    """In virtual time, so exact: from its first error, scrapes included."""
    found = [first_blame(trouble, seed) for seed in range(100)]
    assert {blame for blame, _ in found} == {"revision"}
    took = sorted(seconds for _, seconds in found)
    assert took[50] <= p50
    assert took[95] <= p95


@pytest.mark.parametrize(
    ("mine", "other", "blame"),
    [
        pytest.param(did(11, 600), did(5, 2400), "undecided", id="four times as often, of so few"),
        pytest.param(did(13, 600), did(6, 2400), "undecided", id="nine times as often, of so few"),
        pytest.param(did(33, 600), did(10, 2400), "revision", id="beyond chance"),
        pytest.param(did(11, 600), did(0, 2400), "revision", id="stable has none"),
        pytest.param(did(11, 60), did(1, 2400), "revision", id="of a tenth of the jobs"),
        pytest.param(did(900, 2000), did(200, 8000), "revision", id="so many that shares tell"),
    ],
)
def test_beside_errors_of_stable_a_release_is_blamed_for_more_than_chance(
    mine: Reading, other: Reading, blame: str
) -> None:
    found = find(GUARD, mine, other, was("undecided", for_seconds=PATIENT), NOW)
    assert found.blame == blame
    assert ("chance" in found.why) is (blame == "undecided")
