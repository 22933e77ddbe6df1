"""What all our API models share: camelCase on the wire, unknown fields ignored, frozen once parsed."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    PlainSerializer,
    StringConstraints,
    WithJsonSchema,
)
from pydantic.alias_generators import to_camel
from pydantic_core import CoreSchema


class ApiModel(BaseModel):
    """A piece of a custom resource.

    `extra="ignore"`: an older operator must be able to read an object that a newer CRD admitted.
    """

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="ignore", frozen=True)

    def to_wire(self) -> dict[str, Any]:
        """The JSON object as Kubernetes stores it; absent members are left out, never null."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


def cel(
    rule: str, message: str | None = None, *, expression: str | None = None, path: str | None = None
) -> dict[str, str]:
    """One `x-kubernetes-validations` entry; `expression` is a CEL text that builds the message from values."""
    entry = {"rule": rule}
    if message is not None:
        entry["message"] = message
    if expression is not None:
        entry["messageExpression"] = expression
    if path is not None:
        entry["fieldPath"] = path
    return entry


def rules(*entries: dict[str, str]) -> dict[str, Any]:
    """`json_schema_extra` for a model or field that carries CEL rules."""
    return {"x-kubernetes-validations": list(entries)}


def cel_text(text: str) -> str:
    """`text` as a CEL string literal."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


@dataclass(frozen=True, slots=True)
class Matching:
    """A string that matches `pattern` as a whole; otherwise the refusal says `must`, in the same words here and there.

    A schema's own `pattern` would answer with the regular expression. Needs a maximum length beside it (CEL's cost).
    """

    pattern: str  # what Python's re and Go's RE2 read alike, anchored with ^ and $
    must: str  # the remedy, "must be ..."; the API server puts field and value before it

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return AfterValidator(self._check).__get_pydantic_core_schema__(source, handler)

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return handler(core) | rules(cel(f"self.matches({cel_text(self.pattern)})", self.must))

    def _check(self, value: str) -> str:
        if not re.fullmatch(self.pattern, value):
            raise ValueError(f'"{value}" {self.must}')
        return value


DnsLabel = Annotated[
    str,
    StringConstraints(max_length=63),
    Matching(
        "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$",
        "must be a DNS label: a-z, 0-9 and -, beginning and ending with a letter or digit",
    ),
]


def shortened(limit: int) -> tuple[BeforeValidator, PlainSerializer]:
    """Cuts a text to `limit` characters, on the way in and out: a long message must not make a status unwritable.

    Out as well, because `model_copy(update=...)` does not validate.
    """

    def cut(value: Any) -> Any:
        return value[: limit - 1] + "…" if isinstance(value, str) and len(value) > limit else value

    return BeforeValidator(cut), PlainSerializer(cut, return_type=str)


def render_time(value: datetime) -> str:
    """RFC 3339 in UTC; milliseconds only when there are some."""
    value = value.astimezone(UTC)
    if value.microsecond // 1000:
        return f"{value:%Y-%m-%dT%H:%M:%S}.{value.microsecond // 1000:03d}Z"
    return f"{value:%Y-%m-%dT%H:%M:%SZ}"


Timestamp = Annotated[
    datetime,
    PlainSerializer(render_time, return_type=str),
    WithJsonSchema({"type": "string", "format": "date-time", "maxLength": 40}),
]
