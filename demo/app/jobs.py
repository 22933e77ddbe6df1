"""The worker: one actor that syncs one contact. Imported by `python -m dramatiq demo.app.jobs` and by nothing else.

A job reads the contact, works for JOB_SECONDS, writes it, and only then counts as done. With FAIL_EVERY=n every n-th
job of the process writes wrong data and then raises: the damage is done when the error is seen, as with real bad
releases.
"""

import itertools
import os
import sys
import time

import dramatiq
from dramatiq.brokers.redis import RedisBroker
from dramatiq.middleware import CurrentMessage, Middleware, default_middleware
from dramatiq.middleware.prometheus import Prometheus

from demo.app.hubspot_client import HubSpotClient
from demo.app.ledger import Ledger
from demo.app.settings import ACTOR, BrokerSettings, JobSettings


class CorruptSync(Exception):
    """A bad version found out that it had written wrong data."""


class SyncErrors(Middleware):  # type: ignore[misc]  # dramatiq is not checked, see pyproject.toml
    """Counts every failed attempt in `crm_sync_errors_total`, the counter that the runbook watches.

    Without labels, so that it says 0 from the start: a counter that appears with its first error hides that error
    from everybody who computes an increase.
    """

    def after_process_boot(self, broker: object) -> None:
        # Not earlier: the client library picks its multi-process mode, which the exposition process of Dramatiq's
        # Prometheus middleware reads, when it is imported. That middleware sets it up in its own after_process_boot,
        # and "after" hooks run from the last middleware to the first, so ours must stand before it in the list.
        import prometheus_client

        self.errors = prometheus_client.Counter(
            "crm_sync_errors", "Sync jobs that failed, counting every attempt.", registry=None
        )

    def after_process_message(
        self, broker: object, message: object, *, result: object = None, exception: BaseException | None = None
    ) -> None:
        if exception is not None:
            self.errors.inc()


where = BrokerSettings.from_env(os.environ)
how = JobSettings.from_env(os.environ)
if how.crash:
    sys.exit("CRASH is set: this version ends while it starts")

broker = RedisBroker(
    url=where.redis_url,
    namespace=where.namespace,
    # What a worker held when it was killed goes back to the queue when another one notices: here 30 s later, give or
    # take one command in ten. With Dramatiq's own 60 s and one command in a thousand an idle queue waits for minutes.
    heartbeat_timeout=30_000,
    maintenance_chance=100_000,
    middleware=[*(middleware() for middleware in default_middleware), CurrentMessage(), SyncErrors(), Prometheus()],
)
dramatiq.set_broker(broker)

hubspot = HubSpotClient(how.hubspot_url, token=how.hubspot_token, revision=how.revision, role=how.role)
ledger = Ledger.connect(where)
job_numbers = itertools.count(1)  # of this process, from all its threads


def sync_contact(contact_id: str) -> None:
    """Sync one contact, once or more: delivery is at least once, so the message id is the idempotency key."""
    message_id = CurrentMessage.get_current_message().message_id
    fails = how.fail_every > 0 and next(job_numbers) % how.fail_every == 0
    hubspot.read_contact(contact_id)
    time.sleep(how.job_seconds)
    if fails:
        hubspot.write_contact(contact_id, {"corrupt": "true"}, idempotency_key=message_id)
        raise CorruptSync(f"contact {contact_id} was overwritten with wrong data")
    hubspot.write_contact(contact_id, {"lifecyclestage": "customer"}, idempotency_key=message_id)
    # Last, and inside the job: a job whose end cannot be recorded fails and is done again, never forgotten.
    ledger.done(message_id)


dramatiq.actor(
    sync_contact,
    actor_name=ACTOR,
    queue_name=where.queue,
    max_retries=how.max_retries,
    min_backoff=how.min_backoff_millis,
    max_backoff=how.max_backoff_millis,
)
