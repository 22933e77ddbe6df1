"""The wall clock, in UTC; the only place of the operator that reads it."""

from datetime import UTC, datetime


def utc_now() -> datetime:
    """Now, with its time zone."""
    return datetime.now(UTC)
