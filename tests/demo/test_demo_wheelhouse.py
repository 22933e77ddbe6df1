"""The wheelhouses' bookkeeping; that they can be filled and installed from is shown wherever the images are built."""

from pathlib import Path

import pytest

from demo import wheelhouse
from demo.wheelhouse import DEMO, OPERATOR, Wheelhouse, WheelhouseError, prepare
from tests.demo.processes import REPOSITORY


@pytest.mark.parametrize("house", [OPERATOR, DEMO], ids=lambda house: house.folder.name)
def test_requirements_are_fetched_for_every_environment_and_keep_their_hashes(house: Wheelhouse) -> None:
    lines = house.requirements.read_text().splitlines(keepends=True)
    stripped = list(wheelhouse._without_markers(lines))

    assert any(" ; " in line for line in lines), "no marker left to strip: this test shows nothing any more"
    assert not any(" ; " in line for line in stripped)
    assert [line.rstrip().endswith("\\") for line in stripped] == [line.rstrip().endswith("\\") for line in lines]
    assert sum("--hash=" in line for line in stripped) == sum("--hash=" in line for line in lines)


def test_a_folder_is_renewed_only_when_its_inputs_changed_or_its_making_was_cut_short(tmp_path: Path) -> None:
    folder = tmp_path / "deps"
    with wheelhouse._renewed(folder, "first") as made:
        assert made == folder
        (made / "old.whl").touch()
    with wheelhouse._renewed(folder, "first") as made:
        assert made is None

    with pytest.raises(KeyboardInterrupt):
        _cut_short(folder, "second")
    with wheelhouse._renewed(folder, "second") as made:
        assert made == folder


def _cut_short(folder: Path, digest: str) -> None:
    with wheelhouse._renewed(folder, digest):
        assert list(folder.iterdir()) == [], "something was left from the inputs before"
        raise KeyboardInterrupt


def test_a_machine_without_wheels_is_named_with_those_that_have_them(tmp_path: Path) -> None:
    house = Wheelhouse(folder=tmp_path, requirements=DEMO.requirements)
    with pytest.raises(WheelhouseError, match="'s390x'; known: x86_64"):
        prepare(house, machine="s390x")


def test_the_demo_runs_the_versions_that_are_tested() -> None:
    def pinned(path: Path) -> set[str]:
        return {line.split()[0] for line in path.read_text().splitlines() if "==" in line and line[0].isalpha()}

    assert pinned(DEMO.requirements) <= pinned(REPOSITORY / "requirements/dev.txt")
