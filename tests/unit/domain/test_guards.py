"""What each guard says, and whom it blames."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crm_operator.api.v1alpha1 import GuardState, GuardStatus, RolloutPhase
from crm_operator.domain.decide import decide
from crm_operator.domain.guards import evaluate
from crm_operator.domain.verdict import recorded
from crm_operator.domain.world import Evidence, Neighbour, Reading, Unknown, World
from tests.unit.domain.builders import (
    GOOD,
    NEW,
    NOW,
    SECOND,
    a_canary_world,
    a_guard,
    a_rollout,
    a_spec,
    a_status,
    a_workload,
    a_world,
    evidence,
    pods,
    read,
)

UNREAD = Unknown("connection refused", "ConnectionRefused")


def judged(world: World) -> Any:
    (verdict,) = evaluate(world)
    return verdict


@pytest.mark.parametrize(
    ("new", "good", "state", "blame"),
    [
        pytest.param(0, 0, GuardState.OK, None, id="nothing wrong"),
        pytest.param(1, 0, GuardState.WARNING, None, id="a warning on the new version"),
        pytest.param(10, 0, GuardState.WARNING, None, id="exactly the critical limit is not above it"),
        pytest.param(11, 0, GuardState.CRITICAL, "revision", id="the new version fails alone"),
        pytest.param(12, 12, GuardState.CRITICAL, "provider", id="both fail alike"),
        pytest.param(12, 6, GuardState.CRITICAL, "provider", id="stable fails half as much per pod"),
        pytest.param(12, 5, GuardState.CRITICAL, "revision", id="stable fails clearly less"),
        pytest.param(9, 11, GuardState.CRITICAL, "provider", id="both fail alike, one below the limit"),
        pytest.param(0, 11, GuardState.OK, None, id="only stable fails: the new version is the cure"),
        pytest.param(0, 5, GuardState.OK, None, id="stable's warning is not the new version's"),
        pytest.param(11, UNREAD, GuardState.CRITICAL, "undecided", id="a breach, and stable is to be read first"),
        pytest.param(UNREAD, 0, GuardState.UNKNOWN, None, id="an unread canary is Unknown, not OK"),
        pytest.param(UNREAD, 11, GuardState.CRITICAL, "provider", id="an unread canary, and stable fails"),
        pytest.param(None, 0, GuardState.UNKNOWN, None, id="no pod of the new version yet"),
    ],
)
def test_a_guard_with_data_per_version(
    new: float | Unknown | None, good: float | Unknown, state: GuardState, blame: str | None
) -> None:
    verdict = judged(a_canary_world(evidence={"sync-errors": evidence(new=new, good=good)}))
    assert (verdict.state, verdict.blame) == (state, blame)


def test_stable_is_compared_by_pod() -> None:
    """Eight stable pods with 12 errors in all fail much less than one canary pod with 12."""
    sides = Evidence(by_revision={NEW: read(12), "aaaaaaaaaaaaaaaa": read(12, samples=8)}, overall=read(24))
    assert judged(a_canary_world(evidence={"sync-errors": sides})).blame == "revision"


@pytest.mark.parametrize(
    ("value", "previous", "state"),
    [
        pytest.param(6, 6, GuardState.CRITICAL, id="twice running"),
        pytest.param(6, 1, GuardState.OK, id="a flicker"),
        pytest.param(6, 3, GuardState.WARNING, id="twice above the warning only"),
        pytest.param(6, None, GuardState.OK, id="the first reading ever"),
        pytest.param(5, 5, GuardState.WARNING, id="exactly equal is not above"),
    ],
)
@pytest.mark.parametrize("reduce", ["Last", "Average", "Max"])
def test_a_gauge_must_breach_twice_running(
    reduce: str, value: float, previous: float | None, state: GuardState
) -> None:
    guard = a_guard(
        metric={"from": "pods", "name": "latency"},
        reduce=reduce,
        window=None if reduce == "Last" else "5m",
        warning={"above": 2},
        critical={"above": 5},
    )
    now = Evidence(overall=read(value, previous=previous))
    assert judged(a_world(spec=a_spec(guards=[guard.to_wire()]), evidence={guard.name: now})).state is state


@pytest.mark.parametrize(
    ("value", "state"),
    [
        pytest.param(11, GuardState.CRITICAL, id="above the limit it is real"),
        pytest.param(10, GuardState.WARNING, id="above a warning too"),
        pytest.param(0, GuardState.UNKNOWN, id="below it there may be more"),
    ],
)
def test_a_lower_bound_can_breach_and_is_never_ok(value: float, state: GuardState) -> None:
    filling = Unknown("crm_sync_errors_total: its window is not filled yet", "WindowNotFilled")
    mine = replace(read(value), lower_bound=filling)
    verdict = judged(a_canary_world(evidence={"sync-errors": Evidence(by_revision={NEW: mine}, overall=mine)}))
    assert verdict.state is state
    assert (verdict.message == filling.why) == (state is GuardState.UNKNOWN)


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        pytest.param({"reduce": "Rate"}, "crm_sync_errors_total 12/s > 10 in 5m", id="a rate"),
        pytest.param(
            {"reduce": "Quantile", "metric": {"from": "pods", "name": "job_seconds", "quantile": 0.95}},
            "job_seconds quantile 0.95 12 > 10 in 5m",
            id="a quantile",
        ),
    ],
)
def test_the_message_says_what_was_reduced(parts: dict[str, Any], message: str) -> None:
    spec = a_spec(guards=[a_guard(**parts).to_wire()])
    verdict = judged(a_canary_world(spec=spec, evidence={"sync-errors": evidence(new=12)}))
    assert verdict.message.startswith(message)


def the_dead(value: float) -> dict[str, Any]:
    """A guard that cannot tell versions apart, and what it says."""
    guard = a_guard(name="dead", metric={"from": "queue", "name": "dead"}, warning=None, critical={"above": 0})
    return {"spec": a_spec(guards=[guard.to_wire()]), "evidence": {"dead": Evidence(overall=read(value))}}


def test_what_breached_before_the_rollout_is_not_the_releases_fault() -> None:
    began = NOW - timedelta(seconds=30)
    rollout = a_rollout(RolloutPhase.CANARY, start_time=began)
    for since, blame in ((began - timedelta(seconds=1), "provider"), (began + timedelta(seconds=1), "revision")):
        was = GuardStatus(name="dead", state=GuardState.CRITICAL, since=since)
        started = pods(2, role="canary", revision=NEW, started_at=began)
        canary = a_workload(2, role="canary", revision=NEW, pods=started)
        world = a_canary_world(status=a_status(rollout, guards=[was]), canary=canary, **the_dead(3))
        assert judged(world).blame == blame


@pytest.mark.parametrize(
    ("started", "blame"),
    [
        pytest.param(None, "provider", id="no worker of it runs yet"),
        pytest.param(NOW, "provider", id="one has just started"),
        pytest.param(NOW - SECOND, "revision", id="one ran before"),
    ],
)
def test_what_no_worker_of_the_release_was_there_for_is_not_its_fault(started: datetime | None, blame: str) -> None:
    """What happens just before a rollout begins is seen just after: a queue is read once a second, and twice."""
    world = trying(started)
    assert judged(world).blame == blame
    if blame == "provider":
        later = replace(trying(NOW + SECOND), status=decide(world).status, now=NOW + 60 * SECOND)
        assert judged(later).blame == "provider", "it began before them"


def trying(started: datetime | None) -> World:
    """A canary of two workers that started then, and dead letters since a moment ago."""
    canary = a_workload(2, role="canary", revision=NEW, pods=pods(2, role="canary", revision=NEW, started_at=started))
    rollout = a_rollout(RolloutPhase.CANARY, start_time=NOW - SECOND)
    return a_canary_world(status=a_status(rollout), canary=canary, **the_dead(3))


def test_a_breach_that_lasts_does_not_end_with_the_workers_that_were_there() -> None:
    """It was looked into when it began; since then all of them have been replaced."""
    was = GuardStatus(name="dead", state=GuardState.CRITICAL, since=NOW - 60 * SECOND, blame="undecided")
    world = trying(NOW - SECOND)
    rollout = a_rollout(RolloutPhase.CANARY, start_time=NOW - 120 * SECOND)
    assert judged(replace(world, status=a_status(rollout, guards=[was]))).blame == "revision"


def test_what_another_integration_of_the_provider_has_as_well_is_not_the_releases_fault() -> None:
    beside = Neighbour(name="hubspot-us", metric="dead", state=GuardState.CRITICAL, since=NOW - timedelta(seconds=3))
    status, baked = a_status(a_rollout(RolloutPhase.BAKING)), a_workload(10, revision=NEW)
    world = a_world(status=status, stable=baked, **the_dead(3))
    assert judged(world).blame == "revision"
    verdict = judged(replace(world, neighbours=(beside,)))
    assert verdict.blame == "provider"
    assert verdict.message.endswith("since 03:00:00, after the rollout began, as on hubspot-us since 02:59:57")


def test_a_release_that_nobody_can_be_blamed_for_yet_is_critical_and_stays() -> None:
    earlier = replace(read(2), at=NOW - timedelta(milliseconds=251))
    sides = Evidence(by_revision={NEW: read(25), "aaaaaaaaaaaaaaaa": earlier}, overall=read(27))
    world = a_canary_world(evidence={"sync-errors": sides})
    verdict = judged(world)
    assert (verdict.state, verdict.blame) == (GuardState.CRITICAL, "undecided")
    rollout = decide(world).status.rollout
    assert rollout is not None
    assert (rollout.phase, rollout.step) == (RolloutPhase.CANARY, 0)
    assert rollout.reason == f"guard sync-errors is Critical, nobody is blamed yet: {verdict.message}"


def an_outage_that_ends(*, good: float, clear_for: float | None) -> World:
    """Critical on the new version, the provider was to blame; stable's errors have left the window down to `good`."""
    clear = None if clear_for is None else NOW - timedelta(seconds=clear_for)
    was = GuardStatus(
        name="sync-errors", state=GuardState.CRITICAL, blame="provider", since=NOW, stable_clear_time=clear
    )
    return a_canary_world(
        status=a_status(a_rollout(RolloutPhase.CANARY), guards=[was]),
        evidence={"sync-errors": evidence(new=18, good=good)},
    )


@pytest.mark.parametrize(
    ("good", "clear_for", "blame", "clear"),
    [
        pytest.param(5, None, "provider", False, id="stable's errors leave the window first"),
        pytest.param(1, None, "provider", True, id="stable is clear from now on"),
        pytest.param(1, 14, "provider", True, id="not for long enough"),
        pytest.param(5, 14, "provider", False, id="clear no more"),
        pytest.param(1, 15, "revision", False, id="the new version goes on failing alone"),
    ],
)
def test_the_end_of_an_outage_does_not_turn_the_blame(
    good: float, clear_for: float | None, blame: str, clear: bool
) -> None:
    verdict = judged(an_outage_that_ends(good=good, clear_for=clear_for))
    assert (verdict.state, verdict.blame, verdict.stable_clear) == (GuardState.CRITICAL, blame, clear)


def test_since_when_stable_is_clear_is_remembered() -> None:
    world = an_outage_that_ends(good=1, clear_for=None)
    (first,) = recorded(evaluate(world), world, {})
    assert first.stable_clear_time == NOW
    later = an_outage_that_ends(good=1, clear_for=10)
    assert recorded(evaluate(later), later, {})[0].stable_clear_time == NOW - timedelta(seconds=10)


def test_a_breach_in_steady_state_blames_the_provider() -> None:
    assert judged(a_world(evidence={"sync-errors": evidence(good=11)})).blame == "provider"


@pytest.mark.parametrize("phase", [RolloutPhase.ROLLING_BACK, RolloutPhase.ROLLED_BACK, RolloutPhase.STABLE])
def test_what_a_rolled_back_version_did_is_not_held_against_the_one_that_works(phase: RolloutPhase) -> None:
    left = Evidence(by_revision={"aaaaaaaaaaaaaaaa": read(0)}, overall=read(30))
    assert judged(a_world(status=a_status(a_rollout(phase)), evidence={"sync-errors": left})).state is GuardState.OK


@pytest.mark.parametrize("phase", [RolloutPhase.ROLLING_BACK, RolloutPhase.ROLLED_BACK, RolloutPhase.STABLE])
def test_nor_while_none_of_the_one_that_works_is_up_yet(phase: RolloutPhase) -> None:
    left = Evidence(by_revision={NEW: read(30)}, overall=read(30))
    verdict = judged(a_world(status=a_status(a_rollout(phase)), evidence={"sync-errors": left}))
    assert verdict.state is GuardState.INACTIVE
    assert verdict.message == "no worker of the stable version runs, so there is nothing to judge"


def test_a_guard_without_pods_is_inactive_in_steady_state() -> None:
    nothing = Evidence(overall=Unknown("no pods", "NoPods"))
    assert judged(a_world(evidence={"sync-errors": nothing})).state is GuardState.INACTIVE


def test_a_metric_that_the_users_guard_names_and_nobody_has_is_unknown() -> None:
    missing = Unknown("no such metric", "MetricMissing")
    assert (
        judged(a_world(evidence={"sync-errors": evidence(good=missing, overall=missing)})).state is GuardState.UNKNOWN
    )


def test_the_runbooks_guards_are_used_when_none_are_given() -> None:
    missing = Unknown("no such metric", "MetricMissing")
    wire = a_spec().to_wire()
    del wire["guards"]
    spec = type(a_spec()).model_validate(wire)
    sources = {"dead-letters": Evidence(overall=read(0)), "queue-size": Evidence(overall=read(5))}
    rest = {name: Evidence(overall=missing) for name in ("webhook-latency", "connection-failures", "rate-limit-hits")}
    verdicts = {
        v.name: v.state for v in evaluate(a_world(spec=spec, evidence=sources | rest | {"sync-errors": evidence()}))
    }
    assert verdicts == {
        "sync-errors": GuardState.OK,
        "dead-letters": GuardState.OK,
        "queue-size": GuardState.OK,
        "webhook-latency": GuardState.INACTIVE,
        "connection-failures": GuardState.INACTIVE,
        "rate-limit-hits": GuardState.INACTIVE,
    }


def test_default_guards_on_pods_are_inactive_when_pods_are_not_scraped() -> None:
    wire = a_spec().to_wire()
    del wire["guards"], wire["metrics"]
    spec = type(a_spec()).model_validate(wire)
    states = {v.name: v.state for v in evaluate(a_world(spec=spec, evidence={}))}
    assert states["sync-errors"] is GuardState.INACTIVE
    assert states["dead-letters"] is GuardState.UNKNOWN  # the queue is configured and was not read


def test_since_moves_only_with_the_state() -> None:
    was = GuardStatus(name="sync-errors", state=GuardState.OK, since=NOW - timedelta(hours=1))
    world = a_world(status=a_status(guards=[was]))
    assert recorded(evaluate(world), world, {})[0].since == was.since
    worse = a_world(status=a_status(guards=[was]), evidence={"sync-errors": evidence(good=1)})
    assert recorded(evaluate(worse), worse, {})[0].since == NOW


unknowns = st.builds(Unknown, st.text(max_size=5), st.sampled_from(["Stale", "NoPods", "MetricMissing", "Timeout"]))
readings = st.builds(
    Reading,
    st.floats(0, 1e12),
    st.integers(1, 50),
    st.just(NOW),
    st.none() | st.floats(0, 1e12),
)


@given(new=st.none() | unknowns, good=st.none() | unknowns, overall=unknowns, phase=st.sampled_from(RolloutPhase))
def test_absent_data_never_breaches(
    new: Unknown | None, good: Unknown | None, overall: Unknown, phase: RolloutPhase
) -> None:
    sides = {name: side for name, side in ((NEW, new), ("aaaaaaaaaaaaaaaa", good)) if side is not None}
    world = a_canary_world(
        status=a_status(a_rollout(phase)), evidence={"sync-errors": Evidence(by_revision=sides, overall=overall)}
    )
    assert judged(world).state in (GuardState.UNKNOWN, GuardState.INACTIVE)


@given(mine=readings, other=readings | unknowns)
def test_a_value_at_or_below_the_limits_never_breaches(mine: Reading, other: Reading | Unknown) -> None:
    sides = {NEW: mine, "aaaaaaaaaaaaaaaa": other}
    verdict = judged(a_canary_world(evidence={"sync-errors": Evidence(by_revision=sides, overall=mine)}))
    if verdict.blame == "revision":
        assert mine.value > 10
    if verdict.state is GuardState.CRITICAL:
        assert verdict.value is not None
        assert verdict.value > 10


@pytest.mark.parametrize(
    ("phase", "waited", "blame"),
    [
        pytest.param(RolloutPhase.BAKING, 0.25, "revision", id="in the bake they end, and are not waited for"),
        pytest.param(RolloutPhase.BAKING, 0.2, "undecided", id="but looked for once more"),
        pytest.param(RolloutPhase.CANARY, 2.9, "undecided", id="beside a canary they hang, and may answer"),
        pytest.param(RolloutPhase.CANARY, 3, "revision", id="not for ever"),
    ],
)
def test_stable_workers_that_have_stopped_telling(phase: RolloutPhase, waited: float, blame: str) -> None:
    old = replace(read(0), at=NOW - 0.3 * SECOND)
    sides = Evidence(by_revision={NEW: read(12), GOOD: old}, overall=read(12))
    guard = GuardStatus(name="sync-errors", state=GuardState.CRITICAL, blame="undecided", since=NOW - waited * SECOND)
    world = a_world(status=a_status(a_rollout(phase), guards=[guard]), evidence={"sync-errors": sides})
    assert judged(world).blame == blame


@pytest.mark.parametrize(
    ("waited", "good", "blame"),
    [
        pytest.param(0, None, "undecided", id="none is up yet"),
        pytest.param(29.9, None, "undecided", id="it takes its time"),
        pytest.param(30, None, "revision", id="nobody comes"),
        pytest.param(5, 12, "provider", id="one comes up and fails as well"),
        pytest.param(5, 0, "revision", id="one comes up and does not"),
    ],
)
def test_a_canary_that_takes_the_first_job_alone(waited: float, good: float | None, blame: str) -> None:
    """After a time without work no stable worker is up when the first job comes, and fails."""
    was = GuardStatus(name="sync-errors", state=GuardState.CRITICAL, blame="undecided", since=NOW - waited * SECOND)
    guards = [was] if waited else []
    world = a_canary_world(
        status=a_status(a_rollout(RolloutPhase.CANARY), guards=guards),
        stable=a_workload(0),
        evidence={"sync-errors": evidence(new=12, good=good)},
    )
    assert judged(world).blame == blame
