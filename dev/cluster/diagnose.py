"""Writes down everything that helps to understand a cluster afterwards.

Half an answer beats none: a question that fails leaves its error in place of the answer, and the rest is still written.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from dev.cluster.errors import ClusterError
from dev.cluster.node import pod_logs

if TYPE_CHECKING:
    from dev.cluster.cluster import Cluster

QUESTIONS = {
    "nodes.txt": ("describe", "nodes"),
    "pods.txt": ("get", "pods", "--all-namespaces", "-o", "wide"),
    "events.txt": ("get", "events", "--all-namespaces", "--sort-by=.lastTimestamp"),
    "pods-described.txt": ("describe", "pods", "--all-namespaces"),
    "api-resources.txt": ("api-resources",),
}
# Kinds that tell nothing, or tell what must not be written down.
UNWANTED = {"secrets", "events", "events.events.k8s.io", "componentstatuses"}


def write(cluster: Cluster, into: Path) -> None:
    """Write into the folder `into`, which is made if need be."""
    into.mkdir(parents=True, exist_ok=True)
    _copy(cluster.work / "logs", into / "components")
    _copy(pod_logs(cluster.work), into / "pod-logs")
    _copy(cluster.audit_log, into / "audit.log")
    for file, question in QUESTIONS.items():
        (into / file).write_text(_ask(cluster, *question))
    objects = into / "objects"
    objects.mkdir(exist_ok=True)
    for kind in _listable(cluster):
        (objects / f"{kind}.yaml").write_text(_ask(cluster, "get", kind, "--all-namespaces", "-o", "yaml"))


def _listable(cluster: Cluster) -> list[str]:
    answer = _ask(cluster, "api-resources", "--verbs=list", "-o", "name")
    return [kind for kind in answer.split() if kind not in UNWANTED] if not answer.startswith("(") else []


def _ask(cluster: Cluster, *arguments: str) -> str:
    try:
        return cluster.run_kubectl("--request-timeout=10s", *arguments)
    except (ClusterError, OSError) as error:
        return f"(no answer: {error})\n"


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        try:
            shutil.copytree(source, target, dirs_exist_ok=True, ignore_dangling_symlinks=True)
        except shutil.Error as error:  # the cluster lives on: a log may go while it is copied
            (target / "incomplete.txt").write_text(f"{error}\n")
    elif source.exists():
        shutil.copyfile(source, target)
