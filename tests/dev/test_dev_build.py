"""A binary is built again exactly when something that goes into it has changed."""

import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from dev.cluster import build


@pytest.fixture
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the modules folder that a test may change."""
    copy = tmp_path / "modules"
    shutil.copytree(build.MODULES, copy)
    monkeypatch.setattr(build, "MODULES", copy)
    return copy


@pytest.mark.parametrize("file", ["go.mod", "go.sum"])
def test_another_dependency_is_another_place_in_the_cache(modules: Path, file: str) -> None:
    before = build.KUBE.fingerprint()
    with (modules / "kube" / file).open("a") as changed:
        changed.write("\n")
    assert build.KUBE.fingerprint() != before


def test_other_flags_are_another_place_in_the_cache() -> None:
    assert replace(build.KUBE, tags="other").fingerprint() != build.KUBE.fingerprint()


def test_the_same_input_is_the_same_place_wherever_the_checkout_is(modules: Path) -> None:
    here = build.KUBE.fingerprint()
    shutil.copytree(modules, modules.parent / "elsewhere")
    assert build.KUBE.fingerprint() == here


def test_modules_pin_the_version_that_the_binaries_report() -> None:
    text = (build.MODULES / "kube" / "go.mod").read_text()
    assert re.search(rf"k8s\.io/kubernetes v{re.escape(build.KUBERNETES_VERSION)}\b", text)
    staging = build.KUBERNETES_VERSION.replace("1.", "0.", 1)
    assert f"k8s.io/client-go => k8s.io/client-go v{staging}" in text
