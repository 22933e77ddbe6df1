"""Hypothesis strategies for API models, made from their annotations."""

import types
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from hypothesis import strategies as st
from pydantic import StringConstraints
from pydantic.fields import FieldInfo

from crm_operator.api.base import ApiModel

_TIMES = st.datetimes(datetime(1970, 1, 1), datetime(2999, 12, 31), timezones=st.just(UTC)).map(
    lambda time: time.replace(microsecond=time.microsecond // 1000 * 1000)
)
_CHARACTERS = st.characters(exclude_categories=["Cs"])
_SCALARS: dict[Any, st.SearchStrategy[Any]] = {
    bool: st.booleans(),
    int: st.integers(-1, 2**53),
    float: st.floats(0, 1e15, allow_nan=False),
    datetime: _TIMES,
    timedelta: st.integers(0, 10**9).map(lambda millis: timedelta(milliseconds=millis)),
}


def instances(model: type[ApiModel], *, complete: bool = False) -> st.SearchStrategy[Any]:
    """Valid instances of a model; with `complete`, every optional field is there and no list is empty."""
    fields = {field.alias or name: _field(field, complete) for name, field in model.model_fields.items()}
    return st.fixed_dictionaries(fields).map(model.model_validate)


def _field(field: FieldInfo, complete: bool) -> st.SearchStrategy[Any]:
    return _strategy(field.annotation, _bounds(field.metadata), complete)


def _bounds(metadata: Any) -> dict[str, int]:
    bounds: dict[str, int] = {}
    for item in metadata:
        if isinstance(item, StringConstraints):
            bounds |= {"min_size": item.min_length or 0, "max_size": item.max_length or 0}
        for ours, theirs in (("min_size", "min_length"), ("max_size", "max_length")):
            if (limit := getattr(item, theirs, None)) is not None:
                bounds[ours] = limit
    return bounds


def _strategy(annotation: Any, bounds: dict[str, int], complete: bool) -> st.SearchStrategy[Any]:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _strategy(arguments[0], bounds | _bounds(arguments[1:]), complete)
    if origin in (Union, types.UnionType):
        (inner,) = (argument for argument in arguments if argument is not type(None))
        present = _strategy(inner, bounds, complete)
        return present if complete else st.none() | present
    if origin is Literal:
        return st.sampled_from(arguments)
    if origin is list:
        least = max(bounds.get("min_size", 0), 1 if complete else 0)
        return st.lists(_strategy(arguments[0], {}, complete), min_size=least, max_size=min(bounds["max_size"], 3))
    if annotation is str:
        return st.text(_CHARACTERS, min_size=bounds.get("min_size", 0), max_size=bounds["max_size"])
    if isinstance(annotation, type) and issubclass(annotation, ApiModel):
        return instances(annotation, complete=complete)
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return st.sampled_from(list(annotation))
    return _SCALARS[annotation]
