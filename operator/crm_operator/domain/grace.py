"""Whether a worker's pod is given as long to stop as the worker takes: read from the pod template, asked by `health`.

Kubernetes kills a pod after terminationGracePeriodSeconds. Dramatiq waits for running jobs for
`--worker-shutdown-timeout`, and then gives back what it fetched. Killed before that, it gives nothing back: its jobs
are orphaned until another worker finds them (docs/scaling.md). Only what stands in the template is known; a command
that is the image's own, or a wrapper without Dramatiq's words, says nothing.
"""

from collections.abc import Iterator
from datetime import timedelta
from itertools import pairwise
from typing import Any

from crm_operator.api.names import WORKER_CONTAINER
from crm_operator.domain.world import Template

#: What a pod has when its template says nothing: Kubernetes' default.
DEFAULT_GRACE = timedelta(seconds=30)
#: What a worker waits for when its arguments say nothing: Dramatiq's default.
DEFAULT_SHUTDOWN = timedelta(minutes=10)
#: What stopping takes besides waiting for jobs.
MARGIN = timedelta(seconds=5)
_OPTION = "--worker-shutdown-timeout"


def warning(template: Template) -> str | None:
    """What is wrong, with the remedy. None: the times fit, or are not known."""
    shutdown = shutdown_timeout(template)
    grace = grace_period(template)
    if shutdown is None or grace >= shutdown + MARGIN:
        return None
    fits = max(grace - MARGIN, timedelta(0))
    return (
        f"a worker that stops waits {_seconds(shutdown)} s for its jobs ({_OPTION}), but is killed after "
        f"{_seconds(grace)} s and then leaves them behind; set {_OPTION} {_seconds(fits) * 1000} or less, or "
        f"terminationGracePeriodSeconds: {_seconds(shutdown + MARGIN)} or more"
    )


def grace_period(template: Template) -> timedelta:
    """How long the pod has to stop."""
    asked = (template.get("spec") or {}).get("terminationGracePeriodSeconds")
    return timedelta(seconds=asked) if isinstance(asked, int) else DEFAULT_GRACE


def shutdown_timeout(template: Template) -> timedelta | None:
    """How long the worker waits for its running jobs. None: not known."""
    words = list(_words(template))
    for word, following in pairwise([*words, ""]):
        option, _, value = word.partition("=")
        if option == _OPTION:
            value = value or following
            return timedelta(milliseconds=int(value)) if value.isdecimal() and len(value) <= 12 else None
    is_dramatiq = any(word.rpartition("/")[2] == "dramatiq" for word in words)
    return DEFAULT_SHUTDOWN if is_dramatiq else None


def _words(template: Template) -> Iterator[str]:
    """The command line of the worker; of a shell's one long argument each word."""
    container = _worker(template)
    for field in ("command", "args"):
        # The API server has the last word on the template, and says it later.
        parts = container.get(field)
        for part in parts if isinstance(parts, list) else ():
            yield from str(part).split()


def _worker(template: Template) -> dict[str, Any]:
    """The container that works, as `controller/render` finds it, or an empty one."""
    containers = [entry for entry in (template.get("spec") or {}).get("containers") or () if isinstance(entry, dict)]
    named = [entry for entry in containers if entry.get("name") == WORKER_CONTAINER]
    found = named or (containers if len(containers) == 1 else [{}])
    return found[0]


def _seconds(time: timedelta) -> int:
    return -(-time // timedelta(seconds=1))
