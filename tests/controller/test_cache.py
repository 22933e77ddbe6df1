"""The cache keeps the newest version of everything, in whatever order versions arrive."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crm_operator.api.names import LABEL_INTEGRATION
from crm_operator.controller.cache import Cache, owners, trim
from crm_operator.controller.watch import take
from crm_operator.domain.key import Key

CRM, DEPLOYMENT, POD, AUTOSCALER = "CrmIntegration", "Deployment", "Pod", "HorizontalPodAutoscaler"
HUBSPOT = Key("crm", "hubspot")


def an_object(name: str = "hubspot", version: int = 10, uid: str = "u1", **labels: str) -> dict[str, Any]:
    metadata = {"namespace": "crm", "name": name, "uid": uid, "resourceVersion": str(version), "labels": labels}
    return {"metadata": metadata, "spec": {"of": version}}


def a_child(name: str = "hubspot", version: int = 10, uid: str = "u1", of: str = "hubspot") -> dict[str, Any]:
    return an_object(name, version, uid, **{LABEL_INTEGRATION: of})


def held(cache: Cache, name: str = "hubspot", kind: str = CRM) -> int | None:
    obj = cache.get(kind, "crm", name)
    return None if obj is None else int(obj["metadata"]["resourceVersion"])


def test_a_late_event_does_not_undo_our_own_write() -> None:
    cache = Cache()
    cache.upsert(CRM, an_object(version=10))
    assert cache.upsert(CRM, an_object(version=12))  # the answer to our write
    assert not cache.upsert(CRM, an_object(version=11))  # the watch, behind
    assert not cache.upsert(CRM, an_object(version=12))  # the watch, with our write
    assert held(cache) == 12


def test_versions_are_numbers_not_texts() -> None:
    cache = Cache()
    cache.upsert(CRM, an_object(version=9))
    assert cache.upsert(CRM, an_object(version=10))


def test_a_namesake_replaces_and_is_not_removed_by_the_old_ones_deletion() -> None:
    cache = Cache()
    cache.upsert(CRM, an_object(version=10, uid="old"))
    assert cache.upsert(CRM, an_object(version=20, uid="new"))
    assert not cache.remove(CRM, an_object(version=19, uid="old"))
    assert not cache.upsert(CRM, an_object(version=15, uid="old"))
    assert held(cache) == 20


def test_the_answer_to_a_write_does_not_bring_back_what_was_deleted_meanwhile() -> None:
    cache = Cache()
    cache.upsert(CRM, an_object(version=10))
    assert cache.remove(CRM, an_object(version=13))
    assert not cache.upsert(CRM, an_object(version=12))
    assert held(cache) is None


def test_an_object_may_leave_the_selector_and_come_back() -> None:
    cache = Cache()
    cache.upsert(POD, a_child(version=10))
    cache.remove(POD, a_child(version=11))
    assert cache.upsert(POD, a_child(version=12))
    assert not cache.remove(POD, a_child(version=11))
    assert held(cache, kind=POD) == 12


def test_a_list_prunes_what_vanished_and_tells_whose_it_was() -> None:
    cache = Cache()
    cache.upsert(DEPLOYMENT, a_child("hubspot", 10, "u1"))
    cache.upsert(DEPLOYMENT, a_child("zoho", 11, "u2", of="zoho"))
    touched = cache.replace(DEPLOYMENT, [a_child("zoho", 11, "u2", of="zoho")], "20")
    assert touched == {HUBSPOT}
    assert held(cache, "hubspot", DEPLOYMENT) is None
    assert not cache.upsert(DEPLOYMENT, a_child("hubspot", 12, "u1")), "an event from before the list"


def test_a_list_spares_what_was_written_after_it_was_read() -> None:
    cache = Cache()
    cache.upsert(DEPLOYMENT, a_child("new", 25, "u1"))
    cache.upsert(DEPLOYMENT, a_child("changed", 30, "u2"))
    touched = cache.replace(DEPLOYMENT, [a_child("changed", 15, "u2")], "20")
    assert touched == set()
    assert held(cache, "new", DEPLOYMENT) == 25
    assert held(cache, "changed", DEPLOYMENT) == 30


def test_a_list_does_not_bring_back_what_was_deleted_after_it_was_read() -> None:
    cache = Cache()
    cache.upsert(CRM, an_object(version=10))
    cache.remove(CRM, an_object(version=21))
    cache.replace(CRM, [an_object(version=10)], "20")
    assert held(cache) is None


def test_a_list_of_one_namespace_leaves_the_others_alone() -> None:
    cache = Cache(["crm", "other"])
    cache.upsert(CRM, an_object("hubspot", 10))
    cache.replace(CRM, [], "20", "other")
    assert held(cache) == 10
    assert not cache.synced(CRM)
    cache.replace(CRM, [], "21", "crm")
    assert held(cache) is None
    assert cache.synced(CRM)
    assert not cache.synced()


def test_a_cluster_restored_from_a_backup_is_believed() -> None:
    cache = Cache()
    cache.replace(CRM, [an_object("hubspot", 500, "u1"), an_object("zoho", 501, "u2")], "600")
    cache.remove(CRM, an_object("zoho", 550, "u2"))
    touched = cache.replace(CRM, [an_object("hubspot", 90, "u1"), an_object("zoho", 91, "u2")], "100")
    assert touched == {HUBSPOT, Key("crm", "zoho")}
    assert (held(cache), held(cache, "zoho")) == (90, 91)


def test_children_are_found_by_label_and_follow_it() -> None:
    cache = Cache()
    cache.upsert(POD, a_child("p2", 10, "u2"))
    cache.upsert(POD, a_child("p1", 11, "u1"))
    cache.upsert(POD, an_object("stray", 12, "u3"))
    assert [pod["metadata"]["name"] for pod in cache.children(POD, HUBSPOT)] == ["p1", "p2"]
    cache.upsert(POD, a_child("p1", 13, "u1", of="zoho"))
    assert [pod["metadata"]["name"] for pod in cache.children(POD, HUBSPOT)] == ["p2"]
    cache.remove(POD, a_child("p2", 14, "u2"))
    assert cache.children(POD, HUBSPOT) == []
    assert [pod["metadata"]["name"] for pod in cache.children(POD, Key("crm", "zoho"))] == ["p1"]


def test_managed_fields_and_kubectls_copy_are_not_kept_and_the_original_is_untouched() -> None:
    obj = an_object()
    obj["metadata"]["managedFields"] = [{"manager": "kubectl"}]
    obj["metadata"]["annotations"] = {"kubectl.kubernetes.io/last-applied-configuration": "{}", "mine": "1"}
    small = trim(CRM, obj)
    assert small["metadata"]["annotations"] == {"mine": "1"}
    assert "managedFields" not in small["metadata"]
    assert "managedFields" in obj["metadata"]
    assert trim(CRM, small) == small


def test_of_a_pod_only_what_is_needed_is_kept() -> None:
    pod = a_child("p")
    pod["spec"] = {"hostNetwork": True, "nodeName": "n", "containers": [{"name": "worker", "env": ["SECRET"]}]}
    status = {"name": "worker", "ready": True, "restartCount": 2, "state": {"running": {}}, "imageID": "sha256:..."}
    pod["status"] = {"phase": "Running", "podIP": "10.0.0.1", "qosClass": "Burstable", "containerStatuses": [status]}
    small = trim(POD, pod)
    assert small["spec"] == {"hostNetwork": True, "nodeName": "n"}
    assert small["status"] == {
        "phase": "Running",
        "podIP": "10.0.0.1",
        "containerStatuses": [{"name": "worker", "ready": True, "restartCount": 2, "state": {"running": {}}}],
    }
    assert trim(POD, small) == small


@st.composite
def histories(draw: st.DrawFn) -> tuple[list[tuple[str, dict[str, Any]]], int | None]:
    """A true history of one name, each event delivered in any order and any number of times; and its end."""
    version, alive, uid = 1, False, 0
    events: list[tuple[str, dict[str, Any]]] = []
    for _ in range(draw(st.integers(1, 8))):
        version += draw(st.integers(1, 3))
        if not alive:
            alive, uid = True, uid + 1
            events.append(("upsert", a_child("p", version, f"u{uid}")))
        elif draw(st.booleans()):
            events.append(("upsert", a_child("p", version, f"u{uid}", of=draw(st.sampled_from(["hubspot", "zoho"])))))
        else:
            alive = False
            events.append(("remove", a_child("p", version, f"u{uid}")))
    delivered = draw(st.permutations(events + draw(st.lists(st.sampled_from(events), max_size=4))))
    return delivered, version if alive else None


@given(histories())
def test_in_whatever_order_events_arrive_the_end_is_the_truth(
    history: tuple[list[tuple[str, dict[str, Any]]], int | None],
) -> None:
    events, truth = history
    cache = Cache()
    for what, obj in events:
        (cache.upsert if what == "upsert" else cache.remove)(POD, obj)
    assert held(cache, "p", POD) == truth
    owned = [pod for name in ("hubspot", "zoho") for pod in cache.children(POD, Key("crm", name))]
    assert len(owned) == (0 if truth is None else 1)


def test_a_version_that_is_no_number_is_an_error() -> None:
    obj = an_object()
    obj["metadata"]["resourceVersion"] = "abc"
    with pytest.raises(ValueError, match="abc"):
        Cache().upsert(CRM, obj)


def an_autoscaler(name: str = "cpu", version: int = 10, target: str = "hubspot", **ref: str) -> dict[str, Any]:
    obj = an_object(name, version, uid=f"u-{name}")
    obj["spec"] = {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": target, **ref},
        "maxReplicas": version,
    }
    return obj | {"status": {"currentReplicas": version}}


def test_autoscalers_are_found_by_the_deployment_that_they_name() -> None:
    cache = Cache()
    cache.upsert(AUTOSCALER, an_autoscaler())
    cache.upsert(AUTOSCALER, an_autoscaler("other", kind="StatefulSet"))
    cache.upsert(AUTOSCALER, an_autoscaler("argo", apiVersion="argoproj.io/v1alpha1"))
    assert [found["metadata"]["name"] for found in cache.autoscalers(HUBSPOT)] == ["cpu"]
    cache.upsert(AUTOSCALER, an_autoscaler(version=11, target="zoho"))
    assert cache.autoscalers(HUBSPOT) == []
    cache.remove(AUTOSCALER, an_autoscaler(version=12, target="zoho"))
    assert cache.autoscalers(Key("crm", "zoho")) == []


def test_an_autoscaler_concerns_those_who_may_own_its_deployment() -> None:
    assert owners(AUTOSCALER, an_autoscaler(target="hubspot-canary")) == {HUBSPOT, Key("crm", "hubspot-canary")}
    assert owners(AUTOSCALER, an_autoscaler(kind="StatefulSet")) == set()


def test_an_autoscalers_own_status_is_no_news() -> None:
    cache = Cache()
    assert take(cache, AUTOSCALER, None, an_autoscaler(version=10)) == {HUBSPOT}
    assert take(cache, AUTOSCALER, "MODIFIED", an_autoscaler(version=11)) == set()
    assert take(cache, AUTOSCALER, "MODIFIED", an_autoscaler(version=12, target="zoho")) == {
        HUBSPOT,
        Key("crm", "zoho"),
    }
    assert take(cache, AUTOSCALER, "DELETED", an_autoscaler(version=13, target="zoho")) == {Key("crm", "zoho")}


def test_words_that_objects_have_in_common_are_held_once() -> None:
    obj = an_object()
    obj["status"] = {"conditions": [{"type": "Ready", "message": "2 of 2"}]}
    text = json.dumps(obj)
    one, other = (trim(CRM, json.loads(text)) for _ in range(2))
    assert one == other == obj
    mine, yours = one["status"]["conditions"][0], other["status"]["conditions"][0]
    assert mine["type"] is yours["type"]
    assert all(name is same for name, same in zip(mine, yours, strict=True))
