"""What the golden logs of whole rollouts begin with, and how a log is compared."""

import os
from pathlib import Path
from typing import Any

from crm_operator.domain.revision import revision_of
from tests.unit.domain.builders import a_spec, a_template
from tests.unit.domain.simulation import Simulation

GOLDEN = Path(__file__).parent / "golden"
QUICK: dict[str, Any] = {
    "steps": [{"weight": 20, "hold": "5s"}, {"weight": 50, "hold": "5s"}],
    "bake": "10s",
    "progressDeadline": "30s",
    "minJobs": 0,
}


def running(backlog: int = 100, errors: float = 0, *, aloud: bool = False, **spec: Any) -> Simulation:
    """Ten workers at v1, fewer with less to do, with so many errors in each window."""
    sim = Simulation(a_spec(**({"rollout": QUICK} | spec)), aloud=aloud)
    sim.backlog = backlog
    if errors:
        sim.errors = {revision_of(a_template("v1")): errors}
    sim.ship("v1")
    sim.run(5)
    return sim


def assert_reads_as_golden(name: str, log: str) -> None:
    """Read the diff as the change in behaviour. CRM_GOLDEN=write writes the files anew."""
    path = GOLDEN / f"{name}.log"
    if os.environ.get("CRM_GOLDEN") == "write":
        path.parent.mkdir(exist_ok=True)
        path.write_text(log)
    assert log == path.read_text()
