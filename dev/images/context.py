"""What goes into a build: the files of a context that .dockerignore lets through, and a hash of them.

The hash decides whether an image is built again, so it must see what the builder sees, and nothing else: `.git`,
virtual environments and build leftovers would make every commit a new image.
"""

import hashlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Rule:
    """One line of .dockerignore. The last rule that matches a path, or a folder above it, decides."""

    pattern: str
    keeps: bool  # a line that began with "!"

    def matches(self, path: str) -> bool:
        """Whether the rule speaks of `path` (relative, with slashes) or of a folder above it."""
        parts = path.split("/")
        return any(_regex(self.pattern).fullmatch("/".join(parts[:depth])) for depth in range(1, len(parts) + 1))

    def may_match_below(self, folder: str) -> bool:
        """Whether something inside `folder` could match: decides if an ignored folder must be looked into."""
        for part, wanted in zip(folder.split("/"), self.pattern.split("/"), strict=False):
            if wanted == "**":
                return True
            if not _regex(wanted).fullmatch(part):
                return False
        return True


def parse_rules(text: str) -> list[Rule]:
    """Rules of a .dockerignore file, in their order."""
    lines = (line.strip() for line in text.splitlines())
    return [
        Rule(line.removeprefix("!").strip("/"), line.startswith("!"))
        for line in lines
        if line and not line.startswith("#")
    ]


def is_ignored(path: str, rules: list[Rule]) -> bool:
    """Whether `path` stays out of the build."""
    ignored = False
    for rule in rules:
        if rule.matches(path):
            ignored = not rule.keeps
    return ignored


def context_files(context: Path) -> Iterator[Path]:
    """Files and links of the build, sorted, relative to `context`."""
    file = context / ".dockerignore"
    rules = parse_rules(file.read_text()) if file.exists() else []
    for folder, folders, files in os.walk(context):
        below = Path(folder).relative_to(context)
        folders[:] = sorted(name for name in folders if _worth_entering((below / name).as_posix(), rules))
        links = [name for name in folders if (Path(folder) / name).is_symlink()]
        for name in sorted([*files, *links]):
            if not is_ignored((below / name).as_posix(), rules):
                yield below / name


def _worth_entering(folder: str, rules: list[Rule]) -> bool:
    return not is_ignored(folder, rules) or any(rule.keeps and rule.may_match_below(folder) for rule in rules)


def hash_context(context: Path) -> str:
    """SHA-256, in hex, of names, contents and executable bits. Times and owners do not count."""
    digest = hashlib.sha256()
    for relative in context_files(context):
        path = context / relative
        content = os.readlink(path).encode() if path.is_symlink() else path.read_bytes()
        executable = not path.is_symlink() and bool(path.stat().st_mode & 0o100)
        digest.update(f"{relative.as_posix()}\0{executable}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()


def _regex(pattern: str) -> re.Pattern[str]:
    """Docker's pattern language: * and ? stay inside a folder, ** crosses folders, [] is a set."""
    out = ""
    position = 0
    while position < len(pattern):
        rest = pattern[position:]
        if rest.startswith("**/"):
            out, position = out + "(?:.*/)?", position + 3
        elif rest.startswith("**"):
            out, position = out + ".*", position + 2
        elif rest[0] == "*":
            out, position = out + "[^/]*", position + 1
        elif rest[0] == "?":
            out, position = out + "[^/]", position + 1
        elif rest[0] == "[" and "]" in rest:
            end = rest.index("]")
            out, position = out + rest[: end + 1], position + end + 1
        else:
            out, position = out + re.escape(rest[0]), position + 1
    return re.compile(out)
