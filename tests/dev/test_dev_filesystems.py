"""Image layers cannot be stacked on an overlay, so the launcher must know when it is on one."""

from pathlib import Path

import pytest

from dev.cluster.filesystems import file_system

MOUNTS = """\
22 1 0:20 / / rw,relatime - overlay overlay rw,lowerdir=/a
23 22 0:21 / /proc rw - proc proc rw
24 22 254:1 /x /home rw,relatime shared:1 - ext4 /dev/vda rw
25 24 0:30 / /home/with\\040space rw - tmpfs tmpfs rw
26 24 0:31 / /home/twice rw - tmpfs tmpfs rw
27 24 0:32 / /home/twice rw - xfs /dev/vdb rw
"""


@pytest.mark.parametrize(
    ("folder", "kind"),
    [
        pytest.param("/var/lib", "overlay", id="the root decides where nothing else is mounted"),
        pytest.param("/home/me/cache", "ext4", id="the innermost mount decides"),
        pytest.param("/homeless", "overlay", id="a name that begins alike is another folder"),
        pytest.param("/home/with space/x", "tmpfs", id="names may hold spaces"),
        pytest.param("/home/twice", "xfs", id="of two mounts on one place the last counts"),
    ],
)
def test_the_file_system_of_a_folder(folder: str, kind: str) -> None:
    assert file_system(Path(folder), MOUNTS) == kind
