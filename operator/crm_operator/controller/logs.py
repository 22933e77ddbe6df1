"""Logs for whoever runs the operator: a constant message and named values, as JSON lines or as plain text.

`log.info("Rolling back", extra={"integration": "crm/hubspot", "reason": "..."})`. A user who must read one to learn
what happens to a resource has found a gap in its status. Secrets are kept out where they live (they are never in
messages, values or exceptions), not filtered out here.
"""

import json
import logging
import re
import sys
import time
from typing import IO, Literal

#: Attributes that every record has; all others were named by the caller.
_OWN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
#: Kopf puts these on its records: the whole object among them.
_FOREIGN = frozenset({"settings", "k8s_skip", "k8s_ref"})

REPEAT_AFTER = 60.0  # seconds


class JsonFormatter(logging.Formatter):
    """One object a line: time, level, logger, message, then the values."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": _utc(record.created),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **values(record),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str, ensure_ascii=False)


class PlainFormatter(logging.Formatter):
    """`12:00:00.123 INFO  Rolling back  integration=crm/hubspot reason="..."`."""

    def format(self, record: logging.LogRecord) -> str:
        pairs = "".join(f" {name}={_quoted(value)}" for name, value in values(record).items())
        line = f"{_utc(record.created)[11:23]} {record.levelname:<7} {record.getMessage()}{' ' if pairs else ''}{pairs}"
        if record.exc_info:
            line += "\n" + self.formatException(record.exc_info)
        return line


class NotAgain(logging.Filter):
    """Lets a message of another's library through once a minute, however often its numbers change.

    Kopf retries for ever by our settings, and says so each time.
    """

    def __init__(self) -> None:
        super().__init__()
        self._said: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        text = re.sub(r"\d+", "#", record.getMessage())[:200]
        now = time.monotonic()
        if now - self._said.get(text, -REPEAT_AFTER) < REPEAT_AFTER:
            return False
        if len(self._said) > 1000:
            self._said.clear()
        self._said[text] = now
        return True


def configure(level: str = "INFO", form: Literal["json", "plain"] = "json", stream: IO[str] | None = None) -> None:
    """Set up logging for the process; called once, by `main.py`. `stream` None: stderr."""
    handler = logging.StreamHandler(stream if stream is not None else sys.stderr)
    handler.setFormatter(JsonFormatter() if form == "json" else PlainFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    # Kopf tells of every event and every login; what it does matters to us only when it fails.
    quiet = logging.WARNING if level.upper() != "DEBUG" else logging.INFO
    once = NotAgain()
    handler.addFilter(lambda record: not record.name.startswith("kopf") or once.filter(record))
    for name in ("kopf", "aiohttp", "httpx", "httpcore", "asyncio", "kubernetes"):
        logging.getLogger(name).setLevel(quiet)
    # It warns at each start that it leaves the signals to us, which is how we run it.
    logging.getLogger("kopf._core.reactor.running").setLevel(logging.ERROR)


def values(record: logging.LogRecord) -> dict[str, object]:
    """What the caller named in `extra`."""
    return {k: v for k, v in vars(record).items() if k not in _OWN and k not in _FOREIGN}


def _utc(seconds: float) -> str:
    whole, milliseconds = divmod(int(seconds * 1000), 1000)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(whole)) + f".{milliseconds:03d}Z"


def _quoted(value: object) -> str:
    text = str(value)
    return text if re.fullmatch(r"[^\s\"=]+", text) else json.dumps(text, ensure_ascii=False)
