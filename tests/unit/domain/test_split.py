"""How N workers are split between stable and canary."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crm_operator.domain.split import canary_pods, split


@pytest.mark.parametrize(
    ("total", "weight", "canary"),
    [
        pytest.param(10, 10, 1, id="a tenth of ten"),
        pytest.param(10, 41, 4, id="nearest whole number"),
        pytest.param(10, 15, 2, id="a tie goes to the canary"),
        pytest.param(3, 50, 2, id="a tie of an odd total goes to the canary"),
        pytest.param(2, 10, 1, id="a small share still gets a pod"),
        pytest.param(2, 95, 1, id="a large share still leaves one"),
        pytest.param(1, 10, 0, id="one worker, small share"),
        pytest.param(1, 50, 1, id="one worker, half"),
        pytest.param(4, 1, 1, id="one percent of four"),
        pytest.param(5, 99, 4, id="99 percent of five"),
        pytest.param(0, 50, 0, id="nothing to split"),
        pytest.param(4, 100, 4, id="everything leaves no stable pod"),
        pytest.param(4, 0, 0, id="nothing takes no pod"),
    ],
)
def test_canary_pods(total: int, weight: int, canary: int) -> None:
    assert canary_pods(total, weight) == canary


@pytest.mark.parametrize(("total", "weight"), [(1, -1), (1, 101), (-1, 50)])
def test_canary_pods_refuses_what_is_outside_its_range(total: int, weight: int) -> None:
    with pytest.raises(ValueError, match=r"outside|negative"):
        canary_pods(total, weight)


@pytest.mark.parametrize(
    ("total", "weight", "expected"),
    [
        pytest.param(0, 20, (0, 1), id="without work one canary pod must still start"),
        pytest.param(1, 20, (1, 1), id="one worker becomes one and one"),
        pytest.param(4, 100, (1, 3), id="a canary of everything leaves one stable pod"),
        pytest.param(10, 20, (8, 2), id="a fifth of ten"),
    ],
)
def test_split(total: int, weight: int, expected: tuple[int, int]) -> None:
    assert split(total, weight) == expected


@given(total=st.integers(0, 1000), weight=st.integers(1, 100))
def test_a_split_keeps_the_total_and_both_sides(total: int, weight: int) -> None:
    stable, canary = split(total, weight)
    assert canary >= 1
    assert stable >= min(total, 1)
    if total >= 2:
        assert stable + canary == total


@given(total=st.integers(0, 1000), weight=st.integers(1, 99))
def test_a_split_is_within_one_pod_of_its_weight(total: int, weight: int) -> None:
    assert abs(canary_pods(total, weight) - total * weight / 100) < 1 or total < 100 / min(weight, 100 - weight)


@given(total=st.integers(0, 200), lower=st.integers(1, 100), higher=st.integers(1, 100))
def test_a_larger_weight_never_takes_fewer_pods(total: int, lower: int, higher: int) -> None:
    lower, higher = sorted((lower, higher))
    assert split(total, lower)[1] <= split(total, higher)[1]
