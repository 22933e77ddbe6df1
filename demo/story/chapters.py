"""The story in order. Each chapter leaves the world as the next one takes it for granted."""

from collections.abc import Callable

from demo.story.ending import the_end
from demo.story.outage import metrics_outage
from demo.story.pause import pause_and_resume
from demo.story.releases import bad_version, good_version
from demo.story.scaling import burst, steady_load
from demo.story.stage import Stage

CHAPTERS: tuple[tuple[str, Callable[[Stage], None]], ...] = (
    ("Steady load: workers from 0", steady_load),
    ("A burst: workers go up, the backlog drains, they come down", burst),
    ("A good version goes out as a canary and is promoted", good_version),
    ("A bad version is caught and rolled back", bad_version),
    ("A pause: no job starts, nothing is lost", pause_and_resume),
    ("A metrics outage during a canary: nothing rash happens", metrics_outage),
    ("The end: every job is accounted for", the_end),
)


def tell(stage: Stage) -> None:
    """Tell all of it. Raises CheckFailed where it stops being true, and ClusterError."""
    for number, (title, chapter) in enumerate(CHAPTERS, start=1):
        stage.narrator.chapter(f"{number}. {title}")
        chapter(stage)
