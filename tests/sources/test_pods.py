"""The pod hub against real HTTP servers, well-behaved and not."""

import asyncio
import dataclasses
from datetime import datetime, timedelta

import pytest
from aiohttp import web
from prometheus_client import CollectorRegistry, Gauge, Histogram, generate_latest

from crm_operator.domain.fleet import JOB_TIME_METRICS
from crm_operator.domain.key import Key
from crm_operator.domain.world import JobsDone, JobTime, Reading, Unknown
from crm_operator.sources.pods import PodHub
from tests.misbehaving import FAULTS, answers, hang
from tests.sources.conftest import Changes, now, running
from tests.sources.yard import ERRORS, KEY, FakePod, served
from tests.unit.domain.fleet import a_guard


async def test_an_increase_is_summed_over_pods_and_split_by_revision() -> None:
    old, new = FakePod("127.0.0.2"), FakePod("127.0.0.3", revision="new", age=timedelta(seconds=5))
    old.says(**{ERRORS: 100})
    new.says(**{ERRORS: 4})
    async with served(old, new) as yard:
        await yard.when(a_guard(), lambda r: isinstance(r, Reading) and r.samples == 2)
        old.says(**{ERRORS: 103})
        reading = await yard.when(a_guard(), lambda r: isinstance(r, Reading) and r.value >= 7)
        evidence = yard.hub.evidence(KEY, a_guard())
    assert reading.value == 7
    sides = {side: found.value for side, found in evidence.by_revision.items() if isinstance(found, Reading)}
    assert sides == {"old": 3, "new": 4}


async def test_the_duration_of_jobs_is_learned_from_dramatiqs_own_histogram() -> None:
    registry = CollectorRegistry()
    histogram = Histogram(
        "dramatiq_message_duration_milliseconds", "Time.", ["queue_name", "actor_name"], registry=registry
    )
    pod = FakePod("127.0.0.2", age=timedelta(seconds=5))
    async with served(pod) as yard:
        yard.hub.watch(KEY, dataclasses.replace(yard.source(), metrics=frozenset(JOB_TIME_METRICS)))
        for actor, millis in [("sync_contact", 100), ("sync_deal", 300)]:
            for _ in range(20):
                histogram.labels("crm_hubspot", actor).observe(millis)
        pod.text = generate_latest(registry).decode()
        found = await yard.changes.until(lambda: yard.hub.job_times(KEY), is_so=bool)
        assert found == {"old": JobTime(mean=timedelta(milliseconds=200), jobs=40)}


async def test_the_quantile_of_a_real_histogram_and_the_window_of_a_gauge() -> None:
    registry = CollectorRegistry()
    took = Histogram("took_seconds", "Time.", ["actor"], buckets=(1, 3, 5), registry=registry)
    busy = Gauge("busy", "Threads.", registry=registry)
    pod = FakePod("127.0.0.2", age=timedelta(seconds=5))
    names = frozenset({"took_seconds_bucket", "busy"})
    async with served(pod) as yard:
        yard.hub.watch(KEY, dataclasses.replace(yard.source(), metrics=names, levels=frozenset({"busy"})))
        for actor, seconds in [("a", 2), ("b", 4)]:
            for _ in range(50):
                took.labels(actor).observe(seconds)
        busy.set(7)
        pod.text = generate_latest(registry).decode()
        guard = a_guard("took_seconds", reduce="Quantile", quantile=0.75)
        assert (await yard.when(guard, lambda r: isinstance(r, Reading))).value == 4
        highest = await yard.when(a_guard("busy", reduce="Max"), lambda r: isinstance(r, Reading) and r.previous == 7)
        mean = yard.overall(a_guard("busy", reduce="Average"))
    assert highest.value == 7
    assert isinstance(mean, Reading)
    assert mean.value == pytest.approx(7)


async def test_jobs_done_are_counted_from_the_start_of_the_pods() -> None:
    old, new = FakePod("127.0.0.2"), FakePod("127.0.0.3", revision="new", age=timedelta(seconds=5))
    old.text = 'dramatiq_messages_total{queue_name="sync",actor_name="a"} 40\ndramatiq_messages_total{a="b"} 2\n'
    new.text = "nothing 1\n"
    async with served(old, new) as yard:
        done = await yard.changes.until(
            lambda: yard.hub.jobs_done(KEY), is_so=lambda jobs: isinstance(jobs.get("old"), JobsDone)
        )
        assert done["old"] == JobsDone(count=42, since=old.target.started_at or now())
        missing = await yard.changes.until(
            lambda: yard.hub.jobs_done(KEY)["new"],
            is_so=lambda jobs: isinstance(jobs, Unknown) and jobs.reason == "MetricMissing",
        )
        assert isinstance(missing, Unknown)


async def test_the_worst_pod_counts_for_a_gauge_and_its_value_before() -> None:
    fast, slow = FakePod("127.0.0.2"), FakePod("127.0.0.3")
    fast.text, slow.text = "latency 1\n", 'latency{a="1"} 5\nlatency{a="2"} 7\n'
    async with served(fast, slow) as yard:
        guard = a_guard("latency", reduce="Last")
        reading = await yard.when(guard, lambda r: isinstance(r, Reading) and r.previous is not None)
    assert (reading.value, reading.previous, reading.samples) == (7, 7, 2)


async def test_a_ratio_needs_a_denominator() -> None:
    pod = FakePod("127.0.0.2", age=timedelta(seconds=5))
    pod.says(**{ERRORS: 1, "latency": 0})
    async with served(pod) as yard:
        guard = a_guard(reduce="Ratio", per="latency")
        none = await yard.when(guard, lambda r: isinstance(r, Unknown) and r.reason == "NoData")
        assert "did not grow" in none.why
        pod.says(**{ERRORS: 1, "latency": 4})
        reading = await yard.when(guard, lambda r: isinstance(r, Reading))
    assert reading.value == 0.25


async def test_a_declared_metric_is_zero_and_an_undeclared_one_is_unknown() -> None:
    pod = FakePod("127.0.0.2", age=timedelta(seconds=5))
    pod.text = f"# TYPE {ERRORS} counter\n"
    async with served(pod) as yard:
        reading = await yard.when(a_guard(), lambda r: isinstance(r, Reading))
        assert reading.value == 0
        missing = yard.overall(a_guard("latency", reduce="Last"))
        assert isinstance(missing, Unknown)
        assert missing.reason == "MetricMissing"
        assert yard.hub.health(KEY) is None, "the pod can be read"


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_pod_that_misbehaves_is_unknown_and_spoils_no_other(fault: str) -> None:
    bad, good = FakePod("127.0.0.2", revision="new"), FakePod("127.0.0.3", age=timedelta(seconds=5))
    bad.handler, reason = FAULTS[fault]
    good.says(**{ERRORS: 3})
    async with served(bad, good) as yard:
        health = await yard.when_unhealthy()
        assert health.reason == reason
        assert f"port {yard.port}/metrics" in health.why
        assert "1 of 2 pods" in health.why
        evidence = yard.hub.evidence(KEY, a_guard())
        assert isinstance(evidence.by_revision["new"], Unknown)
        assert evidence.by_revision["new"].reason == reason
        assert isinstance(evidence.by_revision["old"], Reading)
        overall = evidence.overall
    assert isinstance(overall, Reading)
    assert (overall.value, overall.samples) == (3, 1), "a lower bound from the pod that answers"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        pytest.param(f"{ERRORS} NaN\n", "MetricInvalid", id="not a number"),
        pytest.param(f"{ERRORS} -5\n", "MetricInvalid", id="a negative counter"),
        pytest.param(f"{ERRORS} +Inf\n", "MetricInvalid", id="infinity"),
        pytest.param(f'{ERRORS}{{a="\ud800"}} 5\n', "MetricInvalid", id="no UTF-8"),
        pytest.param("", "MetricMissing", id="an empty answer"),
        pytest.param(f"{ERRORS} 1", "MetricsInvalid", id="its last line has no end"),
    ],
)
async def test_nonsense_is_never_a_value(text: str, reason: str) -> None:
    pod = FakePod("127.0.0.2", age=timedelta(seconds=5))
    pod.handler = answers(body=text.encode("utf-8", "surrogatepass"))
    async with served(pod) as yard:
        unknown = await yard.when(a_guard(), lambda r: isinstance(r, Unknown) and r.reason == reason)
    assert unknown.why.count(ERRORS) == 1, "said, and said once"


async def test_a_refused_connection_is_named_with_the_number_of_pods() -> None:
    pod = FakePod("127.0.0.2")
    pod.says(**{ERRORS: 1})
    async with served(pod) as yard:
        nobody = FakePod("127.0.0.9")
        yard.hub.watch(KEY, yard.source(targets=(nobody.target,)))
        health = await yard.when_unhealthy()
    assert health.reason == "ConnectionRefused"
    assert "connection refused on 1 of 1 pods" in health.why


async def test_without_pods_there_is_nothing_to_read() -> None:
    pod = FakePod("127.0.0.2")
    async with served(pod) as yard:
        yard.hub.watch(KEY, yard.source(targets=()))
        assert yard.hub.health(KEY) is None
        assert yard.hub.jobs_done(KEY) == {}
        unknown = yard.overall(a_guard())
        assert isinstance(unknown, Unknown)
        assert unknown.reason == "NoPods"
        yard.hub.watch(KEY, None)
        assert yard.hub.jobs_done(KEY) == {}


@pytest.mark.parametrize("every", [1, 3])
async def test_the_same_answers_are_no_news(every: int) -> None:
    pod = FakePod("127.0.0.2")
    pod.target = dataclasses.replace(pod.target, every=every)
    pod.says(**{ERRORS: 1})
    async with served(pod) as yard:
        await yard.when(a_guard(), lambda r: isinstance(r, Reading))
        reached, enough = pod.requests, asyncio.Event()

        async def count(request: web.BaseRequest) -> web.StreamResponse:
            if pod.requests > reached + 5:
                enough.set()
            return web.Response(text=pod.text)

        pod.handler = count
        await asyncio.wait_for(enough.wait(), 10)
    assert len(yard.changes.keys) == 2, "the first values, and once more for gauges that need two"


async def test_some_pods_are_read_in_some_rounds_only() -> None:
    often, seldom = FakePod("127.0.0.2"), FakePod("127.0.0.3")
    seldom.target = dataclasses.replace(seldom.target, every=4)
    async with served(often, seldom):
        enough = asyncio.Event()

        async def count(request: web.BaseRequest) -> web.StreamResponse:
            if often.requests >= 20:
                enough.set()
            return web.Response(text=often.text)

        often.handler = count
        await asyncio.wait_for(enough.wait(), 20)
        assert 4 <= seldom.requests <= 1 + often.requests // 4, "at first, and in each fourth round"


async def test_a_pod_that_is_to_be_read_oftener_is_read_at_once() -> None:
    pod = FakePod("127.0.0.2")
    pod.says(**{ERRORS: 1})
    seldom = dataclasses.replace(pod.target, every=9)
    async with served(pod) as yard:
        await yard.when(a_guard(), lambda r: isinstance(r, Reading))
        yard.hub.watch(KEY, yard.source(targets=(seldom,), interval=600))
        pod.says(**{ERRORS: 2})
        yard.hub.watch(KEY, yard.source(targets=(pod.target,), interval=600))
        await yard.when(a_guard(), lambda r: isinstance(r, Reading) and r.value == 1)


async def test_after_forget_nothing_is_scraped() -> None:
    pod = FakePod("127.0.0.2")
    pod.says(**{ERRORS: 1})
    other = FakePod("127.0.0.3")
    async with served(pod, other) as yard:
        await yard.when(a_guard(), lambda r: isinstance(r, Reading))
        yard.hub.forget(KEY)
        second = Key("crm", "zoho")
        yard.hub.watch(second, yard.source(targets=(other.target,)))
        before, more = pod.requests, other.requests + 3
        reached = asyncio.Event()

        async def count(request: web.BaseRequest) -> web.StreamResponse:
            if other.requests > more:
                reached.set()
            return web.Response(text="x 1\n")

        other.handler = count
        await asyncio.wait_for(reached.wait(), 10)
        assert pod.requests <= before + 1, "at most the scrape that was under way"


async def test_hanging_pods_of_one_integration_do_not_starve_another() -> None:
    stuck = [FakePod(f"127.0.1.{n}") for n in range(1, 21)]
    good = FakePod("127.0.0.2", age=timedelta(seconds=5))
    for pod in stuck:
        pod.handler = hang
    good.says(**{ERRORS: 1})
    async with served(good, *stuck) as yard:
        yard.hub.watch(KEY, yard.source(targets=(good.target,)))
        yard.hub.watch(Key("crm", "stuck"), yard.source(targets=tuple(pod.target for pod in stuck)))
        for value in range(2, 6):
            good.says(**{ERRORS: value})
            await yard.changes.until(
                lambda: yard.overall(a_guard()),
                is_so=lambda r, n=value: isinstance(r, Reading) and r.value == n,  # type: ignore[misc]
                within=2,
            )


async def test_a_pod_that_hangs_delays_no_other_pods_news() -> None:
    """Its integration hears the others long before it gives up on the one, and hears that one too when it answers."""
    good, slow = FakePod("127.0.0.2"), FakePod("127.0.0.3")
    asked, answer = asyncio.Event(), asyncio.Event()

    async def hold(request: web.BaseRequest) -> web.StreamResponse:
        asked.set()
        await answer.wait()
        return web.Response(text=slow.text)

    good.says(**{ERRORS: 0})
    slow.says(**{ERRORS: 0})
    async with served(good, slow) as yard:
        yard.hub = PodHub(on_change=yard.changes, clock=now, timeout=timedelta(minutes=5))
        yard.hub.watch(KEY, yard.source())
        async with running(yard.hub):
            await yard.when(a_guard(), lambda r: isinstance(r, Reading) and r.samples == 2)
            slow.handler = hold
            await asked.wait()
            good.says(**{ERRORS: 3})
            await yard.when(a_guard(), lambda r: isinstance(r, Reading) and r.value == 3)
            requests = slow.requests
            good.says(**{ERRORS: 4})
            await yard.when(a_guard(), lambda r: isinstance(r, Reading) and r.value == 4)
            assert slow.requests == requests, "asked again while it still owes an answer"
            slow.says(**{ERRORS: 7})
            answer.set()
            await yard.when(a_guard(), lambda r: isinstance(r, Reading) and r.value == 11)


async def test_environment_proxies_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    pod = FakePod("127.0.0.2", age=timedelta(seconds=5))
    pod.says(**{ERRORS: 1})
    async with served(pod) as yard:
        await yard.when(a_guard(), lambda r: isinstance(r, Reading))


async def test_another_path_begins_anew() -> None:
    """A counter of the same name is another one there, and what it shows more is no increase."""
    pod, let_go = FakePod("127.0.0.2"), asyncio.Event()

    async def by_path(request: web.BaseRequest) -> web.StreamResponse:
        if request.path == "/other":
            return web.Response(text=f"{ERRORS} 900\n")
        if pod.requests > 2:
            await let_go.wait()  # an answer of the old place that comes late
        return web.Response(text=f"{ERRORS} 5\n")

    pod.handler = by_path
    async with served(pod) as yard:
        await yard.when(a_guard(), lambda found: isinstance(found, Reading) and found.value == 0)
        await yard.changes.until(lambda: pod.requests, is_so=lambda count: count > 2)
        yard.hub.watch(KEY, yard.source(path="/other"))
        assert isinstance(yard.overall(a_guard()), Unknown)
        let_go.set()
        found = await yard.when(a_guard(), lambda found: isinstance(found, Reading))
        assert found.value == 0
        await yard.when(a_guard(reduce="Last"), lambda found: isinstance(found, Reading) and found.value == 900)


async def test_a_sample_ages() -> None:
    late = timedelta(0)

    def clock() -> datetime:
        return now() + late

    pod = FakePod("127.0.0.2", age=timedelta(seconds=5))
    pod.says(**{ERRORS: 1})
    async with served(pod) as yard:
        changes = Changes()
        hub = PodHub(on_change=changes, clock=clock)
        hub.watch(KEY, yard.source())
        async with running(hub):
            await changes.until(lambda: hub.evidence(KEY, a_guard()).overall, is_so=lambda r: isinstance(r, Reading))
        late = timedelta(seconds=4)
        unknown = hub.evidence(KEY, a_guard()).overall
    assert isinstance(unknown, Unknown)
    assert unknown.reason == "Stale"


async def test_what_always_moves_is_told_within_a_second_and_what_a_guard_reads_at_once() -> None:
    pod, errors = FakePod("127.0.0.2"), 0

    async def busy(request: web.BaseRequest) -> web.StreamResponse:
        pod.says(**{ERRORS: errors, "jobs": pod.requests})
        return web.Response(text=pod.text)

    pod.handler = busy
    async with served(pod) as yard:
        metrics, background = frozenset({ERRORS, "jobs"}), frozenset({"jobs"})
        yard.hub.watch(KEY, dataclasses.replace(yard.source(interval=0.02), metrics=metrics, background=background))
        await yard.when(a_guard(), lambda r: isinstance(r, Reading))
        told, asked = len(yard.changes.keys), pod.requests
        await yard.changes.until(lambda: len(yard.changes.keys), is_so=lambda count: count > told)
        assert pod.requests - asked > 5, "not after each of fifty changes a second"
        errors = 5
        reading = await yard.when(a_guard(), lambda r: isinstance(r, Reading) and r.value > 0)
    assert reading.value == 5
