"""What is true of every CrmIntegration's status at any time; `Scene.until` asks it of each version that it sees."""

import re
from datetime import datetime
from typing import Any

Json = dict[str, Any]

CONDITIONS = (
    *("Ready", "Reconciling", "Stalled", "QueueReachable", "MetricsAvailable", "Scaled", "Paused", "RolledBack"),
    "VerbsAccepted",
)
PHASES = ("Healthy", "Progressing", "Paused", "Degraded", "RolledBack")
NOT_OBSERVED = -1

_CAMEL_CASE = re.compile(r"[A-Z][A-Za-z]{0,62}")
_SECRET = re.compile(r"redis://[^ ]*:[^ ]*@")


def kstatus(obj: Json) -> str:
    """How kstatus (Flux, Argo CD, kubectl wait's friends) reads the object: InProgress, Failed or Current."""
    status = obj.get("status") or {}
    state = {item["type"]: item["status"] for item in status.get("conditions") or []}
    if status.get("observedGeneration", obj["metadata"]["generation"]) != obj["metadata"]["generation"]:
        return "InProgress"
    if state.get("Reconciling") == "True":
        return "InProgress"
    if state.get("Stalled") == "True":
        return "Failed"
    return "InProgress" if state.get("Ready") == "False" else "Current"


def assert_status_contract(obj: Json) -> None:
    """Fails with the rule that is broken and the status."""
    status, generation = obj["status"], obj["metadata"]["generation"]
    observed = status["observedGeneration"]
    if observed == NOT_OBSERVED:
        assert kstatus(obj) == "InProgress", f"a new object must not look finished: {status}"
        return
    assert 1 <= observed <= generation, f"observedGeneration {observed} is ahead of {generation}: {status}"
    conditions = status["conditions"]
    assert [item["type"] for item in conditions] == list(CONDITIONS), f"not all conditions, or not in order: {status}"
    for item in conditions:
        assert item["observedGeneration"] <= generation, f"{item} is ahead of generation {generation}"
        assert _CAMEL_CASE.fullmatch(item["reason"]), f"a reason is one CamelCase word: {item}"
        assert item["message"].strip(), f"a message is for people: {item}"
    state = {item["type"]: item["status"] for item in conditions}
    assert state["Ready"] in ("True", "False"), f"Ready is always known: {status}"
    assert (state["Ready"], state["Stalled"]) != ("True", "True"), f"Stalled excludes Ready: {status}"
    if state["RolledBack"] == "True":
        assert (state["Ready"], state["Stalled"]) == ("False", "True"), f"a rollback must not look good: {status}"
    if state["Paused"] == "True":
        assert status["workers"]["stable"] == status["workers"]["canary"] == 0, f"paused with workers: {status}"
    assert status["phase"] in PHASES, f"no such phase: {status}"
    assert status["message"].strip(), f"no message: {status}"
    decisions = status.get("decisions") or []
    assert len(decisions) <= 10, f"more than the last 10 decisions: {status}"
    # As times, not as texts: whole seconds have no fraction.
    times = [datetime.fromisoformat(item["time"]) for item in decisions]
    assert times == sorted(times), f"decisions out of order: {status}"
    assert not _SECRET.search(repr(status)), "a password stands in the status"
