"""How many jobs each worker pod works on, from its newest good scrape. Pure; fed by `sources/pods`.

Dramatiq's gauge counts the jobs that have begun, over all processes of the pod, and not those fetched ahead. It has no
series before a pod's first job. So a pod that shows none works on nothing where another of its revision shows one, and
is not known where none does: those workers may lack Dramatiq's Prometheus middleware.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from crm_operator.domain.scraped import METRIC_MISSING, Scrape
from crm_operator.domain.world import Unknown

#: Jobs that a pod works on, by queue and actor.
IN_PROGRESS_METRIC = "dramatiq_messages_inprogress"


class InProgress(NamedTuple):
    """What one pod works on."""

    jobs: int  # >= 0
    at: datetime  # when it was read


@dataclass(frozen=True, slots=True)
class _Pod:
    revision: str
    jobs: int | None  # None: it shows no gauge
    at: datetime


class BusyPods:
    """The pods of one integration, by uid."""

    def __init__(self) -> None:
        self._pods: dict[str, _Pod] = {}

    def keep(self, uids: Collection[str]) -> None:
        """Forget all other pods."""
        self._pods = {uid: pod for uid, pod in self._pods.items() if uid in uids}

    def record(self, uid: str, revision: str, scrape: Scrape | Unknown, at: datetime) -> None:
        """What a pod answered at `at`. A failed scrape leaves what was known to grow old; nonsense undoes it."""
        if isinstance(scrape, Unknown):
            return
        sample = scrape[IN_PROGRESS_METRIC]
        total = sample if isinstance(sample, Unknown) else sample.total
        if not isinstance(total, Unknown):
            self._pods[uid] = _Pod(revision, round(min(total, 2.0**53)), at)
        elif total.reason == METRIC_MISSING:
            self._pods[uid] = _Pod(revision, None, at)
        else:
            self._pods.pop(uid, None)

    def jobs(self, *, since: datetime) -> dict[str, InProgress]:
        """Jobs in progress by uid, of pods that were read at `since` or later."""
        shown = {pod.revision for pod in self._pods.values() if pod.jobs is not None}
        return {
            uid: InProgress(pod.jobs or 0, pod.at)
            for uid, pod in self._pods.items()
            if pod.at >= since and (pod.jobs is not None or pod.revision in shown)
        }
