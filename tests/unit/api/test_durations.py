"""Durations as users write them."""

import re
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from crm_operator.api import duration


@given(st.integers(0, 10**10).map(lambda millis: timedelta(milliseconds=millis)))
def test_what_is_rendered_reads_back_as_the_same_duration(value: timedelta) -> None:
    assert duration.parse(duration.render(value)) == value


@given(st.from_regex(duration.PATTERN, fullmatch=True).filter(lambda text: text.strip("\n") != ""))
def test_whatever_the_crd_admits_can_be_read(text: str) -> None:
    assert duration.parse(text.strip("\n")) >= timedelta(0)


@given(st.text(max_size=12))
def test_what_the_crd_refuses_is_refused_here_too(text: str) -> None:
    admitted = text != "" and re.fullmatch(duration.PATTERN, text) is not None
    try:
        duration.parse(text)
    except ValueError:
        assert not admitted
    else:
        assert admitted


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("400ms", timedelta(milliseconds=400)),
        ("90s", timedelta(seconds=90)),
        ("5m", timedelta(minutes=5)),
        ("1h30m", timedelta(hours=1, minutes=30)),
        ("1h1m1s1ms", timedelta(hours=1, minutes=1, seconds=1, milliseconds=1)),
        ("0s", timedelta(0)),
    ],
)
def test_durations_are_read_as_kubernetes_users_mean_them(text: str, value: timedelta) -> None:
    assert duration.parse(text) == value


@pytest.mark.parametrize(
    ("value", "text"),
    [
        pytest.param(timedelta(seconds=90), "1m30s", id="units fall"),
        pytest.param(timedelta(hours=24), "24h", id="hours are the largest unit"),
        pytest.param(timedelta(0), "0s", id="zero has a unit"),
        pytest.param(timedelta(milliseconds=1500), "1s500ms", id="no fractions"),
    ],
)
def test_durations_are_shown_short(value: timedelta, text: str) -> None:
    assert duration.render(value) == text


@pytest.mark.parametrize("text", ["", "5", "5 m", "1.5h", "-5m", "5min", "PT5M", "30m1h", "5m\n", "٥m"])
def test_anything_else_is_refused_with_value_and_remedy(text: str) -> None:
    with pytest.raises(ValueError, match="write it like 400ms, 90s, 5m or 1h30m") as refusal:
        duration.parse(text)
    assert repr(text) in str(refusal.value)


@pytest.mark.parametrize("text", ["999ms", "24h1ms", "soon", ""])
def test_a_duration_outside_its_bounds_is_refused_with_value_and_bounds(text: str) -> None:
    bounded = TypeAdapter(duration.duration_between("1s", "24h"))
    with pytest.raises(ValidationError, match=f'"{text}" must be a duration from 1s to 24h'):
        bounded.validate_python(text)


@pytest.mark.parametrize("text", ["1s", "24h", "1440m"])
def test_the_bounds_belong_to_the_range(text: str) -> None:
    TypeAdapter(duration.duration_between("1s", "24h")).validate_python(text)
