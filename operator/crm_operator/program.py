"""The running operator: builds the parts, hands each what it needs, and ends when one of them ends.

Order of a start: serve probes, take the lease, list everything once, then watch and work. A standby serves probes and
waits for the lease; it neither lists nor watches.
"""

import asyncio
import logging
import signal
from dataclasses import dataclass
from datetime import timedelta
from importlib.metadata import version
from pathlib import Path
from urllib.parse import urlsplit

from prometheus_client import CollectorRegistry

from crm_operator.clock import utc_now
from crm_operator.controller.apply import Applier
from crm_operator.controller.cache import KINDS, Cache
from crm_operator.controller.deletion_costs import DeletionCosts
from crm_operator.controller.event_poster import EventPoster
from crm_operator.controller.health import Health
from crm_operator.controller.kube import Kube
from crm_operator.controller.lease import EXIT_LOST, Lease, LeaseLost
from crm_operator.controller.loop import Reconciler
from crm_operator.controller.metric_sources import Hubs
from crm_operator.controller.observe import Observer
from crm_operator.controller.pauses import PauseReconciler
from crm_operator.controller.resync import Resync
from crm_operator.controller.revisions import Revisions
from crm_operator.controller.secrets import Secrets
from crm_operator.controller.telemetry import QueueMetrics, Telemetry
from crm_operator.controller.templates import TemplateChecks
from crm_operator.controller.watch import watch
from crm_operator.controller.watchdog import Freshness, LoopWatchdog, die, no_run_is_stuck, queue_runs
from crm_operator.controller.workloads import Ledger
from crm_operator.controller.workqueue import WorkQueue
from crm_operator.domain.key import Key
from crm_operator.sources.address import AddressPolicy
from crm_operator.sources.backend import backend_hub
from crm_operator.sources.pods import PodHub
from crm_operator.sources.polling import Surroundings
from crm_operator.sources.prometheus import prometheus_hub
from crm_operator.sources.queues import QueueHub

log = logging.getLogger(__name__)

LEASE_NAME = "crm-operator"
PAUSE_WORKERS = 2
GAP_POLL = 0.1  # seconds
#: Seconds that runs under way have to end after SIGTERM; below the pod's grace period.
FINISH_WITHIN = 5.0
#: Afterwards, for Events that were not posted yet.
EVENTS_WITHIN = timedelta(seconds=2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the command line decides."""

    kubeconfig: Path | None  # None: the pod's service account
    context: str | None
    namespaces: tuple[str, ...] | None  # None: all
    allow_hosts: tuple[str, ...]
    host: str  # of probes and metrics
    port: int
    lease_namespace: str | None  # None: no lease, for a single operator that somebody else guards
    identity: str
    concurrency: int
    resync: timedelta


class _Stop(Exception):
    """Ends the task group in order."""


class Program:
    """One operator process."""

    def __init__(self, options: Options, kube: Kube, telemetry: Telemetry) -> None:
        self.options = options
        self._kube = kube
        self._telemetry = telemetry
        self._stop = asyncio.Event()
        self._freshness = Freshness(list(KINDS))
        self._watching = False
        self._workers: list[asyncio.Task[None]] = []
        self._cache = Cache(options.namespaces)
        self._queue = WorkQueue(concurrency=options.concurrency, observer=telemetry.queue)
        # Pauses are few and quick; their queue's metrics would only blur those of the integrations.
        self._pause_queue = WorkQueue(concurrency=PAUSE_WORKERS, observer=QueueMetrics(CollectorRegistry()))
        # The API server trusts this process more than it trusts those who write specs.
        policy = AddressPolicy(options.allow_hosts, deny=(urlsplit(kube.server).hostname or "",))
        self._queues = QueueHub(policy=policy, on_change=self._queue.add, clock=utc_now)
        self._pods = PodHub(on_change=self._queue.add, clock=utc_now)
        surroundings = Surroundings(policy=policy, on_change=self._queue.add, clock=utc_now)
        self._backends, self._prometheus = backend_hub(surroundings), prometheus_hub(surroundings)
        self._lease = self._make_lease()
        self._events = EventPoster(kube=kube, identity=options.identity, may_write=self._may_write)
        self._pauses = PauseReconciler(kube=kube, cache=self._cache, clock=utc_now, enqueue=self._queue.add)
        self._reconciler = self._make_reconciler()
        self._resync = Resync(
            kube, self._cache, enqueue=self._in_background, enqueue_pause=self._pause_changed, every=options.resync
        )
        telemetry.watch_queue(self._queue)
        telemetry.version(version("crm-operator"))
        telemetry.sample(
            "crm_watch_last_event_age_seconds",
            "Since a kind was last heard of: event, bookmark or list.",
            self._freshness.samples,
            ("kind",),
        )

    def stop(self) -> None:
        """End in order: finish the runs under way, release the lease."""
        self._stop.set()

    async def run(self) -> None:
        """Until `stop`. Raises WatchEnded, or what else ended a part."""
        health = self._make_health()
        await health.start(self.options.host, self.options.port)
        try:
            await self._until_stopped()
        finally:
            await health.stop()

    async def _until_stopped(self) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._stopper(), name="stopper")
                group.create_task(LoopWatchdog(die).run(), name="loop watchdog")
                group.create_task(self._lead(group), name="start")
        except* _Stop:
            log.info("Stopped")
        if self._lease is not None:
            await self._lease.release()

    async def _stopper(self) -> None:
        await self._stop.wait()
        self._queue.close()
        self._pause_queue.close()
        # Runs under way may finish: half a plan is worse to read afterwards than a whole one, though either heals.
        if self._workers:
            await asyncio.wait(self._workers, timeout=FINISH_WITHIN)
            await self._events.finish(EVENTS_WITHIN)
        raise _Stop

    async def _lead(self, group: asyncio.TaskGroup) -> None:
        if self._lease is not None:
            await self._lease.acquire()
            group.create_task(self._keep(self._lease), name="lease")
        await self._resync.first()
        group.create_task(self._queues.run(), name="queues")
        group.create_task(self._pods.run(), name="pods")
        group.create_task(self._backends.run(), name="backends")
        group.create_task(self._prometheus.run(), name="prometheus")
        group.create_task(self._events.run(), name="events")
        self._workers = [
            group.create_task(self._queue.run(self._reconciler.reconcile), name="work queue"),
            group.create_task(self._pause_queue.run(self._pauses.reconcile), name="pause queue"),
        ]
        group.create_task(self._resync.run(), name="resync")
        group.create_task(
            watch(
                self._stop,
                kube=self._kube,
                cache=self._cache,
                enqueue=self._queue.add,
                enqueue_pause=self._pause_changed,
                freshness=self._freshness,
                fail=die,
                observe=self._telemetry.watch_request,
            ),
            name="watch",
        )
        self._watching = True
        group.create_task(self._close_gap(), name="second list")
        log.info("Working", extra={"integrations": self._cache.count("CrmIntegration")})

    async def _keep(self, lease: Lease) -> None:
        try:
            await lease.renew()
        except LeaseLost as lost:
            # At once: another may act from now on, and an orderly end takes seconds.
            die(str(lost), EXIT_LOST)

    async def _close_gap(self) -> None:
        """Nobody tells of what was deleted between our first list and Kopf's own, so list once more after Kopf has."""
        while self._freshness.ready() is not None:  # noqa: ASYNC110 (written by another thread)
            await asyncio.sleep(GAP_POLL)
        await self._resync.first()

    def _in_background(self, key: Key) -> None:
        self._queue.add(key, background=True)

    def _pause_changed(self, key: Key) -> None:
        self._pause_queue.add(key)
        self._pauses.wake(key)

    def _make_lease(self) -> Lease | None:
        options = self.options
        if options.lease_namespace is None:
            return None
        return Lease(
            self._kube,
            options.lease_namespace,
            LEASE_NAME,
            options.identity,
            clock=utc_now,
            observe=lambda held: self._telemetry.leads(LEASE_NAME, held),
        )

    def _make_reconciler(self) -> Reconciler:
        revisions, templates, ledger = Revisions(self._kube), TemplateChecks(self._kube), Ledger()
        costs = DeletionCosts(kube=self._kube, cache=self._cache, clock=utc_now)
        return Reconciler(
            kube=self._kube,
            cache=self._cache,
            observer=Observer(
                cache=self._cache,
                ledger=ledger,
                revisions=revisions,
                templates=templates,
                secrets=Secrets(self._kube, utc_now),
                hubs=Hubs(queues=self._queues, pods=self._pods, backends=self._backends, prometheus=self._prometheus),
                costs=costs,
                clock=utc_now,
            ),
            applier=Applier(
                kube=self._kube,
                cache=self._cache,
                ledger=ledger,
                revisions=revisions,
                costs=costs,
                events=self._events,
                decided=self._telemetry.decided,
                pause_made=self._pause_changed,
                may_write=self._may_write,
            ),
            revisions=revisions,
            templates=templates,
            pauses=self._pauses,
            enqueue_pause=self._pause_queue.add,
            telemetry=self._telemetry,
            clock=utc_now,
        )

    def _make_health(self) -> Health:
        return Health(
            self._telemetry.registry,
            live={
                "watch": lambda: self._freshness.live() if self._watching else None,
                "runs": no_run_is_stuck(self._queue),
                "pauses": no_run_is_stuck(self._pause_queue),
            },
            ready={
                "cache": lambda: None if self._standby() or self._cache.synced() else "not everything is listed yet",
                "queue": lambda: None if self._standby() else queue_runs(self._queue)(),
                "watch": lambda: None if self._standby() else self._freshness.ready(),
            },
        )

    def _may_write(self) -> bool:
        return self._lease is None or self._lease.held

    def _standby(self) -> bool:
        return not self._may_write()


async def run(options: Options) -> None:
    """Build and run one operator until SIGTERM or SIGINT."""
    telemetry = Telemetry(CollectorRegistry())
    async with await Kube.connect(options.kubeconfig, options.context, observe=telemetry.request) as kube:
        program = Program(options, kube, telemetry)
        loop = asyncio.get_running_loop()
        for sign in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(sign, program.stop)
        await program.run()
