"""docs/rollout.md tells each transition that the code makes, and no other."""

import os
import re

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.domain import transitions
from tests.unit.domain.transitions import DOCUMENT, Transition

#: So many that the rarest transition is drawn about ten times; the same seed draws the same worlds.
WORLDS, SEED = 8000, 1

_DIAGRAM = re.compile(r"(?<=```mermaid\n).*?(?=\n```)", re.DOTALL)


def test_each_transition_that_is_made_is_documented_and_each_documented_one_is_made() -> None:
    made, documented = transitions.made(WORLDS, SEED), transitions.documented()
    assert made - documented == set(), "not in the table of docs/rollout.md"
    assert documented - made == set(), "in the table of docs/rollout.md, and never made"


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_no_other_world_leads_to_a_transition_that_is_not_documented(seed: int) -> None:
    assert transitions.made(100, seed) <= transitions.documented()


def test_the_diagram_is_the_table_drawn() -> None:
    """CRM_GOLDEN=write draws it anew."""
    drawn = transitions.diagram(transitions.documented())
    if os.environ.get("CRM_GOLDEN") == "write":
        DOCUMENT.write_text(_DIAGRAM.sub(lambda _: drawn, DOCUMENT.read_text()))
    (shown,) = _DIAGRAM.findall(DOCUMENT.read_text())
    assert shown == drawn


def test_a_row_stands_for_each_pair_of_its_phases() -> None:
    documented = transitions.documented()
    for before in ("Canary", "Promoting", "Baking"):
        assert Transition(before, "RolledBack", "RollingBack") in documented
