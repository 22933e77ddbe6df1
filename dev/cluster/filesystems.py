"""What kind of file system a folder is on."""

from pathlib import Path

MOUNTS = Path("/proc/self/mountinfo")


def is_overlay(folder: Path) -> bool:
    """Whether the folder is on an overlay, as everything inside a container usually is."""
    return file_system(folder.resolve(), MOUNTS.read_text()) == "overlay"


def file_system(folder: Path, mounts: str) -> str:
    """Type of the file system that holds `folder` (absolute, no links), by the text of /proc/self/mountinfo.

    Of mounts on the same place the last one counts; of nested places the innermost.
    """
    best, kind = Path("/"), ""
    for line in mounts.splitlines():
        before, _, after = line.partition(" - ")
        place = Path(before.split()[4].replace("\\040", " "))
        if folder.is_relative_to(place) and place.is_relative_to(best):
            best, kind = place, after.split()[0]
    return kind
