"""Locks between processes: builds, cluster names, the choice of addresses.

The kernel drops a lock with the process that holds it, so a killed launcher blocks nobody.
"""

import errno
import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dev.cluster.progress import Progress
from dev.cluster.waiting import wait_until

LONGEST_WAIT_SECONDS = 3600.0  # a cold build by another process on a slow machine


@contextmanager
def exclusive(path: Path, progress: Progress, what: str) -> Iterator[None]:
    """Hold the lock file `path`; tells `progress` that another process is doing `what` while that one holds it.

    Raises TimeoutError after an hour.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with path.open("a") as file:
        if not _try_lock(file.fileno()):
            progress.step(f"another process is {what}: waiting for it")
            wait_until(
                lambda: _try_lock(file.fileno()),
                f"the end of {what} by another process",
                within_seconds=LONGEST_WAIT_SECONDS,
                waiting=lambda: progress.busy(f"another process is still {what}"),
            )
        yield


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
            return False
        raise
    return True
