"""Durations as Kubernetes users write them: `400ms`, `90s`, `5m`, `1h30m`."""

import re
from datetime import timedelta
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, PlainSerializer, WithJsonSchema

from crm_operator.api.base import cel, rules

#: The grammar, also in the CRD's schema. Units in falling order, no fractions, no sign; it lets "" pass.
PATTERN = "^([0-9]{1,6}h)?([0-9]{1,6}m)?([0-9]{1,6}s)?([0-9]{1,6}ms)?$"

_PARTS = re.compile("(?:([0-9]{1,6})h)?(?:([0-9]{1,6})m)?(?:([0-9]{1,6})s)?(?:([0-9]{1,6})ms)?")


def parse(text: str) -> timedelta:
    """Read `1h30m`, `90s` or `400ms`.

    Raises ValueError, naming the value and the remedy, for anything else (also for the empty string).
    """
    match = _PARTS.fullmatch(text)
    if not text or match is None:
        raise ValueError(f"{text!r} is not a duration; write it like 400ms, 90s, 5m or 1h30m")
    hours, minutes, seconds, millis = (int(part or 0) for part in match.groups())
    return timedelta(hours=hours, minutes=minutes, seconds=seconds, milliseconds=millis)


def render(value: timedelta) -> str:
    """The shortest text that `parse` reads back as `value`, in whole milliseconds. `0s` for zero."""
    millis = round(value.total_seconds() * 1000)
    parts = []
    for unit, size in (("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)):
        count, millis = divmod(millis, size)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"


def _coerce(value: Any) -> Any:
    return parse(value) if isinstance(value, str) else value


def duration_between(low: str, high: str) -> Any:
    """The type of a duration field within `low..high`, both inclusive; the same bound stands in the CRD as CEL."""
    least, most = parse(low), parse(high)
    must = f"must be a duration from {low} to {high}, written like 400ms, 90s, 5m or 1h30m"

    def read(value: Any) -> Any:
        if not isinstance(value, str):
            return value
        try:
            return parse(value)
        except ValueError as error:
            raise ValueError(f'"{value}" {must}') from error

    def check(value: timedelta) -> timedelta:
        if not least <= value <= most:
            raise ValueError(f'"{render(value)}" {must}')
        return value

    return Annotated[
        timedelta,
        BeforeValidator(read),
        AfterValidator(check),
        PlainSerializer(render, return_type=str),
        WithJsonSchema(
            {
                "type": "string",
                "maxLength": 32,
                # One rule for form and range: `duration()` fails on what is none, and its failure is no help to users.
                **rules(
                    cel(
                        f"self != '' && self.matches('{PATTERN}') && "
                        f"duration(self) >= duration('{low}') && duration(self) <= duration('{high}')",
                        must,
                    )
                ),
            }
        ),
    ]
