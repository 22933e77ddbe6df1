"""Whose live numbers are written now: a few statuses a minute over all integrations, whoever waited longest first.

Numbers that nobody decided anything in are for people who look, and each write is work for the API server, for etcd and
for all who watch. A few integrations write theirs as soon as `report.LIVE_INTERVAL` lets them. Many share a budget, so
that fifty releases on trial cost no more requests than a handful. A decision is written at once, whatever is spent
here, and takes the numbers along.

Used by `loop`; times are arguments.
"""

from datetime import datetime, timedelta

from crm_operator.domain.key import Key
from crm_operator.domain.report import LIVE_INTERVAL

#: Between two writes when many wait: 25 a minute. With the lease's 30 that is less than a request a second.
APART = timedelta(seconds=2.4)
#: Nobody waits longer because there are many: from 50 integrations on they are written more often instead.
LONGEST = timedelta(minutes=2)
#: So many may be written in a row after a pause. As many integrations never wait: each asks after the interval again.
IN_A_ROW = LIVE_INTERVAL // APART
#: The first of those that wait may have left, so the time until the turn is a guess: ask again at least this often.
ASK_AGAIN = timedelta(minutes=1)


class LiveTurns:
    """A bucket of turns, and the line of those that wait for one."""

    def __init__(self) -> None:
        self._line: dict[Key, datetime] = {}  # and when each asked last
        self._turns: float = IN_A_ROW
        self._filled_at: datetime | None = None

    def wait(self, key: Key, now: datetime, *, of: int) -> timedelta | None:
        """How long until `key` may write, roughly; None: now. `of` is the number of all integrations (> 0).

        Whoever asks stands in line until `took` or `forget`.
        """
        apart = min(APART, LONGEST / of)
        if self._filled_at is not None:
            self._turns = min(IN_A_ROW, self._turns + max(now - self._filled_at, timedelta()) / apart)
        self._filled_at = now
        self._line[key] = now
        while now - self._line[first := next(iter(self._line))] > 2 * ASK_AGAIN:
            del self._line[first]  # it stopped asking, and must not stand before the others for ever
        lacking = list(self._line).index(key) + 1 - self._turns
        return None if lacking <= 0 else min(lacking * apart, ASK_AGAIN)

    def took(self, key: Key) -> None:
        """`key` writes, in a turn that it was given."""
        self.forget(key)
        self._turns -= 1

    def forget(self, key: Key) -> None:
        """It has nothing to write any more."""
        self._line.pop(key, None)
