"""The record of a cluster is what later commands go by; a broken one counts as none."""

import tempfile
from collections.abc import Iterator
from ipaddress import IPv4Network
from pathlib import Path

import pytest

from dev.cluster.config import ProviderName, Tier, work_folder
from dev.cluster.errors import ClusterError
from dev.cluster.state import Record, all_records

RECORD = Record(
    name="crm",
    tier=Tier.NODE,
    provider=ProviderName.LOCAL,
    server="https://10.180.255.2:6443",
    block=IPv4Network("10.180.0.0/16"),
    ready=True,
)


@pytest.fixture
def state(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A state folder of the test's own, with a short path: pytest's are too long for sockets."""
    with tempfile.TemporaryDirectory() as folder:
        monkeypatch.setenv("CRM_DEV_STATE", folder)
        yield Path(folder)


def test_a_record_is_read_as_it_was_saved(tmp_path: Path) -> None:
    RECORD.save(tmp_path)
    assert Record.load(tmp_path) == RECORD


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="empty"),
        pytest.param("{", id="cut off"),
        pytest.param('{"version": 1}', id="fields are missing"),
        pytest.param('{"version": 99}', id="of a later version"),
        pytest.param("[]", id="not an object"),
    ],
)
def test_a_record_that_cannot_be_understood_counts_as_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "cluster.json").write_text(text)
    assert Record.load(tmp_path) is None


def test_all_clusters_of_the_state_folder_are_known(state: Path) -> None:
    assert all_records() == []
    work = work_folder("crm")
    work.mkdir(parents=True)
    work_folder("half-started").mkdir()
    (work.parent / ".crm.lock").touch()
    RECORD.save(work)
    assert all_records() == [RECORD]


@pytest.mark.parametrize("name", ["", "-a", "a-", "A", "a/b", "..", "a" * 31, "ä"])
def test_names_that_could_leave_the_state_folder_are_refused(name: str) -> None:
    with pytest.raises(ClusterError, match="DNS label"):
        work_folder(name)


def test_a_state_folder_too_deep_for_sockets_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRM_DEV_STATE", "/" + "x" * 90)
    with pytest.raises(ClusterError, match="CRM_DEV_STATE"):
        work_folder("crm")
