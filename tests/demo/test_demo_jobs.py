"""Workers, queue, CRM and account together, all of them real."""

import json
import subprocess
from pathlib import Path

import pytest
import redis

from demo.app.load import LoadGenerator
from demo.app.settings import BrokerSettings
from tests.demo.conftest import Shop, redis_server, scrape
from tests.demo.processes import REPOSITORY, eventually, free_port, python


def test_a_job_is_done_once_and_written_to_hubspot_under_its_version(shop: Shop) -> None:
    shop.load.burst(5)
    with shop.worker(CRM_REVISION="rev-good", CRM_ROLE="stable"):
        tally = shop.tally_when(settled=5)

    assert (tally.enqueued, tally.done, tally.lost, tally.duplicates) == (5, 5, 0, 0)
    stats = shop.admin.stats()
    assert (stats.started, stats.writes, stats.distinct_keys, stats.bad_writes) == (5, 5, 5, 0)
    good = stats.revisions["rev-good"]
    assert (good.role, good.started, good.writes, good.bad_writes) == ("stable", 5, 5, 0)
    assert good.first_started is not None
    assert good.last_started is not None
    assert good.first_started <= good.last_started <= stats.now


def test_the_error_counter_says_0_before_anything_happened(shop: Shop) -> None:
    port = free_port()
    with shop.worker(metrics_port=port):
        metrics = eventually(lambda: scrape(port), until=lambda m: bool(m), within=15)

    assert metrics is not None
    assert metrics["crm_sync_errors_total"] == 0


def test_a_bad_version_damages_every_third_job_and_its_errors_are_visible(shop: Shop) -> None:
    port = free_port()
    shop.load.burst(9)
    with shop.worker(metrics_port=port, threads=1, FAIL_EVERY="3", JOB_MAX_RETRIES="0", CRM_REVISION="rev-bad"):
        tally = shop.tally_when(settled=9)
        metrics = eventually(
            lambda: scrape(port), until=lambda m: m is not None and m["crm_sync_errors_total"] >= 3, within=10
        )

    assert (tally.enqueued, tally.done, tally.dead, tally.lost) == (9, 6, 3, 0)
    assert metrics is not None
    assert metrics["crm_sync_errors_total"] == 3
    assert metrics["dramatiq_messages_total"] == 9
    stats = shop.admin.stats()
    assert (stats.bad_writes, stats.corrupt_contacts) == (3, 3)
    bad = stats.revisions["rev-bad"]
    assert bad.bad_writes == 3
    assert bad.first_started is not None
    assert bad.first_bad_write is not None
    assert bad.first_started < bad.first_bad_write


def test_a_good_version_repairs_what_a_bad_one_left_for_a_retry(shop: Shop) -> None:
    shop.load.burst(4)
    with shop.worker(FAIL_EVERY="1", JOB_MIN_BACKOFF_MS="60000", JOB_MAX_BACKOFF_MS="60000"):
        eventually(shop.tally, until=lambda t: t.delayed == 4, within=15)
    assert shop.admin.stats().corrupt_contacts == 4
    _make_delayed_jobs_due(shop)

    with shop.worker():
        tally = shop.tally_when(settled=4)

    assert (tally.done, tally.dead, tally.lost, tally.duplicates) == (4, 0, 0, 0)
    stats = shop.admin.stats()
    assert (stats.repairs, stats.corrupt_contacts, stats.duplicates) == (4, 0, 0)


def _make_delayed_jobs_due(shop: Shop) -> None:
    """Move the due time of every delayed job to now, so that no test waits a minute for a backoff."""
    key = f"{shop.settings.namespace}:{shop.settings.queue}.DQ.msgs"
    with redis.Redis.from_url(shop.settings.redis_url) as client:
        for entry, data in client.hgetall(key).items():
            message = json.loads(data)
            message["options"]["eta"] = 1
            client.hset(key, entry, json.dumps(message))


def test_sigterm_drains_running_jobs_and_gives_the_others_back(shop: Shop) -> None:
    shop.load.burst(40)
    with shop.worker(JOB_SECONDS="0.5") as worker:
        eventually(lambda: shop.admin.stats().started, until=lambda n: n >= 3, within=15)
        worker.terminate()
        assert worker.wait(within=20) == 0, worker.output

    stats, tally = shop.admin.stats(), shop.tally()
    assert stats.started == stats.writes == tally.done, "a job that had started was not finished"
    assert 0 < tally.done < 40
    assert (tally.enqueued, tally.lost, tally.unacked) == (40, 0, 0)
    assert tally.ready == 40 - tally.done

    with shop.worker():
        tally = shop.tally_when(settled=40)
    assert (tally.done, tally.duplicates, tally.lost) == (40, 0, 0)


def test_the_account_holds_at_every_moment_while_jobs_fail_and_retry(shop: Shop) -> None:
    shop.load.burst(60)

    def one_look() -> int:
        tally = shop.tally()
        assert tally.balanced, tally
        return tally.done + tally.dead

    with shop.worker(threads=4, FAIL_EVERY="4", JOB_MAX_RETRIES="1"):
        eventually(one_look, until=lambda settled: settled == 60, within=30)
        # The last acknowledgement comes just after the job's own record.
        tally = shop.tally_when(settled=60)

    assert tally.balanced, tally
    assert shop.admin.stats().duplicates == 0


def test_a_job_that_vanished_from_the_queue_is_reported_lost(shop: Shop) -> None:
    shop.load.burst(3)
    key = f"{shop.settings.namespace}:{shop.settings.queue}.msgs"
    with redis.Redis.from_url(shop.settings.redis_url) as client:
        client.hdel(key, next(iter(client.hgetall(key))))

    tally = shop.tally()
    assert (tally.enqueued, tally.ready, tally.lost) == (3, 2, 1)
    assert not tally.balanced
    command = subprocess.run(
        python("-m", "demo.app.tally"),
        env={
            "REDIS_URL": shop.settings.redis_url,
            "DRAMATIQ_NAMESPACE": shop.settings.namespace,
            "CRM_QUEUE": shop.settings.queue,
        },
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert command.returncode == 1, command.stderr
    assert "1 lost" in command.stdout


def test_a_crashing_version_ends_at_once_and_takes_no_job(shop: Shop) -> None:
    shop.load.burst(2)
    with shop.worker(CRASH="1") as worker:
        assert worker.wait(within=15) != 0
        assert "CRASH is set" in worker.output
    assert shop.tally().ready == 2


def test_rate_limits_and_errors_of_the_crm_fail_jobs_that_are_then_retried(shop: Shop) -> None:
    port = free_port()
    shop.admin.fail_with(429, seconds=60)
    shop.load.burst(3)
    with shop.worker(metrics_port=port, JOB_MAX_RETRIES="1000"):
        eventually(lambda: scrape(port), until=lambda m: m is not None and m["crm_sync_errors_total"] >= 3, within=15)
        assert shop.tally().done == 0
        shop.admin.fail_with(429, seconds=0)
        tally = shop.tally_when(settled=3)

    assert (tally.done, tally.dead, tally.lost) == (3, 0, 0)
    assert shop.admin.stats().refused["failing with 429 as asked"] >= 3


def test_a_frozen_metrics_endpoint_does_not_stop_the_jobs_and_thaws(shop: Shop) -> None:
    port = free_port()
    with shop.worker(metrics_port=port) as worker:
        eventually(lambda: scrape(port), until=lambda m: m is not None, within=15)
        _outage("freeze", port)
        try:
            assert scrape(port) is None
            shop.load.burst(5)
            assert shop.tally_when(settled=5).done == 5
        finally:
            _outage("thaw", port)
        metrics = eventually(lambda: scrape(port), until=lambda m: m is not None, within=15)
        assert metrics is not None
        assert metrics["dramatiq_messages_total"] == 5
        worker.terminate()
        assert worker.wait(within=10) == 0


def _outage(action: str, port: int) -> None:
    subprocess.run(
        python("-m", "demo.app.metrics_outage", action, "--port", str(port)),
        cwd=REPOSITORY,
        check=True,
        capture_output=True,
        timeout=20,
    )


def test_the_load_keeps_its_rate_beside_a_burst_and_counts_exactly(shop: Shop) -> None:
    shop.load.start(100)
    shop.load.burst(250)
    eventually(lambda: shop.load.enqueued, until=lambda n: n >= 300, within=10)
    enqueued = shop.load.stop()

    tally = shop.tally()
    assert tally.enqueued == tally.ready == enqueued
    assert shop.load.stop() == enqueued, "it went on after stop"


def test_the_load_fails_aloud_when_the_broker_goes(tmp_path: Path) -> None:
    with redis_server(tmp_path) as (server, url), LoadGenerator(BrokerSettings(redis_url=url)) as load:
        load.start(50)
        eventually(lambda: load.enqueued, until=lambda n: n > 0, within=10)
        server.terminate()
        server.wait(within=10)
        eventually(lambda: load.failed, until=bool, within=30)
        with pytest.raises(RuntimeError, match="the load stopped after"):
            load.stop()
