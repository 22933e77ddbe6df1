"""What all tests share: in CI (CRM_NO_SKIPS=1) a test that is skipped has failed."""

import os
from collections.abc import Generator

import pytest
from hypothesis import settings
from xdist.remote import Producer  # type: ignore[import-untyped]
from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]

from dev.cluster.packages import ensure_packages
from dev.cluster.progress import PlainProgress

#: Tests that share a node, or need the names of clusters. They take the longest, so they begin first.
TOGETHER = ("tests/dev/", "tests/e2e/", "tests/bench/test_bench_smoke.py")
#: Tests that wait most of their time: before those that compute, so that none is left alone at the end.
EARLY = ("tests/cluster/", "tests/bench/", "tests/demo/")

settings.register_profile("default", deadline=None)
settings.load_profile("default")


def pytest_sessionstart(session: pytest.Session) -> None:
    """Many tests run a real redis-server; whoever types `make test` should not have to know."""
    if not session.config.option.collectonly and not is_worker(session.config):
        ensure_packages({"redis-server": "redis-server"}, PlainProgress())


class Scheduler(LoadScopeScheduling):  # type: ignore[misc]
    """`make test` has two processes: a file's tests run in one of them, in order, and so do those of `TOGETHER`."""

    def _split_scope(self, nodeid: str) -> str:
        return "together" if nodeid.startswith(TOGETHER) else nodeid.partition("::")[0]


def pytest_configure(config: pytest.Config) -> None:
    """Files go to the processes in the order below, not the one with the most tests first."""
    config.option.loadscopereorder = False


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The slowest first, since what begins last is what everybody waits for."""
    items.sort(key=lambda item: (not item.nodeid.startswith(TOGETHER), not item.nodeid.startswith(EARLY)))


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Scheduler:
    """Asked for by pytest-xdist. (Its own `loadgroup` does nothing with pytest 9.2.)"""
    return Scheduler(config, log)


def is_worker(config: pytest.Config) -> bool:
    """Whether this is one of several processes that share a run."""
    return hasattr(config, "workerinput")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, None]:
    """A skip hides that something was not tested; on a machine that can run everything it is a failure."""
    outcome = yield
    report = outcome.get_result()
    if os.environ.get("CRM_NO_SKIPS") == "1" and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped in CI, where nothing may be skipped: {report.longrepr}"
