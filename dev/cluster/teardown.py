"""Ends what is left of a cluster, from whatever point it was left at. Run before each start and by `down`.

Everything that belongs to a cluster hangs on its supervisor (see supervisor.py), so ending that one recorded process ends all;
what remains are files, and cgroups, whose names are ours. Nothing is found by process name.
"""

import os
import shutil
from pathlib import Path

from dev.cluster import processes
from dev.cluster.components import Supervisor
from dev.cluster.network import remove_interface
from dev.cluster.node import cgroup_hierarchies, cgroup_root
from dev.cluster.waiting import wait_until

GONE_WITHIN_SECONDS = 20.0


def end_processes(work: Path) -> None:
    """SIGKILL the supervisor; its components end with it. No error when nothing runs. Raises TimeoutError."""
    identity = Supervisor(work).identity
    if identity is not None:
        processes.kill(identity, within_seconds=GONE_WITHIN_SECONDS)


def clean(name: str, work: Path) -> None:
    """End the cluster and remove its interface, cgroups and work folder. No error when there is nothing."""
    end_processes(work)
    remove_interface(work)
    for hierarchy in cgroup_hierarchies():
        _remove_cgroup(hierarchy / cgroup_root(name))
    if work.exists():
        # Components of an api tier end a moment after their supervisor; their last words must not refill the folder.
        wait_until(lambda: _removed(work), f"the removal of {work}", within_seconds=GONE_WITHIN_SECONDS)


def _removed(folder: Path) -> bool:
    try:
        shutil.rmtree(folder)
    except FileNotFoundError:
        return not folder.exists()
    except OSError as error:
        if error.errno in (39, 16):  # ENOTEMPTY, EBUSY: somebody still writes, or a namespace still holds a mount
            return False
        raise
    return True


def _remove_cgroup(root: Path) -> None:
    """Remove a tree of cgroups, leaves first. Only directories can and must be removed: their files are the kernel's."""
    if not root.is_dir():
        return
    for folder, _, _ in os.walk(root, topdown=False):
        wait_until(lambda folder=folder: _rmdir(Path(folder)), f"the end of cgroup {folder}", within_seconds=10.0)  # type: ignore[misc]


def _rmdir(folder: Path) -> bool:
    try:
        folder.rmdir()
    except FileNotFoundError:
        return True
    except OSError as error:
        if error.errno == 16:  # EBUSY: its last process is still being buried
            return False
        raise
    return True
