"""Which workers are busy, asked of a real Dramatiq worker that fetches more jobs than it works on."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

from crm_operator.domain.key import Key
from crm_operator.sources.pods import PodHub, PodSource, PodTarget
from tests.redisserver import RedisServer, free_port
from tests.sources.conftest import Changes, now, running
from tests.sources.desk import Desk, a_source
from tests.sources.shop import Shop, a_worker_process

KEY = Key("crm", "hubspot")
THREADS = 2  # of the worker process


@contextmanager
def a_scraped_worker(server: RedisServer, folder: Path) -> Iterator[PodSource]:
    """A worker process that serves its metrics, as a pod called `worker`."""
    port = free_port()
    metrics = {"dramatiq_prom_host": "127.0.0.1", "dramatiq_prom_port": str(port), "dramatiq_prom_db": str(folder)}
    target = PodTarget(
        name="worker", uid="1", ip="127.0.0.1", role="stable", revision="one", started_at=now() - timedelta(seconds=1)
    )
    with a_worker_process(server, environ=metrics):
        yield PodSource(
            port=port,
            path="/metrics",
            interval=timedelta(seconds=0.1),
            metrics=frozenset(),
            window=timedelta(minutes=5),
            targets=(target,),
        )


async def test_jobs_that_have_begun_are_counted_and_not_those_fetched_ahead(
    redis_server: RedisServer, shop: Shop, tmp_path: Path
) -> None:
    desk, changes, seen = Desk(), Changes(), list[int]()
    hub = PodHub(on_change=changes, clock=now)

    def busy() -> int:
        """-1 while the pod was not read."""
        found = hub.in_progress(KEY).get("worker")
        seen.append(-1 if found is None else found.jobs)
        return seen[-1]

    for _ in range(3 * THREADS):
        shop.take.send(2)
    desk.hub.watch(KEY, a_source(redis_server))
    with a_scraped_worker(redis_server, tmp_path) as source:
        hub.watch(KEY, source)
        async with running(desk.hub), running(hub):
            await changes.until(busy, is_so=lambda jobs: jobs == THREADS, within=30)
            held = (await desk.reading()).running
            await changes.until(busy, is_so=lambda jobs: jobs == 0, within=30)
    assert held > THREADS, "fetched and not acknowledged, some of them not begun"
    assert max(seen) == THREADS
