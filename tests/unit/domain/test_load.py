"""What scaling remembers between two looks."""

import dataclasses
from datetime import timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from crm_operator.domain.arrivals import Arrivals
from crm_operator.domain.load import LoadMemory
from crm_operator.domain.scaling import demand, size, whole
from crm_operator.domain.world import Load, QueueView, World
from tests.unit.domain.builders import NOW, SECOND, a_queue, a_reading, a_spec, a_status, a_workload, a_world, an_outage


def look(memory: LoadMemory, second: int, waiting: int | None, *, good_for: int = 3600, **parts: Any) -> World:
    now = NOW + second * SECOND
    queue = an_outage() if waiting is None else a_queue(waiting, good_for=good_for, now=now)
    world = a_world(now=now, queue=queue, **parts)
    return dataclasses.replace(world, load=memory.notice(world))


def test_the_largest_need_of_scale_down_after_is_held_and_then_left() -> None:
    memory = LoadMemory()
    sizes = [
        size(look(memory, second, waiting)).replicas for second, waiting in [(0, 150), (1, 40), (20, 40), (21, 40)]
    ]
    assert sizes == [15, 15, 15, 4]


def test_a_need_lasts_until_the_next_look_however_late_it_comes() -> None:
    memory = LoadMemory()
    assert size(look(memory, 0, 150)).replicas == 15
    assert size(look(memory, 3600, 0)).replicas == 15
    assert size(look(memory, 3620, 0)).replicas == 0


def test_it_says_when_the_peak_leaves() -> None:
    memory = LoadMemory()
    assert look(memory, 0, 150).load.look_again is None
    look(memory, 100, 40, stable=a_workload(0))
    assert look(memory, 118, 40, stable=a_workload(0)).load.look_again == NOW + 120 * SECOND


BY_RATE = a_spec(scaling={"maxReplicas": 20, "scaleDownAfter": "20s", "jobDuration": "1s"})


def test_a_rate_that_no_size_depends_on_is_not_looked_at_again() -> None:
    memory = LoadMemory()
    look(memory, 0, 0)
    assert look(memory, 1, 20).load.look_again is None


def busy_from(second: int, threads: int) -> World:
    """Of a queue whose jobs are worked on at once, looked at `second` after NOW: what runs is all there is."""
    reading = a_reading(0, running=threads, at=NOW + SECOND)
    world = a_world(now=NOW + second * SECOND, spec=BY_RATE, stable=a_workload(20))
    return dataclasses.replace(world, queue=dataclasses.replace(a_queue(0), latest=reading))


def test_a_rate_that_still_moves_is_looked_at_again_until_it_stays() -> None:
    memory = LoadMemory()
    look(memory, 0, 0, spec=BY_RATE)
    rates, looks, second = [], [], 1
    while True:
        load = memory.notice(busy_from(second, 20))
        rates.append(load.arrival_rate)
        looks.append(second)
        if load.look_again is None:
            break
        second = round((load.look_again - NOW).total_seconds())
    assert (rates[0], rates[-1]) == (0, 20)
    assert looks[-1] <= 80, "about the last minute is all that counts"
    assert len(looks) < 30, "not every second"


@given(st.lists(st.tuples(st.integers(0, 12), st.integers(0, 40)), min_size=1, max_size=8))
def test_looks_ahead_miss_no_change_of_the_needed_number(steps: list[tuple[int, int]]) -> None:
    """Whoever looks every second needs what one needs who looks at changes, and when it was told to look again."""
    eager, lazy = LoadMemory(), LoadMemory()
    second, due, needed = 0, NOW, 0
    for lasts, threads in steps:
        reading = a_reading(0, running=threads, at=NOW + second * SECOND)
        changed = True
        for _ in range(lasts + 1):
            now = NOW + second * SECOND
            world = dataclasses.replace(busy_from(second, threads), queue=QueueView(latest=reading, good_since=NOW))
            rate = eager.notice(world).arrival_rate
            assert rate is not None
            if changed or now >= due:
                load = lazy.notice(world)
                due = load.look_again or NOW + timedelta(days=1)
                needed = whole(demand(world, reading)(load.arrival_rate or 0.0).workers)
                changed = False
            assert needed == whole(demand(world, reading)(rate).workers)
            second += 1


def test_after_the_last_job_nobody_looks_again_for_long() -> None:
    arrivals = Arrivals()
    for second in range(100):
        arrivals.record(backlog=20, busy=20, at=NOW + second * SECOND)
    arrivals.record(backlog=0, busy=0, at=NOW + 100 * SECOND)
    assert not arrivals.settled(job=SECOND, now=NOW + 106 * SECOND)
    for second in range(107, 200):
        now = NOW + second * SECOND
        assert arrivals.settled(job=SECOND, now=now)
        assert arrivals.rate(job=SECOND, now=now) == 0


def test_an_unread_queue_says_nothing_and_a_gap_begins_the_rate_anew() -> None:
    memory = LoadMemory()
    for second in range(30):
        look(memory, second, 100 * second)
    assert look(memory, 30, None).load == Load()
    # The broker is back, and what it holds now was not "growth".
    back = look(memory, 31, 50_000, good_for=0)
    assert back.load.arrival_rate == 0


def test_a_restart_in_a_steady_load_goes_on_at_once() -> None:
    """What was before the first reading is taken to have been alike."""
    arrivals = Arrivals()
    arrivals.record(backlog=40, busy=35, at=NOW)
    assert arrivals.rate(job=SECOND, now=NOW) == 35


def test_a_restart_goes_nowhere_before_the_window_is_full() -> None:
    memory = LoadMemory()
    world = look(memory, 0, 0, good_for=0, status=a_status(desired=10))
    assert size(world).replicas == 10


@given(
    st.lists(st.tuples(st.integers(1, 5), st.integers(0, 1000), st.integers(0, 1000)), max_size=60),
    st.integers(1, 100),
)
def test_a_rate_is_never_negative_and_bounded_by_what_is_finished_or_grew(
    readings: list[tuple[int, int, int]], job: int
) -> None:
    arrivals, second = Arrivals(), 0
    for pause, waiting, busy in readings:
        second += pause
        arrivals.record(backlog=waiting + busy, busy=busy, at=NOW + second * SECOND)
        rate = arrivals.rate(job=job * SECOND, now=NOW + second * SECOND)
        finished = 1000 / job
        assert 0 <= rate <= max(2 * finished, finished + 2000 / 60) + 1e-6, "the backlog grew by 2000 at most"


def test_it_stays_small() -> None:
    arrivals = Arrivals()
    for second in range(1000):
        arrivals.record(backlog=second, busy=second % 7, at=NOW + second * SECOND / 10)
    assert arrivals.remembered <= 128
