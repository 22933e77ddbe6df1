"""Healthy canaries and chance: the simulation behind `bench noise`, small."""

import random

from bench.noise.bake import judge_bakes
from bench.noise.errors import Pod, crossings, pod
from bench.noise.judge import LIMIT, WINDOW, crossing, judge


def test_a_crossing_lasts_while_more_than_the_limit_are_in_the_window() -> None:
    assert crossings([0, 1, 2], limit=2, window=10) == [(2, 10)]
    assert crossings([0, 1, 12], limit=2, window=10) == []
    assert crossings([0, 1, 2, 100, 101, 102], limit=2, window=10) == [(2, 10), (102, 110)]
    assert crossings([0, 1, 2, 9, 10.1], limit=2, window=10) == [(2, 12)], "a gap of a moment is none"


def test_errors_come_as_often_as_they_should() -> None:
    made = pod(random.Random(1), errors_per_second=0.5, jobs_per_second=10, seconds=10_000)
    assert 4_700 < len(made.errors) < 5_300
    assert Pod([1.0, 2.0], 10).counted(1.5) == (1.0, 15.0)


def test_days_close_to_the_limit_roll_nothing_back() -> None:
    """The seed of half the limit is one in which a comparison of the worst moment alone blames the release."""
    for share, days, seed in ((0.5, 1.5, 2), (0.8, 0.3, 3)):
        found = judge(share, days=days, seed=seed)
        assert found["crossings"] > 30
        assert found["provider"] > 500
        assert found["rollbacks"] == 0


def test_the_simulation_would_see_a_rollback() -> None:
    """Ten times as many errors as its neighbours: it is no chance any more."""
    dice = random.Random(1)
    bad = pod(dice, errors_per_second=10 * 0.2 * LIMIT / WINDOW, jobs_per_second=10, seconds=7200)
    good = [pod(dice, errors_per_second=0.2 * LIMIT / WINDOW, jobs_per_second=10, seconds=7200) for _ in range(4)]
    spans = crossings(bad.errors, limit=LIMIT, window=WINDOW)
    told = [crossing([bad, *good], *span)["revision"] for span in spans]
    assert any(told)


def test_bakes_close_to_the_limit_roll_nothing_back_and_bad_releases_do() -> None:
    """Without a baseline most of these healthy releases were rolled back."""
    found = judge_bakes(0.8, days=0.11, seed=1)
    assert found["crossings"] > 10
    assert found["rollbacks_without"] > found["bakes"] / 2
    assert found["rollbacks"] == 0
    # A guard that turns again and again at its limit is clear after a clean minute, and so keeps some of them longer.
    assert found["in_time"] >= found["bakes"] - 3, "without one a warning begins each bake again"
    assert found["bad_ended"] == 0
    assert found["bad_rolled_back"] == found["bad"]
    assert all(seconds < 300 for seconds in found["bad_seconds"])
