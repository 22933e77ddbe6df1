"""The fake HubSpot's books: who read and wrote what and when. No HTTP here.

The clock is the server's, so that "first bad write" and "last job started by the bad version" can be subtracted.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Self


@dataclass(frozen=True, slots=True, kw_only=True)
class RevisionStats:
    """One version's share. Times are seconds since the epoch; None = it never happened."""

    role: str  # stable or canary, as last said by the workers
    started: int = 0  # jobs
    writes: int = 0
    bad_writes: int = 0
    first_started: float | None = None
    last_started: float | None = None
    first_bad_write: float | None = None
    last_bad_write: float | None = None
    failed: int = 0  # writes that failed because this version was to fail
    first_failed: float | None = None
    started_after_failure: int = 0  # jobs that this version started after its first failed write


@dataclass(frozen=True, slots=True, kw_only=True)
class HubSpotStats:
    """What `GET /_stats` answers."""

    now: float  # the server's clock when it answered
    started: int = 0  # jobs, from reads
    writes: int = 0  # accepted, good or bad
    distinct_keys: int = 0  # idempotency keys seen in accepted writes, so jobs that wrote at all
    duplicates: int = 0  # good writes of a job that had already written well: at-least-once delivery, seen
    repairs: int = 0  # good writes of a job whose write before was bad: a retry mended the contact
    bad_writes: int = 0
    corrupt_contacts: int = 0  # contacts whose last write was a bad one
    refused: Mapping[str, int] = field(default_factory=dict)  # reason -> calls
    revisions: Mapping[str, RevisionStats] = field(default_factory=dict)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        revisions = {name: RevisionStats(**values) for name, values in data["revisions"].items()}
        return cls(**{**data, "revisions": revisions})

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


class Books:
    """Counts calls. Not thread-safe: the server holds a lock around each call."""

    def __init__(self) -> None:
        self._counts = dict.fromkeys(("started", "writes", "duplicates", "repairs", "bad_writes"), 0)
        self._refused: dict[str, int] = {}
        self._last_write_was_good: dict[str, bool] = {}  # by idempotency key
        self._corrupt: set[str] = set()
        self._revisions: dict[str, dict[str, Any]] = {}

    def job_started(self, *, revision: str, role: str, at: float) -> None:
        self._counts["started"] += 1
        share = self._share(revision, role)
        share["started"] += 1
        share["first_started"] = share["first_started"] or at
        share["last_started"] = at
        if share["first_failed"] is not None:
            share["started_after_failure"] += 1

    def write_failed(self, *, revision: str, role: str, at: float) -> None:
        """A write that fails because this version is to fail, not because it is wrong."""
        share = self._share(revision, role)
        share["failed"] += 1
        share["first_failed"] = share["first_failed"] or at

    def contact_written(self, contact: str, *, key: str, bad: bool, revision: str, role: str, at: float) -> None:
        share = self._share(revision, role)
        before = self._last_write_was_good.get(key)
        self._last_write_was_good[key] = not bad
        self._counts["writes"] += 1
        share["writes"] += 1
        if bad:
            self._counts["bad_writes"] += 1
            self._corrupt.add(contact)
            share["bad_writes"] += 1
            share["first_bad_write"] = share["first_bad_write"] or at
            share["last_bad_write"] = at
            return
        self._corrupt.discard(contact)
        if before is not None:
            self._counts["duplicates" if before else "repairs"] += 1

    def refused(self, reason: str) -> None:
        self._refused[reason] = self._refused.get(reason, 0) + 1

    def stats(self, *, now: float) -> HubSpotStats:
        return HubSpotStats(
            now=now,
            distinct_keys=len(self._last_write_was_good),
            corrupt_contacts=len(self._corrupt),
            refused=dict(self._refused),
            revisions={name: RevisionStats(**share) for name, share in self._revisions.items()},
            **self._counts,
        )

    def _share(self, revision: str, role: str) -> dict[str, Any]:
        share = self._revisions.setdefault(revision, asdict(RevisionStats(role=role)))
        share["role"] = role  # a promoted canary becomes stable under the same revision
        return share
