"""A process is known by pid and start time, and nothing else is ever ended."""

import dataclasses
import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from dev.cluster import processes

SLEEPER = [sys.executable, "-c", "input()"]


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    """A process that waits until it is ended."""
    with subprocess.Popen(SLEEPER, stdin=subprocess.PIPE) as process:
        yield process
        process.kill()


def test_a_running_process_is_recognised(sleeper: subprocess.Popen[bytes]) -> None:
    identity = processes.identify(sleeper.pid)
    assert identity is not None
    assert processes.is_alive(identity)


def test_a_process_that_reuses_the_pid_is_neither_recognised_nor_ended(sleeper: subprocess.Popen[bytes]) -> None:
    identity = processes.identify(sleeper.pid)
    assert identity is not None
    earlier = dataclasses.replace(identity, start_ticks=identity.start_ticks - 1)
    assert not processes.is_alive(earlier)
    processes.kill(earlier)
    assert sleeper.poll() is None


def test_a_process_of_an_earlier_boot_is_not_recognised(sleeper: subprocess.Popen[bytes]) -> None:
    identity = processes.identify(sleeper.pid)
    assert identity is not None
    assert not processes.is_alive(dataclasses.replace(identity, boot_id="another"))


def test_killing_waits_for_the_end_and_may_be_repeated(sleeper: subprocess.Popen[bytes]) -> None:
    identity = processes.identify(sleeper.pid)
    assert identity is not None
    processes.kill(identity)
    assert not processes.is_alive(identity)
    processes.kill(identity)


def test_children_are_found_by_their_parent(sleeper: subprocess.Popen[bytes]) -> None:
    me = processes.identify(os.getpid())
    assert me is not None
    assert sleeper.pid in [child.pid for child in processes.children(me)]


def test_an_identity_survives_the_state_file() -> None:
    identity = processes.Identity(pid=7, start_ticks=123, boot_id="b")
    assert processes.Identity.from_json(identity.to_json()) == identity


@pytest.mark.parametrize(
    "command",
    [
        pytest.param("(python)", id="plain"),
        pytest.param("(a b) S 1 (c)", id="a command name with spaces and brackets"),
    ],
)
def test_stat_is_read_behind_the_command_name(command: str) -> None:
    fields = ["S", "42", *["0"] * 17, "98765", "0"]
    assert processes.parse_stat(f"7 {command} {' '.join(fields)}") == processes.Stat(
        state="S", parent=42, start_ticks=98765
    )
