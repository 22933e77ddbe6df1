"""What we write to a Deployment, of the user's strategy and instead of it."""

from typing import Any

import pytest

from crm_operator.api.v1alpha1 import Strategy
from crm_operator.controller.render import deployment, is_urgent
from crm_operator.domain.plan import Role

STRATEGIES = [
    pytest.param({}, {"maxSurge": "25%", "maxUnavailable": 0}, id="the default"),
    pytest.param({"maxSurge": "0%", "maxUnavailable": "100%"}, {"maxSurge": 0, "maxUnavailable": "100%"}, id="at once"),
    pytest.param({"maxSurge": "100%", "maxUnavailable": "0%"}, {"maxSurge": "100%", "maxUnavailable": 0}, id="beside"),
    pytest.param({"maxSurge": 2, "maxUnavailable": "10%"}, {"maxSurge": 2, "maxUnavailable": "10%"}, id="both"),
]


def rendered(strategy: dict[str, Any], *, role: Role = "stable", urgent: bool = False) -> dict[str, Any]:
    integration = {"metadata": {"name": "hubspot", "uid": "u-1"}}
    template = {"spec": {"containers": [{"name": "worker", "image": "worker:1"}]}}
    return deployment(
        integration,
        role=role,
        revision="a" * 16,
        template=template,
        strategy=Strategy.model_validate(strategy),
        urgent=urgent,
    )


@pytest.mark.parametrize(("strategy", "written"), STRATEGIES)
def test_a_strategy_is_written_as_a_deployment_has_it(strategy: dict[str, Any], written: dict[str, Any]) -> None:
    found = rendered(strategy)
    assert found["spec"]["strategy"] == {"type": "RollingUpdate", "rollingUpdate": written}
    assert not is_urgent(found), "no strategy of a user is taken for a rollback"


@pytest.mark.parametrize(("strategy", "_written"), STRATEGIES)
def test_a_rollback_and_a_canary_take_no_notice_of_it(strategy: dict[str, Any], _written: dict[str, Any]) -> None:
    back, canary = rendered(strategy, urgent=True), rendered(strategy, role="canary")
    assert is_urgent(back)
    assert back["spec"]["strategy"] == canary["spec"]["strategy"]


def test_a_deployment_without_a_strategy_is_not_in_a_rollback() -> None:
    assert not is_urgent({"spec": {}})
    assert not is_urgent({"spec": {"strategy": {"type": "Recreate"}}})
