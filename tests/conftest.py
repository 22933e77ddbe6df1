"""What all tests share: in CI (CRM_NO_SKIPS=1) a test that is skipped has failed."""

import os
from collections.abc import Generator
from pathlib import Path

import pytest
from hypothesis import settings

from dev.cluster.packages import ensure_packages
from dev.cluster.progress import PlainProgress

TESTS = Path(__file__).parent

settings.register_profile("default", deadline=None)
settings.load_profile("default")


def pytest_sessionstart(session: pytest.Session) -> None:
    """Many tests run a real redis-server; whoever types `make test` should not have to know."""
    if not session.config.option.collectonly and not is_worker(session.config):
        ensure_packages({"redis-server": "redis-server"}, PlainProgress())


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """`make test` has two processes: tests that share a cluster, or a file's fixtures, run in one of them, in order."""
    for item in items:
        shares_cluster = item.get_closest_marker("cluster") or item.get_closest_marker("e2e")
        folder = item.path.relative_to(TESTS).parts[0]
        item.add_marker(
            pytest.mark.xdist_group("clusters" if shares_cluster else folder if folder == "dev" else item.path.name)
        )


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
