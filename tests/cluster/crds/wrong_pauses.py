"""SyncPauses that are refused."""

from tests.cluster.crds.specs import wrong
from tests.cluster.objects import a_pause

WRONG_PAUSES = [
    wrong("no reason", a_pause(reason=None), "spec.reason", "Required value"),
    wrong("empty reason", a_pause(reason=""), "spec.reason", "must say in one line why, e.g. INC-42"),
    wrong("blank reason", a_pause(reason="  "), "spec.reason", "must say in one line why, e.g. INC-42"),
    wrong("a long story", a_pause(reason="INC-42\nIt began"), "spec.reason", "must say in one line why, e.g. INC-42"),
    wrong("reason too long", a_pause(reason="r" * 201), "spec.reason", "Too long: may not be more than 200"),
    wrong(
        "nothing to pause",
        a_pause(providers=None),
        "spec",
        "providers and integrations are both missing; give exactly one of them (providers: [] means all",
    ),
    wrong(
        "providers and integrations",
        a_pause(providers=["hubspot"], integrations=["hubspot"]),
        "spec",
        "both providers and integrations are given; give exactly one of them",
    ),
    wrong(
        "no integrations",
        a_pause(providers=None, integrations=[]),
        "spec.integrations",
        "should have at least 1 items",
    ),
    wrong("a provider's name", a_pause(providers=["HubSpot"]), "spec.providers[0]", "must be a DNS label"),
    wrong("33 providers", a_pause(providers=[f"p{i}" for i in range(33)]), "spec.providers", "must have at most 32"),
    wrong("paused is text", a_pause(paused="no"), "spec.paused", "must be of type boolean"),
]
