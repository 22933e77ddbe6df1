"""docs/reference.md tells of every field and of every refusal, and its examples are valid."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from crm_operator.api import crdgen
from crm_operator.api.v1alpha1 import CrmIntegrationSpec, Guard, MetricOrigin, Metrics, Reduce, SyncPauseSpec
from crm_operator.domain.default_guards import RUNBOOK
from tests.unit.api.test_crdgen import ALL, SCHEMAS, nodes

REFERENCE = (Path(__file__).parents[3] / "docs" / "reference.md").read_text()
METRICS = (Path(__file__).parents[3] / "docs" / "metrics.md").read_text()
EXAMPLES = [
    yaml.safe_load(text) for page in (REFERENCE, METRICS) for text in re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
]
RULES = [
    rule
    for schema in SCHEMAS.values()
    for _, node in nodes(schema)
    for rule in node.get("x-kubernetes-validations", [])
]


@pytest.mark.parametrize(("path", "node"), ALL)
def test_every_field_is_in_the_reference(path: str, node: dict[str, Any]) -> None:
    name = path.removesuffix("[]").rpartition(".")[2]
    if path.startswith((".spec.", ".status.")) and not path.startswith(".spec.workers.template."):
        assert re.search(rf"[`.]{re.escape(name)}(\[\])?[`. ]", REFERENCE), f"{path} is not explained"


def test_nothing_is_explained_twice() -> None:
    """Two rows of one field say different things sooner or later."""
    fields, _, _ = REFERENCE.partition("### Annotations")
    sections = [re.findall(r"^\| (`[^|]*`) \|", part, re.MULTILINE) for part in fields.split("\n### ")]
    assert sum(map(len, sections)) > 80
    for named in sections:
        assert sorted(set(named)) == sorted(named)


@pytest.mark.parametrize("rule", RULES)
def test_every_refusal_is_in_the_reference(rule: dict[str, str]) -> None:
    message = rule.get("message", "")
    if message.startswith("must be a duration from"):
        message = "written like 400ms, 90s, 5m or 1h30m"
    words = [message] if message else re.findall(r"'((?:[^'\\]|\\.)*)'", rule["messageExpression"])
    for word in words:
        if len(word) > 12:
            assert word.strip() in REFERENCE


def test_every_reason_that_is_listed_is_given() -> None:
    sources = Path(__file__).parents[3] / "operator" / "crm_operator"
    code = "\n".join(file.read_text() for file in sources.rglob("*.py"))
    listed = re.findall(
        r"`([A-Z][a-z]+[A-Z][A-Za-z]*|Stale|Timeout)`", METRICS.partition("## Why a guard is Unknown")[2]
    )
    assert len(listed) > 30
    for reason in listed:
        assert f'"{reason}"' in code or reason == "MetricsAvailable", reason


@pytest.mark.parametrize("example", EXAMPLES)
def test_the_examples_are_valid(example: dict[str, Any]) -> None:
    match example.get("kind"):
        case "CrmIntegration":
            CrmIntegrationSpec.model_validate(example["spec"])
        case "SyncPause":
            SyncPauseSpec.model_validate(example["spec"])
        case _:
            Metrics.model_validate(example["metrics"])
            for guard in example["guards"]:
                Guard.model_validate(guard)


def test_every_reduction_and_source_is_explained() -> None:
    for word in (*Reduce, *MetricOrigin):
        assert f"\n| `{word.value}` |" in METRICS


def test_the_guards_in_force_by_default_are_listed() -> None:
    for guard in RUNBOOK:
        limits = [f"> {limit.above:g}" if limit else "–" for limit in (guard.warning, guard.critical)]
        (row,) = [line for line in REFERENCE.splitlines() if line.startswith(f"| `{guard.name}` |")]
        assert f"`{guard.metric.shown}`" in row
        assert f", {guard.reduce}" in row
        assert row.endswith(f"| {' | '.join(limits)} |")


def test_every_column_is_listed() -> None:
    for kind in crdgen.KINDS:
        for column in kind.columns:
            assert f"`{column.name}`" in REFERENCE
