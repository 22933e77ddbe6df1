"""Events are posted beside the work: in order, bounded, and lost with a word rather than waited for."""

import asyncio
import logging
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from crm_operator.controller.event_poster import AT_ONCE, EventPoster
from crm_operator.controller.kube import Object, Unavailable
from crm_operator.controller.resources import EVENTS, Resource
from crm_operator.domain.plan import EmitEvent
from tests.controller.virtual import run

NOW = datetime(2026, 11, 28, 12, 30, tzinfo=UTC)
HUBSPOT: Object = {"metadata": {"namespace": "crm", "name": "hubspot", "uid": "u1"}}


class Server:
    """Takes Events, each in `takes` seconds; an Event of reason Refused it does not."""

    def __init__(self, takes: float = 1.0) -> None:
        self.takes = takes
        self.posted: list[dict[str, Any]] = []
        self.open = self.most_open = 0

    async def create(self, resource: Resource, namespace: str, body: Object) -> Object:
        assert (resource, namespace) == (EVENTS, "crm")
        self.open += 1
        self.most_open = max(self.open, self.most_open)
        await asyncio.sleep(self.takes)
        self.open -= 1
        if body["reason"] == "Refused":
            raise Unavailable("not now")
        self.posted.append(body)
        return body


def an_event(reason: str) -> EmitEvent:
    return EmitEvent(type="Normal", reason=reason, message="3 -> 5")


def posting(server: Server, *reasons: str, most: int = 10, may_write: bool = True) -> None:
    """Add Events of these reasons, give the poster 30 seconds, end."""

    async def main() -> None:
        poster = EventPoster(kube=server, identity="me", may_write=lambda: may_write, most=most)
        work = asyncio.create_task(poster.run())
        for reason in reasons:
            poster.add(HUBSPOT, an_event(reason), NOW)
        await poster.finish(timedelta(seconds=30))
        work.cancel()

    run(main())


def test_all_are_posted_in_order_and_few_at_a_time() -> None:
    server = Server()
    reasons = [f"R{number}" for number in range(9)]
    posting(server, *reasons)
    assert [body["reason"] for body in server.posted] == reasons
    assert server.most_open == AT_ONCE


def test_an_event_tells_of_what_and_when_it_was_decided() -> None:
    server = Server()
    posting(server, "Scaled")
    (body,) = server.posted
    assert body["regarding"]["uid"] == "u1"
    assert body["eventTime"] == "2026-11-28T12:30:00.000000Z"
    assert (body["type"], body["note"], body["reportingInstance"]) == ("Normal", "3 -> 5", "me")


def test_one_that_is_refused_is_logged_and_the_next_is_posted(caplog: pytest.LogCaptureFixture) -> None:
    server = Server()
    with caplog.at_level(logging.WARNING):
        posting(server, "Refused", "Next")
    assert [body["reason"] for body in server.posted] == ["Next"]
    assert [record.__dict__["event"] for record in caplog.records] == ["Refused"]


def test_too_many_are_lost_with_a_word(caplog: pytest.LogCaptureFixture) -> None:
    server = Server()
    with caplog.at_level(logging.WARNING):
        posting(server, "R0", "R1", "R2", "R3", "R4", most=3)
    assert [body["reason"] for body in server.posted] == ["R0", "R1", "R2"]
    assert [record.__dict__["event"] for record in caplog.records] == ["R3", "R4"]


def test_the_end_does_not_wait_for_ever(caplog: pytest.LogCaptureFixture) -> None:
    server = Server(takes=100.0)
    with caplog.at_level(logging.WARNING):
        posting(server, *["Scaled"] * 5)
    assert server.posted == []
    assert "Events are lost at the end" in caplog.text


def test_who_does_not_hold_the_lease_posts_nothing() -> None:
    server = Server()
    posting(server, "Scaled", may_write=False)
    assert server.most_open == 0
