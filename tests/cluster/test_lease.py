"""One leader at a time, on a real API server."""

import asyncio
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from crm_operator.controller.kube import Kube
from crm_operator.controller.lease import Lease, LeaseLost, LeaseTimes
from crm_operator.controller.resources import LEASES
from dev.cluster import Cluster

pytestmark = pytest.mark.cluster

NAME = "crm-operator"
FAST = LeaseTimes(
    duration=timedelta(seconds=3),
    renew_deadline=timedelta(seconds=2),
    retry=timedelta(seconds=0.4),
    poll=timedelta(seconds=0.1),
)


@pytest.fixture
async def api(api_cluster: Cluster) -> AsyncIterator[Kube]:
    async with await Kube.connect(api_cluster.kubeconfig) as kube:
        yield kube


class Candidate(Lease):
    """A Lease that remembers what it was told, by a wall clock that may be wrong."""

    def __init__(self, api: Kube, namespace: str, identity: str, skew: timedelta = timedelta()) -> None:
        self.leads: list[bool] = []
        super().__init__(
            api,
            namespace,
            NAME,
            identity,
            clock=lambda: datetime.now(UTC) + skew,
            observe=self.leads.append,
            times=FAST,
        )


async def test_the_first_makes_the_lease_and_leads(api: Kube, namespace: str) -> None:
    one = Candidate(api, namespace, "one")
    assert not one.held
    await one.acquire()
    assert one.held
    assert (one.epoch, one.leads) == (0, [True])
    lease = await api.get(LEASES, namespace, NAME)
    assert lease is not None
    assert lease["spec"]["holderIdentity"] == "one"


async def test_a_renewal_that_was_cut_off_and_arrived_does_not_keep_the_lease(api: Kube, namespace: str) -> None:
    one, two = Candidate(api, namespace, "one"), Candidate(api, namespace, "two")
    await one.acquire()
    lease = await api.get(LEASES, namespace, NAME)
    assert lease is not None
    await api.update(
        LEASES, namespace, NAME, {**lease, "spec": {**lease["spec"], "renewTime": "2026-01-01T00:00:00.000001Z"}}
    )
    await one.release()
    await asyncio.wait_for(two.acquire(), 1.5)
    assert two.held


async def test_who_waits_leads_soon_after_a_clean_stop_in_a_new_epoch(api: Kube, namespace: str) -> None:
    one, two = Candidate(api, namespace, "one"), Candidate(api, namespace, "two")
    await one.acquire()
    waiting = asyncio.create_task(two.acquire())
    await asyncio.sleep(0.5)
    assert not waiting.done()
    released = time.monotonic()
    await one.release()
    await asyncio.wait_for(waiting, 1.5)
    assert time.monotonic() - released < 1.5
    assert (one.held, two.held, two.epoch) == (False, True, 1)
    assert one.leads == [True, False]


@pytest.mark.parametrize("skew", [timedelta(hours=-2), timedelta(hours=2)])
async def test_a_wrong_wall_clock_changes_nothing(api: Kube, namespace: str, skew: timedelta) -> None:
    one, two = Candidate(api, namespace, "one"), Candidate(api, namespace, "two", skew)
    await one.acquire()
    renewing = asyncio.create_task(one.renew())
    waiting = asyncio.create_task(two.acquire())
    await asyncio.sleep(FAST.duration.total_seconds() + 1)
    assert (one.held, two.held) == (True, False)
    for task in (renewing, waiting):
        task.cancel()
    await asyncio.gather(renewing, waiting, return_exceptions=True)


async def test_a_holder_that_stands_still_stops_before_another_takes_over(api: Kube, namespace: str) -> None:
    one, two = Candidate(api, namespace, "one"), Candidate(api, namespace, "two")
    await one.acquire()  # and never renews, as a stopped process
    waiting = asyncio.create_task(two.acquire())
    while one.held:
        assert not two.held
        await asyncio.sleep(0.02)
    gap = time.monotonic()
    assert not waiting.done()
    await asyncio.wait_for(waiting, 3)
    assert time.monotonic() - gap > 0.5
    with pytest.raises(LeaseLost, match="held by two"):  # it wakes up
        await one.renew()
    assert not one.held


async def test_a_container_restarted_in_its_pod_goes_on_at_once_in_a_new_epoch(api: Kube, namespace: str) -> None:
    await Candidate(api, namespace, "one").acquire()
    again = Candidate(api, namespace, "one")
    await asyncio.wait_for(again.acquire(), 1)
    assert again.epoch == 1


async def test_of_two_that_start_together_one_leads(api: Kube, namespace: str) -> None:
    candidates = [Candidate(api, namespace, f"c{n}") for n in range(5)]
    tasks = [asyncio.create_task(c.acquire()) for c in candidates]
    await asyncio.sleep(1.5)
    assert sum(c.held for c in candidates) == 1
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_an_edit_by_a_person_is_survived_and_a_deletion_is_a_loss(api: Kube, namespace: str) -> None:
    one = Candidate(api, namespace, "one")
    await one.acquire()
    renewing = asyncio.create_task(one.renew())
    await api.apply(LEASES, namespace, NAME, {"metadata": {"labels": {"touched": "yes"}}}, manager="person")
    await asyncio.sleep(FAST.renew_deadline.total_seconds() + 0.5)
    assert one.held
    await api.delete(LEASES, namespace, NAME)
    with pytest.raises(LeaseLost, match="nobody"):
        await asyncio.wait_for(renewing, 3)


async def test_without_an_api_server_the_holder_stops_at_its_deadline(api_cluster: Cluster, namespace: str) -> None:
    async with await Kube.connect(api_cluster.kubeconfig) as api:
        one = Candidate(api, namespace, "one")
        await one.acquire()
        renewing = asyncio.create_task(one.renew())
        await asyncio.sleep(0.5)
        api_cluster.freeze_component("kube-apiserver")
        frozen = time.monotonic()
        try:
            with pytest.raises(LeaseLost, match="not renewed"):
                await asyncio.wait_for(renewing, 10)
        finally:
            api_cluster.thaw_component("kube-apiserver")
        assert time.monotonic() - frozen < FAST.duration.total_seconds()
        assert not one.held
