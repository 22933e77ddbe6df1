"""The name of a template. Golden: when one of these changes, an upgrade of the operator rolls out every fleet."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crm_operator.domain.revision import revision_of

IMAGE = {"spec": {"containers": [{"name": "worker", "image": "worker:v2"}]}}


@pytest.mark.parametrize(
    ("template", "revision"),
    [
        pytest.param(IMAGE, "1feb6bb20f7e332d", id="an image"),
        pytest.param({}, "44136fa355b3678a", id="nothing"),
        pytest.param({"spec": {"containers": []}, "metadata": None}, "f00de3f067f25bf7", id="nulls are absent"),
    ],
)
def test_golden(template: dict[str, Any], revision: str) -> None:
    assert revision_of(template) == revision


json = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=12,
)


@given(template=st.dictionaries(st.text(max_size=5), json, max_size=4))
def test_order_and_nulls_do_not_matter(template: dict[str, Any]) -> None:
    shuffled = {key: template[key] for key in sorted(template, reverse=True)}
    assert revision_of(shuffled | {"absent": None}) == revision_of(template) or "absent" in template


def test_a_list_keeps_its_order() -> None:
    assert revision_of({"args": ["a", "b"]}) != revision_of({"args": ["b", "a"]})
