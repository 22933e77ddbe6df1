"""What the fake HubSpot accepts, refuses and writes into its books."""

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from demo.app.hubspot import FakeHubSpot
from demo.app.hubspot_client import HubSpotAdmin, HubSpotClient, HubSpotError, RateLimited
from tests.demo.processes import Process, eventually, free_port, python

CONTACT = "/crm/v3/objects/contacts/7"
GOOD = {"Authorization": "Bearer secret", "Idempotency-Key": "k", "Content-Type": "application/json"}
BODY: dict[str, Any] = {"properties": {"lastname": "Doe"}}


@pytest.fixture
def hubspot() -> Iterator[FakeHubSpot]:
    with FakeHubSpot(token="secret") as server:
        yield server


def send(server: FakeHubSpot, method: str, path: str, headers: dict[str, str], body: object) -> tuple[int, str]:
    """Send it; returns the status and, of a refusal, the reason."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    request = urllib.request.Request(server.url + path, data=data, method=method, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=5) as response:
            return response.status, ""
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)["message"]


@pytest.mark.parametrize(
    ("method", "path", "headers", "body", "status", "reason"),
    [
        pytest.param("PATCH", "/crm/v3/objects/deals/7", GOOD, BODY, 404, "unknown path", id="another object"),
        pytest.param("PATCH", CONTACT + "x", GOOD, BODY, 404, "unknown path", id="an id that is no number"),
        pytest.param("DELETE", CONTACT, GOOD, BODY, 405, "method not allowed", id="a method that no worker uses"),
        pytest.param(
            *("PATCH", CONTACT, {**GOOD, "Authorization": "Bearer no"}, BODY, 401, "wrong or missing bearer token"),
            id="a wrong token",
        ),
        pytest.param(
            *("PATCH", CONTACT, {"Idempotency-Key": "k"}, BODY, 401, "wrong or missing bearer token"), id="no token"
        ),
        pytest.param(
            *("PATCH", CONTACT, {"Authorization": "Bearer secret"}, BODY, 400, "missing Idempotency-Key"), id="no key"
        ),
        pytest.param("PATCH", CONTACT, GOOD, b"{", 400, "body is not JSON", id="half a body"),
        pytest.param("PATCH", CONTACT, GOOD, [1], 400, "body is not a JSON object", id="a list"),
        pytest.param("PATCH", CONTACT, GOOD, {"properties": {}}, 400, "body has no properties", id="nothing to write"),
        pytest.param(
            *("PATCH", CONTACT, GOOD, {"properties": {"a": 1}}, 400, "a property is not a string"), id="a number"
        ),
    ],
)
def test_a_wrong_call_is_refused_with_its_reason_and_counted(
    hubspot: FakeHubSpot, method: str, path: str, headers: dict[str, str], body: object, status: int, reason: str
) -> None:
    assert send(hubspot, method, path, headers, body) == (status, reason)

    stats = hubspot.stats()
    assert stats.refused == {reason: 1}
    assert (stats.writes, stats.bad_writes) == (0, 0)


def test_writes_are_told_apart_by_key_and_by_what_they_write(hubspot: FakeHubSpot) -> None:
    worker = HubSpotClient(hubspot.url, token="secret", revision="r1", role="canary")
    worker.write_contact("1", {"a": "b"}, idempotency_key="one")
    worker.write_contact("1", {"a": "b"}, idempotency_key="one")
    worker.write_contact("2", {"corrupt": "true"}, idempotency_key="two")
    worker.write_contact("3", {"corrupt": "true"}, idempotency_key="three")
    worker.write_contact("3", {"a": "b"}, idempotency_key="three")

    stats = HubSpotAdmin(hubspot.url).stats()
    assert replace(stats, now=0) == replace(hubspot.stats(), now=0), "the wire loses something"
    assert (stats.writes, stats.distinct_keys, stats.duplicates) == (5, 3, 1)
    assert (stats.bad_writes, stats.repairs, stats.corrupt_contacts) == (2, 1, 1)
    assert stats.revisions["r1"].role == "canary"
    assert stats.revisions["r1"].started == 0, "only a read starts a job"

    HubSpotAdmin(hubspot.url).reset()
    assert hubspot.stats().writes == 0


def test_it_fails_as_asked_for_as_long_as_asked(hubspot: FakeHubSpot) -> None:
    worker = HubSpotClient(hubspot.url, token="secret", revision="r1", role="stable")
    admin = HubSpotAdmin(hubspot.url)

    admin.fail_with(429, seconds=60)
    with pytest.raises(RateLimited):
        worker.read_contact("1")
    admin.fail_with(500, seconds=60)
    with pytest.raises(HubSpotError, match="500"):
        worker.read_contact("1")
    admin.fail_with(500, seconds=0)
    worker.read_contact("1")

    assert hubspot.stats().started == 1


def test_it_fails_one_version_now_and_then_and_counts_what_that_version_starts_afterwards(hubspot: FakeHubSpot) -> None:
    bad, good = (HubSpotClient(hubspot.url, token="secret", revision=name, role="stable") for name in ("bad", "good"))
    admin = HubSpotAdmin(hubspot.url)

    def write(worker: HubSpotClient) -> bool:
        worker.read_contact("1")
        try:
            worker.write_contact("1", {"a": "b"}, idempotency_key="one")
        except HubSpotError:
            return False
        return True

    assert write(bad)
    admin.fail_revision("bad", every=2, seconds=60)
    assert [write(worker) for worker in (bad, good, bad, good, bad, bad)] == [True, True, False, True, True, False]

    stats = admin.stats()
    assert (stats.revisions["bad"].failed, stats.revisions["bad"].started_after_failure) == (2, 2)
    assert stats.revisions["bad"].first_failed is not None
    assert (stats.revisions["good"].failed, stats.revisions["good"].first_failed) == (0, None)
    assert stats.bad_writes == 0

    admin.fail_revision("bad", every=1, seconds=0)
    assert write(bad)


@pytest.mark.parametrize("every", [0, -1, 1.5])
def test_a_share_of_failures_that_it_cannot_count_is_refused(hubspot: FakeHubSpot, every: int) -> None:
    with pytest.raises(HubSpotError, match="400"):
        HubSpotAdmin(hubspot.url).fail_revision("bad", every=every, seconds=1)


def test_a_mode_that_it_does_not_know_is_refused(hubspot: FakeHubSpot) -> None:
    with pytest.raises(HubSpotError, match="400"):
        HubSpotAdmin(hubspot.url).fail_with(302, seconds=1)


def test_the_command_serves_until_sigterm(tmp_path: Path) -> None:
    port = free_port()
    with Process(python("-m", "demo.app.hubspot", "--port", str(port)), output=tmp_path / "log") as server:
        admin = HubSpotAdmin(f"http://127.0.0.1:{port}")
        eventually(lambda: server.output, until=lambda text: "fake HubSpot on" in text, within=10)
        assert admin.stats().writes == 0
        server.terminate()
        assert server.wait(within=10) == 0
