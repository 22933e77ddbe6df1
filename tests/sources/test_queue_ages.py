"""The age of the oldest waiting job: honest about requeued and delayed jobs, wrong clocks and unknown encoders."""

import json
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from dramatiq import PickleEncoder
from hypothesis import given
from hypothesis import strategies as st

from crm_operator.sources.queues.layout import enqueued_at, eta_of
from tests.redisserver import RedisServer
from tests.sources.conftest import now, running
from tests.sources.desk import KEY, Desk, a_source
from tests.sources.shop import Shop

MINUTE = timedelta(minutes=1)
CLOSE = timedelta(seconds=5)


def _message(age: timedelta, *, retried: timedelta | None = None) -> bytes:
    """The fields of Dramatiq's JSON that tell a time."""
    options: dict[str, Any] = {"redis_message_id": "x"}
    if retried is not None:
        options["requeue_timestamp"] = _ms(now() - retried)
    return json.dumps({"message_timestamp": _ms(now() - age), "options": options}).encode()


def _ms(at: datetime) -> int:
    return int(at.timestamp() * 1000)


def _push(server: RedisServer, *bodies: bytes, queue: str = "sync") -> None:
    with server.client() as client:
        for body in bodies:
            id_ = f"{queue}-{client.llen(f'test:{queue}')}"
            client.hset(f"test:{queue}.msgs", id_, body)
            client.rpush(f"test:{queue}", id_)


PICKLED = b"\x80\x04pickle"


@pytest.mark.parametrize(
    ("bodies", "age"),
    [
        pytest.param(lambda: [_message(3 * MINUTE), _message(MINUTE)], 3 * MINUTE, id="the head is oldest"),
        pytest.param(lambda: [_message(MINUTE), _message(9 * MINUTE)], 9 * MINUTE, id="a requeued job is at the tail"),
        pytest.param(lambda: [_message(9 * MINUTE, retried=MINUTE)], MINUTE, id="a retry waits since the retry"),
        pytest.param(lambda: [_message(-9 * MINUTE)], timedelta(0), id="a producer's clock ahead"),
        pytest.param(lambda: [PICKLED], None, id="another encoder"),
        pytest.param(lambda: [PICKLED, _message(MINUTE)], None, id="another encoder at the head"),
        pytest.param(lambda: [_message(MINUTE), PICKLED], None, id="another encoder at the tail"),
        pytest.param(lambda: [b'{"message_timestamp": "soon"}'], None, id="no number"),
        pytest.param(lambda: [b'{"message_timestamp": 1e300}'], None, id="no time"),
        pytest.param(lambda: [_message(MINUTE) + b" " * 100_000], None, id="too large to be fetched for this"),
    ],
)
async def test_age_of_the_oldest(
    redis_server: RedisServer, bodies: Callable[[], list[bytes]], age: timedelta | None
) -> None:
    messages = bodies()
    _push(redis_server, *messages)
    desk = Desk()
    desk.hub.watch(KEY, a_source(redis_server))
    async with running(desk.hub):
        reading = await desk.reading()
    assert reading.waiting == len(messages)
    if age is None:
        assert reading.oldest_age is None
    else:
        assert reading.oldest_age is not None
        assert age <= reading.oldest_age < age + CLOSE


async def test_one_queue_that_does_not_tell_makes_the_age_of_all_unknown(redis_server: RedisServer) -> None:
    _push(redis_server, _message(MINUTE), queue="a")
    _push(redis_server, PICKLED, queue="b")
    desk = Desk()
    desk.hub.watch(KEY, a_source(redis_server, "a", "b", "empty"))
    async with running(desk.hub):
        reading = await desk.reading()
    assert (reading.waiting, reading.oldest_age) == (2, None)


async def test_a_job_that_was_delayed_waits_since_it_is_due_and_not_since_it_was_sent(
    redis_server: RedisServer,
) -> None:
    """Its message has only the time when it was sent; but a moment ago the queue was empty."""
    desk = Desk()
    desk.hub.watch(KEY, a_source(redis_server))
    async with running(desk.hub):
        assert (await desk.reading()).oldest_age is None
        _push(redis_server, _message(60 * MINUTE))
        age = (await desk.reading()).oldest_age
    assert age is not None
    assert timedelta(0) <= age < CLOSE


async def test_a_wrong_clock_of_the_producer_does_not_keep_a_job_young(redis_server: RedisServer) -> None:
    late = timedelta(0)
    desk = Desk(clock=lambda: now() + late)
    _push(redis_server, _message(-60 * MINUTE))
    desk.hub.watch(KEY, a_source(redis_server))
    async with running(desk.hub):
        first = (await desk.reading()).oldest_age
        assert first is not None
        assert timedelta(0) <= first < CLOSE
        late = MINUTE
        age = (await desk.reading()).oldest_age
    assert age is not None
    assert MINUTE <= age < MINUTE + CLOSE


async def test_messages_of_dramatiqs_pickle_encoder_have_no_age_and_are_due(
    redis_server: RedisServer, shop: Shop
) -> None:
    """They may be anything: unknown, not zero; and a worker is rather started than missing."""
    encode = PickleEncoder().encode
    with redis_server.client() as client:
        client.rpush("test:sync", "a")
        client.hset("test:sync.msgs", "a", encode(shop.sync.message().asdict()))
        client.hset("test:sync.DQ.msgs", "b", encode(shop.sync.message().asdict()))
    desk = Desk()
    desk.hub.watch(KEY, a_source(redis_server))
    async with running(desk.hub):
        reading = await desk.reading()
    assert (reading.waiting, reading.delayed, reading.due, reading.oldest_age) == (1, 1, 1, None)


@given(st.one_of(st.binary(), st.text().map(str.encode), st.none(), st.integers()))
def test_whatever_a_message_is_it_is_read_or_unknown(body: object) -> None:
    assert enqueued_at(body) is None or isinstance(body, bytes)
    assert eta_of(body) >= 0 or isinstance(body, bytes)


_JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(), lambda inner: st.lists(inner, max_size=3)
)


@given(timestamp=_JSON, options=st.one_of(_JSON, st.fixed_dictionaries({"eta": _JSON, "requeue_timestamp": _JSON})))
def test_whatever_json_a_message_is_it_gives_a_time_or_none(timestamp: object, options: object) -> None:
    body = json.dumps({"message_timestamp": timestamp, "options": options}).encode()
    since, eta = enqueued_at(body), eta_of(body)
    assert since is None or abs(since) < 1e11
    assert abs(eta) < 1e11
