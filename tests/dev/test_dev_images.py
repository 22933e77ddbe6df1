"""An image is built again exactly when the builder would see something else."""

from pathlib import Path

import pytest

from dev.images.context import context_files, hash_context, is_ignored, parse_rules


@pytest.fixture
def context(tmp_path: Path) -> Path:
    """A small source tree."""
    for name in ("app/main.py", "app/__pycache__/main.pyc", ".venv/lib/big.so", "README.md", "dist/wheels/a.whl"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    (tmp_path / ".dockerignore").write_text("# all but\n*\n!app\n!dist/wheels\n**/__pycache__\n")
    return tmp_path


def test_only_what_dockerignore_lets_through_is_seen(context: Path) -> None:
    assert [path.as_posix() for path in context_files(context)] == ["app/main.py", "dist/wheels/a.whl"]


def test_a_change_outside_the_context_changes_nothing(context: Path) -> None:
    before = hash_context(context)
    (context / "README.md").write_text("changed")
    (context / ".venv/lib/big.so").write_text("changed")
    assert hash_context(context) == before


@pytest.mark.parametrize("change", ["content", "name", "mode"])
def test_a_change_inside_the_context_is_seen(context: Path, change: str) -> None:
    before = hash_context(context)
    file = context / "app/main.py"
    match change:
        case "content":
            file.write_text("changed")
        case "name":
            file.rename(file.with_name("other.py"))
        case "mode":
            file.chmod(0o755)
    assert hash_context(context) != before


def test_the_time_of_a_file_does_not_count(context: Path) -> None:
    before = hash_context(context)
    (context / "app/main.py").touch()
    assert hash_context(context) == before


@pytest.mark.parametrize(
    ("rules", "path", "ignored"),
    [
        pytest.param("*.md", "README.md", True, id="star"),
        pytest.param("*.md", "docs/README.md", False, id="star stays in its folder"),
        pytest.param("**/*.md", "docs/a/README.md", True, id="two stars cross folders"),
        pytest.param("**/*.md", "README.md", True, id="two stars may be nothing"),
        pytest.param("docs", "docs/a/b", True, id="a folder takes all below it"),
        pytest.param("docs\n!docs/a", "docs/a/b", False, id="the last rule decides"),
        pytest.param("!docs/a\ndocs", "docs/a/b", True, id="order matters"),
        pytest.param("a?c", "abc", True, id="question mark"),
        pytest.param("/docs/", "docs", True, id="slashes at the ends mean nothing"),
    ],
)
def test_rules_mean_what_they_mean_to_docker(rules: str, path: str, ignored: bool) -> None:
    assert is_ignored(path, parse_rules(rules)) is ignored
