"""How far a rolling update may go from the wanted size."""

from typing import Any

import pytest

from crm_operator.api.v1alpha1 import Strategy
from crm_operator.domain.rolling_update import Room, room


@pytest.mark.parametrize(
    ("strategy", "workers", "surge", "unavailable"),
    [
        pytest.param({}, 10, 3, 0, id="the default: a quarter more, rounded up"),
        pytest.param({}, 1, 1, 0, id="at least one more"),
        pytest.param({"maxUnavailable": "25%"}, 10, 3, 2, id="a quarter fewer, rounded down"),
        pytest.param({"maxUnavailable": "25%"}, 12, 3, 3, id="a whole quarter"),
        pytest.param({"maxSurge": 0, "maxUnavailable": 1}, 10, 0, 1, id="one by one"),
        pytest.param({"maxSurge": "0%", "maxUnavailable": "10%"}, 5, 0, 1, id="both come to 0"),
        pytest.param({"maxSurge": "100%"}, 7, 7, 0, id="all of them beside the old ones"),
        pytest.param({"maxSurge": 0, "maxUnavailable": "100%"}, 7, 0, 7, id="all at once"),
        pytest.param({"maxSurge": 9, "maxUnavailable": 9}, 4, 9, 4, id="no fewer than none"),
        pytest.param({}, 0, 0, 1, id="nobody"),
    ],
)
def test_what_a_strategy_allows(strategy: dict[str, Any], workers: int, surge: int, unavailable: int) -> None:
    found = room(Strategy.model_validate(strategy), workers)
    assert found == Room(surge=surge, unavailable=unavailable)
