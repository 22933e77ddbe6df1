"""Logs are a constant message and named values."""

import io
import json
import logging
from collections.abc import Iterator
from typing import Literal

import pytest

from crm_operator.controller import logs


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def lines(form: Literal["json", "plain"]) -> io.StringIO:
    stream = io.StringIO()
    logs.configure("INFO", form, stream)
    return stream


def test_a_json_line_has_the_message_and_the_values() -> None:
    out = lines("json")
    logging.getLogger("crm_operator.x").info("Rolling back", extra={"integration": "crm/hubspot", "step": 2})
    line = json.loads(out.getvalue())
    assert line.pop("time").endswith("Z")
    assert line == {
        "level": "info",
        "logger": "crm_operator.x",
        "message": "Rolling back",
        "integration": "crm/hubspot",
        "step": 2,
    }


def test_an_exception_is_one_line_of_json() -> None:
    out = lines("json")
    try:
        raise RuntimeError("boom")
    except RuntimeError:
        logging.getLogger("crm_operator").exception("Failed")
    assert len(out.getvalue().splitlines()) == 1
    assert "RuntimeError: boom" in json.loads(out.getvalue())["exception"]


def test_plain_text_quotes_what_has_spaces() -> None:
    out = lines("plain")
    logging.getLogger("crm_operator").warning(
        "Held", extra={"integration": "crm/zoho", "reason": "no reading: timeout"}
    )
    assert out.getvalue().split(" ", 1)[1] == 'WARNING Held  integration=crm/zoho reason="no reading: timeout"\n'


def test_kopfs_endless_retries_are_told_once_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    out = lines("plain")
    kopf, ours = logging.getLogger("kopf._cogs.clients.api"), logging.getLogger("crm_operator")
    for n in range(100):
        kopf.error(f"Request attempt #{n} failed; will retry: GET https://host/x?resourceVersion={n}")
        ours.info("Mine")
        kopf.info("Handler succeeded.")
        now += 1.0
    assert out.getvalue().count("Request attempt") == 2
    assert out.getvalue().count("Mine") == 100
    assert "Handler" not in out.getvalue()
