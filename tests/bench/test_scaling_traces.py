"""The loads that are replayed. No cluster."""

from itertools import pairwise

import pytest

from bench.scaling.scalers import Kind, Scaler, deployment, integration, labelled, parse, settings
from bench.scaling.traces import MAX_REPLICAS, SMOKE, TRACES, Limit, trace
from crm_operator.api.v1alpha1 import CrmIntegrationSpec

#: Jobs of each load for seed 1: whoever changes a load makes its old results incomparable, and should know.
JOBS = {"step": 7026, "bursts": 4834, "wave": 9766, "batch": 6000, "rate-limited": 2000}


@pytest.mark.parametrize("name", TRACES)
def test_a_load_is_the_same_for_the_same_seed(name: str) -> None:
    assert trace(name, seed=1) == trace(name, seed=1)
    assert trace(name, seed=1).jobs == JOBS[name]


@pytest.mark.parametrize("name", ["step", "bursts", "wave"])
def test_another_seed_makes_other_arrivals_of_about_as_many_jobs(name: str) -> None:
    one, other = trace(name, seed=1), trace(name, seed=2)
    assert one.arrivals != other.arrivals
    assert other.jobs == pytest.approx(one.jobs, rel=0.15)


@pytest.mark.parametrize("name", [*TRACES, SMOKE])
def test_arrivals_are_in_order_and_leave_time_to_scale_down(name: str) -> None:
    load = trace(name, seed=1)
    times = [arrival.at for arrival in load.arrivals]
    assert all(one <= other for one, other in pairwise(times))
    assert times[0] >= 0
    assert times[-1] < load.seconds
    assert all(arrival.jobs > 0 for arrival in load.arrivals)


def test_a_step_is_eight_times_what_was_before() -> None:
    load = trace("step", seed=1)

    def jobs(begin: float, end: float) -> int:
        return sum(arrival.jobs for arrival in load.arrivals if begin < arrival.at <= end)

    assert jobs(0, 20) / 20 == pytest.approx(10, rel=0.2)
    assert jobs(20, 100) / 80 == pytest.approx(80, rel=0.05)
    assert jobs(100, 140) / 40 == pytest.approx(10, rel=0.2)
    assert jobs(140, 150) == 0


def test_no_load_needs_more_workers_than_there_may_be_for_long() -> None:
    for name in TRACES:
        load = trace(name, seed=1)
        speed = min(10 * MAX_REPLICAS, load.limit.requests / load.limit.per_seconds if load.limit else 1e9)
        assert load.jobs / speed < 0.8 * load.seconds, name


def test_an_unknown_load_is_refused() -> None:
    with pytest.raises(KeyError, match="stop"):
        trace("stop", seed=1)


@pytest.mark.parametrize(
    ("text", "scaler"),
    [
        ("operator", Scaler(Kind.OPERATOR, "operator")),
        ("external", Scaler(Kind.EXTERNAL, "external")),
        ("fixed=7", Scaler(Kind.FIXED, "fixed-7", 7)),
        ("fixed=0", Scaler(Kind.FIXED, "fixed-0", 0)),
        ("hpa=50", Scaler(Kind.HPA, "hpa-50", 50)),
        ("hpa-tuned=50", Scaler(Kind.HPA_TUNED, "hpa-tuned-50", 50)),
    ],
)
def test_a_scaler_is_named_on_the_command_line(text: str, scaler: Scaler) -> None:
    assert parse(text) == scaler
    assert parse(text, label="mine").label == "mine"


@pytest.mark.parametrize(
    "text", ["", "keda", "fixed", "fixed=", "fixed=-1", "fixed=1001", "operator=3", "external=1", "hpa", "hpa=0"]
)
def test_an_unknown_scaler_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="say operator, external, fixed=N"):
        parse(text)


def test_the_operator_is_told_what_is_true() -> None:
    written = integration("redis://127.0.0.1:6379/0", Limit(250, 10), {"a": "b"}, scaling={})
    spec = CrmIntegrationSpec.model_validate(written["spec"])
    assert spec.scaling.rate_limit is not None
    assert (spec.scaling.rate_limit.requests, spec.scaling.max_replicas) == (250, MAX_REPLICAS)
    assert spec.scaling.job_duration.total_seconds() == 0.4
    assert integration("redis://127.0.0.1:6379/0", None, {}, scaling={})["spec"]["scaling"].get("rateLimit") is None


def test_the_operator_may_be_told_something_else() -> None:
    told = settings(["backlogPerReplica=5", "scaleDownAfter=15s"])
    assert labelled(told) == "operator-backlogPerReplica=5-scaleDownAfter=15s"
    written = integration("redis://127.0.0.1:6379/0", None, {}, scaling=told)["spec"]
    assert CrmIntegrationSpec.model_validate(written).scaling.backlog_per_replica == 5
    assert "drainTarget" not in written["scaling"], "one objective excludes the other"


@pytest.mark.parametrize("text", ["", "drainTarget", "=5", "drainTarget="])
def test_a_setting_is_a_name_and_a_value(text: str) -> None:
    with pytest.raises(ValueError, match="say name=value"):
        settings([text])


def test_others_get_the_same_pods() -> None:
    ours = integration("redis://127.0.0.1:6379/0", None, {"a": "b"}, scaling={})["spec"]["workers"]["template"]
    theirs = deployment(3, {"a": "b"})["spec"]
    assert theirs["replicas"] == 3
    assert theirs["template"]["spec"] == ours["spec"]
    assert theirs["template"]["metadata"]["labels"].items() >= ours["metadata"]["labels"].items()
