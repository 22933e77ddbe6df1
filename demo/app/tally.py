"""The account at the end: jobs enqueued = done + dead-lettered + waiting, by message id, at any moment.

    python -m demo.app.tally            # a table; exit code 1 if a job is missing

It holds while workers run, not only at rest: Dramatiq never removes a message from one key before it is in the next,
and a job that is in two places (done, and not yet acknowledged) counts once, for the place that is further on.
"""

import argparse
import json
import os
import sys
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import redis

from demo.app.ledger import Ledger
from demo.app.settings import BrokerSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """Distinct jobs, and where each of them is. `duplicates` are further runs of jobs that are counted in `done`."""

    enqueued: int
    done: int
    dead: int
    ready: int
    unacked: int  # fetched by a worker: running, held in memory, or orphaned by a killed one
    delayed: int  # waiting for a retry
    lost: int
    duplicates: int

    @property
    def waiting(self) -> int:
        return self.ready + self.unacked + self.delayed

    @property
    def balanced(self) -> bool:
        return self.lost == 0 and self.enqueued == self.done + self.dead + self.waiting

    def __str__(self) -> str:
        return (
            f"{self.enqueued} enqueued = {self.done} done + {self.dead} dead-lettered + {self.waiting} waiting "
            f"({self.ready} ready, {self.unacked} unacked, {self.delayed} delayed); "
            f"{self.lost} lost, {self.duplicates} done again"
        )


def read_tally(settings: BrokerSettings, *, client: redis.Redis | None = None) -> Tally:
    """Read the account in one transaction. Reads every message, so it is for demos and tests, not for a busy broker."""
    if client is not None:
        return _read(client, settings)
    with redis.Redis.from_url(settings.redis_url) as own:
        return _read(own, settings)


def _read(client: redis.Redis, settings: BrokerSettings) -> Tally:
    queue = f"{settings.namespace}:{settings.queue}"
    ledger = Ledger(client, namespace=settings.namespace, queue=settings.queue)
    pipeline = client.pipeline(transaction=True)
    pipeline.smembers(ledger.enqueued_key)
    pipeline.hgetall(ledger.done_key)
    pipeline.hvals(f"{queue}.XQ.msgs")
    pipeline.hvals(f"{queue}.DQ.msgs")
    pipeline.hgetall(f"{queue}.msgs")
    pipeline.lrange(queue, 0, -1)
    recorded_raw, done_raw, dead_raw, delayed_raw, held, ready_raw = pipeline.execute()

    recorded = {item.decode() for item in recorded_raw}
    done = {item.decode() for item in done_raw}
    # A job that is done in one copy and not in another is done; one that still waits is not dead yet.
    ready = _message_ids(held[entry] for entry in set(ready_raw) & held.keys()) - done
    delayed = _message_ids(delayed_raw) - done - ready
    unacked = _message_ids(data for entry, data in held.items() if entry not in set(ready_raw)) - done - ready - delayed
    dead = _message_ids(dead_raw) - done - ready - delayed - unacked
    found = done | ready | delayed | unacked | dead
    return Tally(
        # A job that was sent by hand, or a moment ago and is not in the ledger yet, counts too.
        enqueued=len(recorded | found),
        done=len(done),
        dead=len(dead),
        ready=len(ready),
        unacked=len(unacked),
        delayed=len(delayed),
        lost=len(recorded - found),
        duplicates=sum(int(times) - 1 for times in done_raw.values()),
    )


def _message_ids(messages: Iterable[bytes]) -> set[str]:
    return {_message_id(json.loads(data)) for data in messages}


def _message_id(message: dict[str, Any]) -> str:
    return str(message["message_id"])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print JSON")
    arguments = parser.parse_args()
    tally = read_tally(BrokerSettings.from_env(os.environ))
    print(json.dumps(asdict(tally)) if arguments.json else tally)
    return 0 if tally.balanced else 1


if __name__ == "__main__":
    sys.exit(main())
