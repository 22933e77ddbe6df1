"""The budget of statuses that hold nothing but live numbers."""

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest

from crm_operator.controller.live_turns import ASK_AGAIN, IN_A_ROW, LONGEST, LiveTurns
from crm_operator.domain.key import Key
from crm_operator.domain.report import LIVE_INTERVAL

NOW = datetime(2026, 11, 28, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def keys(count: int) -> list[Key]:
    return [Key("crm", f"i{n}") for n in range(count)]


def written(wanting: Sequence[Key], *, span: timedelta, of: int | None = None) -> list[tuple[datetime, Key]]:
    """Who wrote and when: each of `wanting` has new numbers all the time, and asks when it was told to."""
    turns, due, result = LiveTurns(), dict.fromkeys(wanting, NOW), list[tuple[datetime, Key]]()
    now = NOW
    while now < NOW + span:
        for key in [key for key, at in due.items() if at <= now]:
            wait = turns.wait(key, now, of=of or len(wanting))
            if wait is None:
                turns.took(key)
                result.append((now, key))
                wait = LIVE_INTERVAL
            due[key] = now + wait
        now += SECOND / 10
    return result


def gaps(writes: Sequence[tuple[datetime, Key]], *, after: datetime) -> list[timedelta]:
    """Between two writes of one integration, from a time on."""
    last, result = dict[Key, datetime](), list[timedelta]()
    for at, key in writes:
        if key in last and last[key] >= after:
            result.append(at - last[key])
        last[key] = at
    return result


def test_a_few_never_wait() -> None:
    writes = written(keys(IN_A_ROW), span=timedelta(minutes=5))
    assert set(gaps(writes, after=NOW)) == {LIVE_INTERVAL}


def test_fifty_share_twenty_five_writes_a_minute_and_each_has_its_turn() -> None:
    writes = written(keys(50), span=timedelta(minutes=30))
    for minute in range(1, 29):
        since = NOW + timedelta(minutes=minute)
        assert len([at for at, _ in writes if since <= at < since + timedelta(minutes=1)]) <= 26
    each = Counter(key for _, key in writes)
    assert max(each.values()) - min(each.values()) <= 1
    assert max(gaps(writes, after=NOW + LONGEST)) <= LONGEST + LIVE_INTERVAL


def test_a_thousand_wait_no_longer_for_being_many() -> None:
    writes = written(keys(1000), span=timedelta(minutes=6))
    assert len({key for _, key in writes}) == 1000
    assert max(gaps(writes, after=NOW + LONGEST)) <= LONGEST + LIVE_INTERVAL


def test_of_a_thousand_a_few_that_change_do_not_wait() -> None:
    writes = written(keys(20), span=timedelta(minutes=5), of=1000)
    assert max(gaps(writes, after=NOW + LIVE_INTERVAL)) <= LIVE_INTERVAL + SECOND


def test_the_first_in_line_is_the_first_to_write() -> None:
    turns, line = LiveTurns(), keys(IN_A_ROW + 2)
    for key in line[:IN_A_ROW]:
        assert turns.wait(key, NOW, of=60) is None
        turns.took(key)
    first, second = line[IN_A_ROW:]
    waits = turns.wait(first, NOW, of=60), turns.wait(second, NOW, of=60)
    assert waits == (2 * SECOND, 4 * SECOND)
    assert turns.wait(second, NOW + 2.5 * SECOND, of=60) == 1.5 * SECOND
    assert turns.wait(first, NOW + 2.5 * SECOND, of=60) is None


def test_who_has_nothing_left_to_write_makes_room() -> None:
    turns, line = LiveTurns(), keys(IN_A_ROW + 2)
    for key in line[:IN_A_ROW]:
        turns.took(key)
    first, second = line[IN_A_ROW:]
    turns.wait(first, NOW, of=60), turns.wait(second, NOW, of=60)
    turns.forget(first)
    assert turns.wait(second, NOW + 2 * SECOND, of=60) is None


def test_a_long_line_is_asked_again_in_time() -> None:
    turns = LiveTurns()
    waits = [turns.wait(key, NOW, of=50) for key in keys(50)]
    assert waits[-1] == ASK_AGAIN


@pytest.mark.parametrize("back", [timedelta(seconds=1), timedelta(hours=1)])
def test_a_clock_that_is_set_back_takes_no_turns(back: timedelta) -> None:
    turns, (key, *_) = LiveTurns(), keys(1)
    assert turns.wait(key, NOW, of=1) is None
    assert turns.wait(key, NOW - back, of=1) is None


def test_who_stopped_asking_does_not_stand_in_the_way_for_ever() -> None:
    turns, line = LiveTurns(), keys(2 * IN_A_ROW)
    for key in line[:IN_A_ROW]:
        turns.took(key)
    silent, asking = line[IN_A_ROW:-1], line[-1]
    for key in silent:
        turns.wait(key, NOW, of=50)
    now, wait = NOW, turns.wait(asking, NOW, of=50)
    while wait is not None and now < NOW + 5 * ASK_AGAIN:
        now += wait
        wait = turns.wait(asking, now, of=50)
    assert wait is None
