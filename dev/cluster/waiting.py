"""Waiting for a condition, with a deadline. The only place of the launcher that sleeps."""

import time
from collections.abc import Callable

POLL_SECONDS = 0.05


def wait_until(
    condition: Callable[[], bool], what: str, *, within_seconds: float, waiting: Callable[[], None] | None = None
) -> None:
    """Poll `condition` until it holds, calling `waiting` in between.

    Raises TimeoutError, naming `what`, when the time is over.
    """
    deadline = time.monotonic() + within_seconds
    while not condition():
        if time.monotonic() >= deadline:
            raise TimeoutError(f"{what} did not happen within {within_seconds:g} s")
        if waiting is not None:
            waiting()
        time.sleep(POLL_SECONDS)
