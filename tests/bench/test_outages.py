"""The fake workers and the judge behind `bench outages`. No cluster."""

import asyncio
from datetime import timedelta

import pytest

from bench.outages.faults import ERRORS, FAULTS, READABLE
from bench.outages.judge import is_blind
from bench.outages.plans import PLANS, When, Whose, plans, releases
from bench.outages.story import Decided
from bench.outages.workers import Workers, serving
from crm_operator.domain.key import Key
from crm_operator.domain.world import Reading, Unknown
from crm_operator.sources.pods import PodHub, PodSource, PodTarget
from tests.sources.conftest import Changes, now, running
from tests.unit.domain.fleet import a_guard


def test_the_plans_are_all_different_and_cover_everything() -> None:
    found = plans(1)
    assert len({(plan.fault, plan.whose, plan.when) for plan in found}) == len(found) == PLANS
    assert {plan.fault for plan in found} == set(FAULTS)
    assert {plan.whose for plan in found} == set(Whose)
    assert {plan.when for plan in found} == set(When)
    assert all(sum(plan.when is when for plan in found) >= 9 for when in When)
    assert plans(1) == found != plans(2)
    assert {release.pause for release in releases(1, 10)} == {True, False}


@pytest.mark.parametrize(
    ("reads", "blind"),
    [
        pytest.param([[99.0], [98.0]], False, id="both were read a moment ago"),
        pytest.param([[99.0], [90.0]], True, id="one was not for longer than a reading counts"),
        pytest.param([[99.0, 101.0], [101.0]], True, id="what comes after it does not count"),
        pytest.param([[99.0], []], True, id="one never was"),
        pytest.param([], True, id="there is nobody to read"),
    ],
)
def test_a_step_ends_blind_without_readings_of_the_new_version(reads: list[list[float]], blind: bool) -> None:
    assert is_blind(Decided(100.0, "12:00:00Z", "Promoted", "all steps are done"), reads) is blind
    assert not is_blind(Decided(100.0, "12:00:00Z", "Baking", "it runs everywhere"), reads), "that ends no step"


async def test_a_page_that_misbehaves_is_unknown_to_the_operator_and_read_again_when_it_behaves() -> None:
    """Each fault that is not readable: else the benchmark would show nothing. All at once, since most take 3 s."""
    workers, changes = Workers(background=0.5), Changes()
    hub = PodHub(on_change=changes, clock=now, timeout=timedelta(seconds=0.5))
    faults = [fault for fault in FAULTS if fault not in READABLE]
    async with serving(workers), running(hub):
        for fault in faults:
            target = PodTarget(fault, fault, await workers.begin(fault), "canary", "new", now())
            hub.watch(Key("crm", fault), a_source(workers.servers.port, target))

        async def all_are(kind: type[Reading] | type[Unknown]) -> None:
            def others() -> list[str]:
                return [
                    fault
                    for fault in faults
                    if not isinstance(hub.evidence(Key("crm", fault), a_guard()).overall, kind)
                ]

            await changes.until(others, is_so=lambda found: not found, within=60)

        await all_are(Reading)
        for fault in faults:
            await workers.misbehave(fault, fault)
        good = {fault: len(workers[fault].good) for fault in faults}
        await all_are(Unknown)
        assert {fault: len(workers[fault].good) for fault in faults} == good, "none is taken for good"
        for fault in faults:
            await workers.behave(fault)
        await all_are(Reading)
        assert all(len(workers[fault].good) > good[fault] for fault in faults)


def a_source(port: int, *targets: PodTarget) -> PodSource:
    return PodSource(
        port=port,
        path="/metrics",
        interval=timedelta(seconds=0.2),
        metrics=frozenset({ERRORS}),
        window=timedelta(minutes=5),
        targets=targets,
    )


def test_the_providers_outage_is_in_the_counters_of_who_lived_through_it() -> None:
    times = [0.0]
    workers = Workers(clock=lambda: times[0])

    async def story() -> None:
        async with serving(workers):
            await workers.begin("before")
            times[0] = 10
            workers.provider_fails()
            times[0] = 12
            await workers.begin("meanwhile")
            times[0] = 14
            workers.provider_works()
            times[0] = 20
            await workers.begin("after")
            times[0] = 30

    asyncio.run(story())
    assert {name: workers.counted(name) for name in ("before", "meanwhile", "after")} == {
        "before": (10, 150),
        "meanwhile": (5, 90),
        "after": (0, 50),
    }
