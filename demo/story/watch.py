"""What the API server says of some objects, as it says it: every version with the time when it was seen.

`kubectl get --watch` in the background, because it works wherever kubectl does. A watch that ends is started again, as
API servers end them by themselves.
"""

import json
import subprocess
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from demo.story.checks import CheckFailed
from dev.cluster import Cluster

#: How often a waiting caller is asked to show that it still waits.
TICK_SECONDS = 0.25
RESTART_AFTER_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Seen:
    """One version of an object; `data` is None when it was deleted."""

    at: float  # seconds since the epoch
    data: dict[str, Any] | None


Test = Callable[[dict[str, Any] | None], bool]
Tick = Callable[[dict[str, Any] | None], None]


class Watch:
    """All objects of one resource in one namespace, by name. Use it as a context manager."""

    def __init__(self, cluster: Cluster, resource: str, *, namespace: str) -> None:
        self._command = [
            *(str(cluster.kubectl), f"--kubeconfig={cluster.kubeconfig}", "--namespace", namespace),
            *("get", resource, "--watch", "--output-watch-events", "--output", "json"),
        ]
        self._resource = resource
        self._changed = threading.Condition()
        self._seen: dict[str, list[Seen]] = defaultdict(list)
        self._process: subprocess.Popen[str] | None = None
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"watch-{resource}", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._closed.set()
        with self._changed:
            if self._process is not None:
                self._process.kill()
        self._thread.join(timeout=5)

    def latest(self, name: str) -> dict[str, Any] | None:
        """The newest version; None when there is none, or none any more."""
        with self._changed:
            return self._seen[name][-1].data if self._seen[name] else None

    def since(self, name: str, began: float) -> list[Seen]:
        """The version that was current at `began`, and all later ones."""
        with self._changed:
            return self._since(name, began)

    def first(self, name: str, test: Test, *, since: float, within: float, expected: str, tick: Tick) -> Seen:
        """The first version from `since` on that passes `test`; None is tested while the object does not exist.

        Waits `within` seconds from now. Raises CheckFailed.
        """
        deadline = time.monotonic() + within
        while True:
            with self._changed:
                versions = self._since(name, since) or [Seen(time.time(), None)]
                if (found := next((each for each in versions if test(each.data)), None)) is not None:
                    return found
                if time.monotonic() >= deadline:
                    found_instead = versions[-1].data
                    break
                self._changed.wait(TICK_SECONDS)
            tick(self.latest(name))
        raise CheckFailed(
            expected=f"{expected} within {within:g} s",
            found=f"{self._resource}/{name} " + ("does not exist" if found_instead is None else _status(found_instead)),
        )

    def _since(self, name: str, began: float) -> list[Seen]:
        versions = self._seen[name]
        start = next((at for at in range(len(versions) - 1, -1, -1) if versions[at].at <= began), 0)
        return versions[start:]

    def _run(self) -> None:
        while not self._closed.is_set():
            with self._changed:
                if self._closed.is_set():
                    return
                self._process = subprocess.Popen(
                    self._command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, start_new_session=True
                )
            with self._process as process:
                assert process.stdout is not None
                for line in process.stdout:  # one event each
                    self._note(line)
            self._closed.wait(RESTART_AFTER_SECONDS)

    def _note(self, line: str) -> None:
        try:
            event = json.loads(line)
        except ValueError:
            return  # the end of a killed process's output
        data = event["object"]
        if "name" not in data.get("metadata", {}):
            return  # a Status: the watch ends, and is started again
        with self._changed:
            self._seen[data["metadata"]["name"]].append(Seen(time.time(), None if event["type"] == "DELETED" else data))
            self._changed.notify_all()


def _status(data: dict[str, Any]) -> str:
    return f"with status {json.dumps(data.get('status', {}), ensure_ascii=False)}"
