"""How often pods are scraped: most often those whose errors are damage that can be stopped.

Knows no clock and does no I/O. Used by `metric_sources` on every look.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

from crm_operator.domain.key import Key
from crm_operator.sources.pods import PodTarget

#: While a version is on trial, all workers are scraped at least this often ...
TRIAL_INTERVAL = timedelta(seconds=1)
#: ... and those that run one, of all integrations, as often as this many scrapes allow in that time: seconds of a bad
#: version are jobs done wrong, and a scrape with the look that follows costs the operator some milliseconds of CPU.
TRIAL_SCRAPES = 80
#: No oftener than this. All workers, while a version fails and nobody can be blamed yet, or while a Deployment waits
#: for who should go.
CLOSE_INTERVAL = timedelta(milliseconds=250)


class ScrapePace:
    """Of all integrations, which share the scrapes."""

    def __init__(self) -> None:
        self._judged: dict[Key, int] = {}  # pods that run a version on trial, of integrations that have such

    def forget(self, key: Key) -> None:
        """The integration is gone, or its pods are not scraped."""
        self._judged.pop(key, None)

    def paced(
        self,
        key: Key,
        targets: Sequence[PodTarget],
        *,
        asked: timedelta,
        on_trial: bool,
        candidate: str | None,
        closely: bool,
    ) -> tuple[timedelta, tuple[PodTarget, ...]]:
        """The time between rounds of scrapes, and `targets` with the rounds in which each is scraped.

        `asked` is the spec's interval, which nothing here exceeds; `candidate` is the revision that may fail.
        One pod of it -> every 0.25 s; with 40 in all integrations together 0.5 s, from 80 on 1 s. Others every second.
        """
        judged = sum(target.revision == candidate for target in targets) if on_trial else 0
        if judged:
            self._judged[key] = judged
        else:
            self.forget(key)
        usual = min(asked, TRIAL_INTERVAL) if on_trial else asked
        if closely:
            return min(usual, CLOSE_INTERVAL), tuple(targets)
        if not judged:
            return usual, tuple(targets)
        quick = min(usual, max(CLOSE_INTERVAL, sum(self._judged.values()) * TRIAL_INTERVAL / TRIAL_SCRAPES))
        every = max(1, round(usual / quick))
        return quick, tuple(
            target if target.revision == candidate else replace(target, every=every) for target in targets
        )
