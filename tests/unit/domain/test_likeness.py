"""How two versions compare: errors per finished job, over the same short time, and no verdict by chance."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crm_operator.domain.likeness import Likeness, compare, share_of
from crm_operator.domain.world import Reading, Recent
from tests.unit.domain.builders import NOW, SECOND, a_guard, did

SHORT, WINDOW = 2 * SECOND, 300 * SECOND
GUARD = a_guard()
RATIO = a_guard(reduce="Ratio", metric={"from": "pods", "name": "took_seconds", "per": "calls_total"})


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


QUANTILE = a_guard(reduce="Quantile", metric={"from": "pods", "name": "job_seconds", "quantile": 0.95})
RATE = a_guard(reduce="Rate")


def took(seconds: float, of: float, *, whole: tuple[float, float] | None = None) -> Reading:
    """A quantile of `seconds` of so many observations in the last two seconds, and of the `whole` window."""
    window = Recent(WINDOW, *(whole or (seconds, of)))
    return Reading(window.value, samples=1, at=NOW, recent=(Recent(SHORT, seconds, of), window))


@pytest.mark.parametrize(
    ("mine", "other", "likeness", "share"),
    [
        pytest.param(took(8, 50), took(1, 50), Likeness.LESS, 1 / 8, id="the new version is slow alone"),
        pytest.param(took(8, 50), took(4, 50), Likeness.ALIKE, 1 / 2, id="half as slow is as well"),
        pytest.param(
            took(8, 50), took(6, 50, whole=(1, 9000)), Likeness.ALIKE, 3 / 4, id="a good hour before does not hide it"
        ),
        pytest.param(took(8, 50), took(1, 19), Likeness.UNSETTLED, 1 / 8, id="stable finished hardly anything"),
        pytest.param(
            took(8, 19, whole=(6, 200)), took(7, 19, whole=(2, 900)), Likeness.LESS, 1 / 3, id="mine did: the window"
        ),
        pytest.param(took(8, 19), took(1, 10), Likeness.LESS, 1 / 8, id="too few in the window too: as they are"),
    ],
)
def test_quantiles_are_compared_over_the_same_observed_time(
    mine: Reading, other: Reading, likeness: Likeness, share: float
) -> None:
    assert compare(QUANTILE, mine, other) is likeness
    assert share_of(QUANTILE, mine, other) == pytest.approx(share)


def test_a_rate_is_compared_as_its_increase() -> None:
    assert compare(RATE, did(27, 27), did(3, 10)) is Likeness.UNSETTLED
    assert compare(RATE, did(12, None, samples=2), did(12, None, samples=8)) is Likeness.LESS
    assert compare(RATE, did(12, None, samples=2), did(24, None, samples=8)) is Likeness.ALIKE


@given(errors=st.integers(1, 200), jobs=st.integers(1, 200), more=st.integers(0, 200))
def test_more_good_jobs_on_stable_never_speak_for_the_release(errors: int, jobs: int, more: int) -> None:
    mine = did(errors, errors + jobs)
    less, much = compare(GUARD, mine, did(0, jobs)), compare(GUARD, mine, did(0, jobs + more))
    assert much is Likeness.LESS or less is not Likeness.LESS


def test_chance_alone_rarely_blames_a_release() -> None:
    """Both versions fail in a tenth of their jobs."""
    random = Random(7)
    blamed = 0
    for _ in range(2000):
        mine, other = (did(sum(random.random() < 0.1 for _ in range(jobs)), jobs) for jobs in (50, 100))
        blamed += mine.value > 0 and compare(GUARD, mine, other) is Likeness.LESS
    assert blamed / 2000 < 0.01
