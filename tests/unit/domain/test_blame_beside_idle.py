"""Whom a breach blames beside a stable version that has hardly any jobs, or that cannot be read for a while."""

from dataclasses import replace
from datetime import timedelta

import pytest

from crm_operator.api.v1alpha1 import GuardBaseline, GuardState
from crm_operator.domain.blame import IDLE_PATIENCE, UNREAD_PATIENCE, Past, find
from crm_operator.domain.likeness import PATIENCE
from crm_operator.domain.world import Reading
from tests.unit.domain.builders import NOW, SECOND, did, was
from tests.unit.domain.racing_workers import Race, run
from tests.unit.domain.test_blame import GUARD, nearby

SEEDS = range(20)


@pytest.mark.parametrize(
    ("race", "within"),
    [
        pytest.param(Race(), 18, id="less work than workers"),
        pytest.param(Race(workers=(1, 4), per_second=4), 35, id="hardly any work"),
        pytest.param(Race(takes=5), 7, id="long jobs"),
        pytest.param(Race(takes=20), 14, id="jobs longer than anybody waits"),
        pytest.param(Race(unread=2), 18, id="unread for a moment"),
        pytest.param(Race(unread=3), 18, id="unread for as long as a sample is fresh"),
        pytest.param(Race(unread=5), 18, id="unread for longer"),
        pytest.param(Race(unread=12), 18, id="unread for longer than few jobs are waited for"),
        pytest.param(Race(unread=25, window=300), 27, id="unread for nearly as long as it is waited for"),
        pytest.param(Race(unread=60, window=300), 50, id="unread for longer than it is waited for"),
        pytest.param(Race(per_second=50, workers=(2, 8)), 3, id="under load"),
        pytest.param(Race(unread=5, per_second=50, workers=(2, 8)), 6, id="unread, under load"),
        pytest.param(Race(unread=5, takes=5, per_second=20, workers=(1, 6)), 7, id="unread, with long jobs"),
    ],
)
def test_an_outage_blames_no_release_and_a_bad_release_is_blamed(race: Race, within: float) -> None:
    """`within`: seconds from its first error to the worst verdict of all seeds, most of them to get over the limit."""
    found = [run(replace(race, old=0.0), seed) for seed in SEEDS]
    assert all(blame == "revision" and took < within for blame, took in filter(None, found))
    assert None not in found
    if race.unread < UNREAD_PATIENCE / SECOND and race.takes < IDLE_PATIENCE / SECOND:
        assert {blamed[0] for seed in SEEDS if (blamed := run(race, seed))} == {"provider"}


def told(reading: Reading, *, read: float = 99, worked: float = 0.1, ago: float = 0) -> Reading:
    """Read without a gap for so many seconds, the newest sample `ago`; a job ended after `worked` seconds ago."""
    at, read_since, worked_since = (NOW - timedelta(seconds=time) for time in (ago, read, worked))
    return replace(reading, at=at, read_since=read_since, worked_since=worked_since)


LONG, IDLE, UNREAD = (patience / SECOND for patience in (PATIENCE, IDLE_PATIENCE, UNREAD_PATIENCE))
NONE = told(did(0, 0), worked=99)


@pytest.mark.parametrize(
    ("other", "waited", "blame"),
    [
        pytest.param(told(did(0, 40)), 0.25, "revision", id="works, and does not fail"),
        pytest.param(told(did(0, 40), worked=0.3), 0.25, "undecided", id="all that is known to be good came before"),
        pytest.param(told(did(0, 1)), LONG, "undecided", id="one good job is little"),
        pytest.param(told(did(0, 2)), LONG, "revision", id="two are likelier to be good than not"),
        pytest.param(told(did(1, 3)), LONG, "undecided", id="one that failed, of few, is as likely as not"),
        pytest.param(told(did(0, 40), worked=1.5), 2, "revision", id="a job ended well since"),
        pytest.param(told(did(0, 40), worked=LONG + 0.1), LONG, "undecided", id="none ended since, for long"),
        pytest.param(told(did(0, 40), worked=LONG), LONG, "revision", id="one may have ended just then"),
        pytest.param(NONE, LONG, "undecided", id="no job at all"),
        pytest.param(NONE, 9.9, "undecided", id="still none"),
        pytest.param(NONE, 10, "revision", id="none for long"),
        pytest.param(told(did(0, 0), read=1, worked=99), IDLE, "undecided", id="could not be read meanwhile"),
        pytest.param(told(did(0, 0), read=IDLE, worked=99), IDLE + 5, "revision", id="is read for as long as that"),
        pytest.param(told(did(0, 0), read=1, worked=99), UNREAD, "revision", id="but not for ever"),
        pytest.param(told(did(0, 40), ago=2), LONG, "undecided", id="was read just after it began"),
        pytest.param(told(did(0, 40), ago=1), LONG, "revision", id="was read a second ago"),
        pytest.param(told(did(0, 40), ago=29), UNREAD - 0.1, "undecided", id="is not read any more"),
        pytest.param(told(did(0, 40), ago=29), UNREAD, "revision", id="for long"),
        pytest.param(told(did(10, 10), ago=29), UNREAD, "provider", id="failed as well when it was read last"),
    ],
)
def test_a_stable_version_that_does_not_tell_is_waited_for(other: Reading, waited: float, blame: str) -> None:
    before = was("undecided", for_seconds=waited)
    assert find(GUARD, did(10, 10), other, before, NOW, beside=True).blame == blame


def test_what_was_before_excuses_nothing_while_a_stable_version_is_to_run_beside_it() -> None:
    past = Past(GuardBaseline(guard=GUARD.name, events=30, jobs=600, seconds=3600, time=NOW), 300 * SECOND)
    before = was("undecided", for_seconds=IDLE)
    assert past.explains(GUARD, did(10, 150))
    assert find(GUARD, did(10, 150), NONE, before, NOW, past=past, beside=True).blame == "revision"
    assert find(GUARD, did(10, 150), NONE, before, NOW, past=past, beside=False).by_chance


def test_what_stable_has_by_chance_as_well_is_nobodys_fault_however_long_few_jobs_are_waited_for() -> None:
    mine, other = did(15, 600), told(did(1, 150), worked=99)
    found = find(GUARD, mine, other, was("undecided", for_seconds=IDLE), NOW, beside=True)
    assert (found.blame, found.by_chance) == ("undecided", True)


@pytest.mark.parametrize(
    ("state", "waited", "blame"),
    [
        pytest.param(GuardState.CRITICAL, LONG - 0.1, "undecided", id="it may tell in a moment"),
        pytest.param(GuardState.CRITICAL, LONG, "provider", id="another one fails"),
        pytest.param(GuardState.WARNING, IDLE - 0.1, "undecided", id="another one begins to fail"),
        pytest.param(GuardState.OK, IDLE, "revision", id="the others are well"),
    ],
)
def test_the_others_of_a_provider_are_asked_beside_one_that_does_not_tell(
    state: GuardState, waited: float, blame: str
) -> None:
    before = was("undecided", for_seconds=waited)
    others = [nearby(state, ago=waited)]
    assert find(GUARD, did(10, 10), NONE, before, NOW, others, beside=True).blame == blame
