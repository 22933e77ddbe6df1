"""Whether a pod is given as long to stop as its worker takes."""

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crm_operator.domain.decide import decide
from crm_operator.domain.grace import MARGIN, grace_period, shutdown_timeout, warning
from demo.versions import integration
from tests.unit.domain.builders import a_spec, a_world

DRAMATIQ = ("dramatiq", "app.jobs")
OPTION = "--worker-shutdown-timeout"


def a_template(*words: str, grace: int | None = None, **container: Any) -> dict[str, Any]:
    spec: dict[str, Any] = {"containers": [{"name": "any", "image": "worker:1", "command": list(words), **container}]}
    return {"spec": spec if grace is None else {**spec, "terminationGracePeriodSeconds": grace}}


@pytest.mark.parametrize(
    ("template", "seconds"),
    [
        pytest.param(a_template(*DRAMATIQ), 600, id="Dramatiq's default"),
        pytest.param(a_template("python3", "-m", *DRAMATIQ), 600, id="as a module"),
        pytest.param(a_template("/opt/venv/bin/dramatiq", "app"), 600, id="by its path"),
        pytest.param(a_template(*DRAMATIQ, args=["-p", "1", OPTION, "20000"]), 20, id="among the arguments"),
        pytest.param(a_template(args=[f"{OPTION}=20000"]), 20, id="of an image's own command, with a ="),
        pytest.param(a_template("sh", "-c", f"exec dramatiq app {OPTION} 20000"), 20, id="in a shell's line"),
        pytest.param(a_template(*DRAMATIQ, OPTION, "$(TIMEOUT)"), None, id="from the environment, which nobody knows"),
        pytest.param(a_template(*DRAMATIQ, OPTION), None, id="without its value"),
        pytest.param(a_template(*DRAMATIQ, OPTION, "9" * 4000), None, id="beyond all measure"),
        pytest.param(a_template("./start.sh"), None, id="another command"),
        pytest.param(a_template(), None, id="no command"),
        pytest.param(a_template(args=5), None, id="arguments that the API server will refuse"),
        pytest.param({}, None, id="no template"),
    ],
)
def test_the_shutdown_timeout_is_read_from_the_command_line(template: dict[str, Any], seconds: int | None) -> None:
    assert shutdown_timeout(template) == (None if seconds is None else timedelta(seconds=seconds))


def test_the_container_named_worker_counts_among_several() -> None:
    template = a_template(*DRAMATIQ, OPTION, "1000")
    template["spec"]["containers"].append({"name": "proxy", "command": [*DRAMATIQ, OPTION, "2000"]})
    assert shutdown_timeout(template) is None
    template["spec"]["containers"][1]["name"] = "worker"
    assert shutdown_timeout(template) == timedelta(seconds=2)


def test_the_warning_names_both_times_and_both_remedies() -> None:
    assert warning(a_template(*DRAMATIQ)) == (
        "a worker that stops waits 600 s for its jobs (--worker-shutdown-timeout), but is killed after 30 s and then "
        "leaves them behind; set --worker-shutdown-timeout 25000 or less, or terminationGracePeriodSeconds: 605 or more"
    )


@given(grace=st.integers(0, 100_000), millis=st.integers(0, 10**9))
def test_either_remedy_ends_the_warning(grace: int, millis: int) -> None:
    template = a_template(*DRAMATIQ, OPTION, str(millis), grace=grace)
    assert (warning(template) is None) == (timedelta(seconds=grace) >= timedelta(milliseconds=millis) + MARGIN)
    longer = -(-millis // 1000) + int(MARGIN.total_seconds())
    assert warning(a_template(*DRAMATIQ, OPTION, str(millis), grace=longer)) is None
    assert grace_period(template) == timedelta(seconds=grace)


def test_the_demos_times_fit() -> None:
    assert warning(integration("v1")["spec"]["workers"]["template"]) is None


def test_it_is_said_in_the_condition_ready_which_stays_true() -> None:
    spec = a_spec(workers={"template": a_template(*DRAMATIQ)})
    told = next(condition for condition in decide(a_world(spec=spec)).status.conditions if condition.type == "Ready")
    assert told.status == "True"
    assert told.message.startswith("10 of 10 workers Ready; a worker that stops waits 600 s")
