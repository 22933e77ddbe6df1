"""Ends what is left of a cluster, from whatever point it was left at. Run before each start and by `down`.

Everything that belongs to a cluster hangs on its supervisor (see supervisor.py), so ending that one recorded process
ends all; what remains are files, and cgroups, whose names are ours. Nothing is found by process name.
"""

import errno
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
    supervisor = Supervisor(work)
    if (identity := supervisor.identity) is None:
        return
    components = processes.children(identity)
    processes.kill(identity, within_seconds=GONE_WITHIN_SECONDS)
    # In an api tier, without a PID namespace, each gets its SIGKILL from the kernel and ends a moment later.
    for component in components:
        wait_until(
            lambda component=component: not processes.is_alive(component),  # type: ignore[misc]
            f"the end of process {component.pid}",
            within_seconds=GONE_WITHIN_SECONDS,
        )


def clean(work: Path) -> None:
    """End the cluster and remove its interface, cgroups and work folder. No error when there is nothing."""
    end_processes(work)
    remove_interface(work)
    for hierarchy in cgroup_hierarchies():
        _remove_cgroup(hierarchy / cgroup_root(work))
    if work.exists():
        wait_until(lambda: _removed(work), f"the removal of {work}", within_seconds=GONE_WITHIN_SECONDS)


def _removed(folder: Path) -> bool:
    try:
        shutil.rmtree(folder)
    except FileNotFoundError:
        return not folder.exists()
    except OSError as error:
        if error.errno in (
            errno.ENOTEMPTY,
            errno.EBUSY,
        ):  # somebody's last words, or a mount that is on its way out
            return False
        raise
    return True


def _remove_cgroup(root: Path) -> None:
    """Remove a tree of cgroups, leaves first; the files in them are the kernel's and go with their folder."""
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
        if error.errno == errno.EBUSY:  # its last process is still being buried
            return False
        raise
    return True
