"""`make demo`: the operator at its main job, on a real cluster, told live and checked.

    python -m demo             # a fresh cluster, the story, and everything is gone again
    python -m demo --keep      # the cluster stays, with what to try by hand

Exit code 0 only if every check held; 1 when one did not or something broke; 130 after Ctrl-C.
"""

import argparse
import shutil
import signal
import sys
from types import FrameType

from demo.story.chapters import tell
from demo.story.checks import CheckFailed
from demo.story.closing import by_hand, table
from demo.story.narrator import Narrator
from demo.story.outside import NAMESPACE, Outside
from demo.story.setting import install, load_images, new_cluster
from demo.story.stage import Stage
from demo.story.watch import Watch
from demo.wheelhouse import REPOSITORY, WheelhouseError
from dev.cluster import Cluster, ClusterError, down, find

DIAGNOSTICS = REPOSITORY / "diagnostics/demo"
BROKEN = (ClusterError, WheelhouseError, TimeoutError, OSError, ValueError)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keep", action="store_true", help="leave the cluster running at the end")
    parser.add_argument("--name", default="demo", help="the cluster's name (default: demo)")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, _interrupt)
    narrator = Narrator()
    try:
        return _run(arguments.name, narrator, keep=arguments.keep)
    except KeyboardInterrupt:
        narrator.failed("interrupted")
        return 130
    finally:
        narrator.idle()
        if not arguments.keep:
            _take_down(arguments.name, narrator)


def _run(name: str, narrator: Narrator, *, keep: bool) -> int:
    try:
        narrator.chapter("0. A real cluster, and the operator in it")
        cluster = new_cluster(name, narrator)
        load_images(cluster, narrator)
        installed = install(cluster, narrator)
        with (
            Watch(cluster, "crmintegrations", namespace=NAMESPACE) as integrations,
            Watch(cluster, "deployments", namespace=NAMESPACE) as deployments,
        ):
            stage = Stage(cluster, narrator, integrations, deployments, Outside(cluster))
            stage.report.seconds("operator and application installed and Ready", installed)
            tell(stage)
        narrator.plain(table(stage, narrator.elapsed))
    except CheckFailed as failure:
        narrator.failed(f"expected: {failure.expected}")
        narrator.failed(f"found:    {failure.found}")
        _diagnose(name, narrator)
        return 1
    except BROKEN as error:
        narrator.failed(f"{type(error).__name__}: {error}")
        _diagnose(name, narrator)
        return 1
    if keep:
        narrator.plain(by_hand(cluster))
    return 0


def _diagnose(name: str, narrator: Narrator) -> None:
    cluster: Cluster | None = find(name)
    if cluster is None:
        return
    narrator.busy("writing diagnostics")
    shutil.rmtree(DIAGNOSTICS, ignore_errors=True)
    cluster.diagnose(DIAGNOSTICS)
    narrator.idle()
    narrator.step(f"logs, events and objects are in {DIAGNOSTICS.relative_to(REPOSITORY)}")


def _take_down(name: str, narrator: Narrator) -> None:
    narrator.busy("stopping the cluster")
    try:
        gone = down(name, progress=narrator)
    except (ClusterError, TimeoutError) as error:
        narrator.failed(f"the cluster could not be removed: {error}")
        return
    narrator.idle()
    if gone:
        narrator.step(f"cluster {name} is gone")


def _interrupt(signum: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
