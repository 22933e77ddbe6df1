"""When a plan that can wait is carried out: a few a second over all integrations, and never many at once.

Writes that can wait are live numbers, whose budget `live_turns` keeps, fewer workers, which only save, and Deployments
applied once more after a restart. Of a thousand integrations they would be so many that decisions stood in line behind
them, at the API server and here. So each gets a turn; until then it goes on deciding, and a decision that is written
meanwhile takes the numbers along. Who needs more workers goes first. Few integrations never wait.

Used by `loop`; times are arguments.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta

from crm_operator.domain.key import Key

#: Turns a second. One costs the API server about 15 ms of CPU: all, a third of a core.
PER_SECOND = 20
#: Writes under way: a slow API server must not have all workers wait for it.
AT_ONCE = 2
#: After a write nobody writes for so many times what it took, and no longer than this: an API server that is slow has
#: work that cannot wait.
REST, LONGEST_REST = 2, timedelta(seconds=1)
#: A turn that was not taken for this long is lost: those who come late together must not write together.
KEPT = timedelta(seconds=5)


class Pace:
    """Hands out turns."""

    def __init__(self, *, per_second: float = PER_SECOND, at_once: int = AT_ONCE) -> None:
        self._apart = timedelta(seconds=1) / per_second
        self._at_once = at_once
        self._next: datetime | None = None
        self._turns: dict[Key, datetime] = {}
        self._writing = 0
        self._rests_until: datetime | None = None

    def wait(self, key: Key, now: datetime) -> timedelta | None:
        """How long until `key` may write; None: now. Ask again then, or earlier."""
        rests = self._rests_until is not None and now < self._rests_until
        crowded = rests or self._writing >= self._at_once
        turn = self._turns.get(key)
        # Whoever finds others at it gets another turn: to ask again and again would cost more than the write.
        if turn is None or now - turn > KEPT or (crowded and turn <= now):
            earliest = now + self._apart if crowded else now
            turn = self._turns[key] = earliest if self._next is None else max(earliest, self._next)
            self._next = turn + self._apart
        return turn - now if turn > now else None

    @contextmanager
    def writing(self, key: Key) -> Iterator[None]:
        """Around the write of whoever need not wait: its turn is taken."""
        self.forget(key)
        self._writing += 1
        try:
            yield
        finally:
            self._writing -= 1

    def took(self, time: timedelta, now: datetime) -> None:
        """A write took so long and has ended now. Turns are as before; who asks during the rest gets another one."""
        self._rests_until = now + min(REST * time, LONGEST_REST)

    def forget(self, key: Key) -> None:
        """It has nothing to write any more."""
        self._turns.pop(key, None)
