"""Versions of the demo's CrmIntegration: hubspot-v1.yaml with another environment for the worker."""

from pathlib import Path
from typing import Any

import yaml

FOLDER = Path(__file__).parent / "k8s/integration"


def integration(version: str, **env: str) -> dict[str, Any]:
    """The integration as version `version`, with `env` added to the worker's environment.

    `integration("v3", FAIL_EVERY="3")` is a bad version, `integration("v4", CRASH="1")` one that does not start.
    """
    resource: dict[str, Any] = yaml.safe_load((FOLDER / "hubspot-v1.yaml").read_text())
    worker = resource["spec"]["workers"]["template"]["spec"]["containers"][0]
    name, *others = worker["env"]
    added = [{"name": key, "value": value} for key, value in env.items()]
    worker["env"] = [{**name, "value": version}, *added, *others]
    return resource
