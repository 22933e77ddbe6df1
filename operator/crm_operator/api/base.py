"""What all our API models share: camelCase on the wire, unknown fields ignored, frozen once parsed."""

from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, PlainSerializer, WithJsonSchema
from pydantic.alias_generators import to_camel


class ApiModel(BaseModel):
    """A piece of a custom resource.

    `extra="ignore"`: an older operator must be able to read an object that a newer CRD admitted.
    """

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="ignore", frozen=True)

    def to_wire(self) -> dict[str, Any]:
        """The JSON object as Kubernetes stores it; absent members are left out, never null."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


def cel(rule: str, message: str | None = None, *, expression: str | None = None, path: str | None = None) -> dict[str, str]:
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
