"""Turns for writes that can wait."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from crm_operator.controller.pace import KEPT, Pace
from crm_operator.domain.key import Key

NOW = datetime(2026, 11, 28, tzinfo=UTC)
SECOND = timedelta(seconds=1)
KEYS = [Key("crm", f"i{n}") for n in range(40)]


def write(pace: Pace, key: Key) -> None:
    with pace.writing(key):
        pass


def test_a_few_never_wait() -> None:
    pace = Pace(per_second=10)
    for second in range(5):
        for number, key in enumerate(KEYS[:10]):
            assert pace.wait(key, NOW + (second + number / 10) * SECOND) is None
            write(pace, key)


def test_many_wait_for_turns_in_a_row_and_keep_them() -> None:
    pace = Pace(per_second=10)
    waits = [pace.wait(key, NOW) for key in KEYS]
    assert waits[0] is None
    assert waits[1:] == [number * SECOND / 10 for number in range(1, 40)]
    assert pace.wait(KEYS[20], NOW + SECOND) == SECOND, "asked again earlier, the turn is the same"
    assert pace.wait(KEYS[20], NOW + 2 * SECOND) is None


def test_a_slow_api_server_has_few_wait_for_it() -> None:
    pace = Pace(per_second=10, at_once=2)
    with pace.writing(KEYS[0]), pace.writing(KEYS[1]):
        assert pace.wait(KEYS[2], NOW) == SECOND / 10
    assert pace.wait(KEYS[2], NOW + SECOND / 10) is None


def test_after_a_slow_write_others_have_the_api_server_for_a_while() -> None:
    pace = Pace(per_second=10)
    pace.took(SECOND / 4, NOW)
    assert pace.wait(KEYS[0], NOW + 0.4 * SECOND) == SECOND / 10
    assert pace.wait(KEYS[0], NOW + 0.5 * SECOND) is None
    pace.took(SECOND / 100, NOW + SECOND)
    assert pace.wait(KEYS[1], NOW + 1.05 * SECOND) is None


def test_one_slow_write_does_not_keep_those_who_wait_for_long() -> None:
    """Turns that are handed out while the API server is slow are no further apart than others."""
    pace = Pace(per_second=10)
    pace.took(60 * SECOND, NOW)
    due, written = dict.fromkeys(KEYS, NOW), list[datetime]()
    for tenth in range(200):
        now = NOW + tenth * SECOND / 10
        for key in [key for key, at in due.items() if at <= now]:
            wait = pace.wait(key, now)
            if wait is None:
                write(pace, key)
                written.append(now)
                del due[key]
            else:
                due[key] = now + wait
    assert not due
    assert min(written) >= NOW + SECOND
    assert max(written) <= NOW + 7 * SECOND


def test_those_who_find_others_at_it_do_not_all_ask_again_and_again() -> None:
    pace = Pace(per_second=10, at_once=2)
    with pace.writing(KEYS[0]), pace.writing(KEYS[1]):
        due = dict.fromkeys(KEYS[2:], NOW)
        asked = 0
        for tenth in range(100):
            now = NOW + tenth * SECOND / 10
            for key in [key for key, at in due.items() if at <= now]:
                wait = pace.wait(key, now)
                assert wait is not None
                due[key] = now + wait
                asked += 1
    assert asked <= len(due) + 100, "at first, and then one in each turn"


def test_a_write_that_fails_is_over_too() -> None:
    pace = Pace(at_once=1)
    try:
        with pace.writing(KEYS[0]):
            raise OSError
    except OSError:
        pass
    assert pace.wait(KEYS[1], NOW) is None


def test_turns_that_were_not_taken_are_not_taken_together_later() -> None:
    pace = Pace(per_second=10)
    for key in KEYS:
        pace.wait(key, NOW)
    late = NOW + timedelta(minutes=1) + KEPT
    assert [pace.wait(key, late) for key in KEYS[:3]] == [None, SECOND / 10, 2 * SECOND / 10]


def test_who_is_gone_has_no_turn() -> None:
    pace = Pace(per_second=10)
    pace.wait(KEYS[0], NOW)
    pace.wait(KEYS[1], NOW)
    pace.forget(KEYS[1])
    assert pace.wait(KEYS[1], NOW) == 2 * SECOND / 10, "a namesake waits for its own"


@given(asks=st.lists(st.tuples(st.sampled_from(KEYS), st.integers(min_value=0, max_value=300)), max_size=200))
def test_never_more_than_so_many_a_second_and_nobody_waits_for_ever(asks: Sequence[tuple[Key, int]]) -> None:
    """Whoever is told to wait asks again then, and whenever else it likes."""
    pace = Pace(per_second=10)
    now = NOW
    written: list[datetime] = []
    for key, after in asks:
        now += after * timedelta(milliseconds=1)
        wait = pace.wait(key, now)
        if wait is None:
            write(pace, key)
            written.append(now)
        else:
            assert timedelta(0) < wait <= len(KEYS) * SECOND / 10
    for first, last in zip(written, written[60:], strict=False):
        assert last - first > SECOND, "turns of the last 5 s may be taken late, and no others"
