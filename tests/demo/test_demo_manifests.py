"""The shipped manifests: what they grant, what they promise to Pod Security, and that the parts fit together."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from crm_operator.api.v1alpha1 import CrmIntegrationSpec, SyncPauseSpec
from demo.app.settings import BrokerSettings, JobSettings
from demo.images import APP_IMAGE, OPERATOR_IMAGE
from demo.versions import integration
from dev.images.base import REDIS
from tests.demo.processes import REPOSITORY

MANIFESTS, K8S = REPOSITORY / "manifests", REPOSITORY / "demo/k8s"


def documents(*paths: Path) -> list[dict[str, Any]]:
    return [document for path in paths for document in yaml.safe_load_all(path.read_text()) if document]


def all_documents() -> list[dict[str, Any]]:
    return documents(*sorted(MANIFESTS.rglob("*.yaml")), *sorted(K8S.rglob("*.yaml")))


def pod_templates() -> Iterator[tuple[str, dict[str, Any]]]:
    for document in all_documents():
        name = f"{document['kind']}/{document.get('metadata', {}).get('name', 'burst')}"
        match document["kind"]:
            case "Deployment" | "Job":
                yield name, document["spec"]["template"]
            case "CrmIntegration":
                version = document["spec"]["workers"]["template"]["spec"]["containers"][0]["env"][0]["value"]
                yield f"{name}-{version}", document["spec"]["workers"]["template"]


def of_kind(kind: str, path: Path) -> list[dict[str, Any]]:
    return [document for document in documents(path) if document["kind"] == kind]


TEMPLATES = dict(pod_templates())


@pytest.mark.parametrize("template", TEMPLATES.values(), ids=TEMPLATES.keys())
def test_every_pod_keeps_the_restricted_profile_and_a_read_only_root(template: dict[str, Any]) -> None:
    spec = template["spec"]
    pod = spec["securityContext"]
    assert pod["runAsNonRoot"] is True
    assert pod["runAsUser"] == 65532
    assert pod["seccompProfile"] == {"type": "RuntimeDefault"}
    assert spec["automountServiceAccountToken"] is (spec.get("serviceAccountName") == "crm-operator")
    for container in spec["containers"]:
        security = container["securityContext"]
        assert security["allowPrivilegeEscalation"] is False
        assert security["readOnlyRootFilesystem"] is True
        assert security["capabilities"] == {"drop": ["ALL"]}
        assert container["resources"]["limits"]["memory"]
        assert not container["image"].endswith(":latest")


def test_the_manifests_name_the_images_that_are_built() -> None:
    used = {container["image"] for template in TEMPLATES.values() for container in template["spec"]["containers"]}
    overlay = documents(K8S / "operator/kustomization.yaml")[0]["images"][0]
    assert used == {"crm-operator:0.1.0", APP_IMAGE, REDIS}
    assert (overlay["name"], f"{overlay['newName']}:{overlay['newTag']}") == ("crm-operator", OPERATOR_IMAGE)


def test_the_operator_is_granted_exactly_this() -> None:
    rules = {
        (group, resource): set(rule["verbs"])
        for document in documents(MANIFESTS / "base/rbac.yaml")
        for rule in document.get("rules", [])
        for group in rule["apiGroups"]
        for resource in rule["resources"]
    }
    watch = {"list", "watch"}
    assert rules == {
        ("crm.agoralia.app", "crmintegrations"): watch,
        ("crm.agoralia.app", "syncpauses"): watch | {"create"},
        ("crm.agoralia.app", "crmintegrations/status"): {"patch"},
        ("crm.agoralia.app", "syncpauses/status"): {"patch"},
        ("apps", "deployments"): watch | {"get", "create", "patch", "delete"},
        ("apps", "controllerrevisions"): {"get", "list", "create", "delete"},
        ("autoscaling", "horizontalpodautoscalers"): watch,
        ("", "pods"): watch | {"patch"},
        ("", "secrets"): {"get"},
        ("events.k8s.io", "events"): {"create"},
        ("coordination.k8s.io", "leases"): {"get", "create", "update"},
    }


def test_no_role_has_a_wildcard_and_no_user_may_write_status() -> None:
    for document in documents(MANIFESTS / "base/rbac.yaml", MANIFESTS / "base/user-roles.yaml"):
        for rule in document.get("rules", []):
            assert "*" not in [*rule["apiGroups"], *rule["resources"], *rule["verbs"]], document["metadata"]["name"]
    for document in documents(MANIFESTS / "base/user-roles.yaml"):
        for rule in document["rules"]:
            assert not [resource for resource in rule["resources"] if "/" in resource]


def test_the_demos_resources_are_what_the_api_takes() -> None:
    for path in sorted((K8S / "integration").glob("*.yaml")):
        CrmIntegrationSpec.model_validate(documents(path)[0]["spec"])
    SyncPauseSpec.model_validate(documents(K8S / "pause.yaml")[0]["spec"])


def test_the_versions_differ_in_the_workers_environment_only() -> None:
    assert documents(K8S / "integration/hubspot-v1.yaml") == [integration("v1")]
    assert documents(K8S / "integration/hubspot-v2.yaml") == [integration("v2")]
    assert documents(K8S / "integration/hubspot-v3-bad.yaml") == [integration("v3", FAIL_EVERY="3")]
    assert documents(K8S / "integration/hubspot-v4.yaml") == [integration("v4")]


def test_the_worker_serves_the_queue_that_is_measured_with_the_threads_that_are_promised() -> None:
    spec = integration("v1")["spec"]
    worker = spec["workers"]["template"]["spec"]["containers"][0]
    arguments, env = worker["args"], {item["name"]: item.get("value", "") for item in worker["env"]}

    def option(name: str) -> str:
        return str(arguments[arguments.index(name) + 1])

    broker = BrokerSettings.from_env(env)
    assert spec["queue"]["names"] == [broker.queue] == [option("-Q")]
    assert spec["queue"]["url"] == broker.redis_url
    assert spec["workers"]["concurrency"] == int(option("-p")) * int(option("-t"))
    grace = spec["workers"]["template"]["spec"]["terminationGracePeriodSeconds"]
    shutdown = int(option("--worker-shutdown-timeout")) / 1000
    assert grace >= shutdown + 5
    assert shutdown > JobSettings.from_env(env).job_seconds
    assert worker["ports"][0]["containerPort"] == spec["metrics"]["pods"]["port"]


def test_the_services_have_the_names_that_the_workers_call() -> None:
    env = integration("v1")["spec"]["workers"]["template"]["spec"]["containers"][0]["env"]
    values = {item["name"]: item.get("value") for item in env}
    services = {
        service["metadata"]["name"]: service["spec"]["ports"][0]["port"]
        for path in (K8S / "app/redis.yaml", K8S / "app/hubspot.yaml")
        for service in of_kind("Service", path)
    }
    assert values["REDIS_URL"] == f"redis://redis:{services['redis']}/0"
    assert values["HUBSPOT_URL"] == f"http://fake-hubspot:{services['fake-hubspot']}"
