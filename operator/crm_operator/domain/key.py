"""Names one custom resource; what the work queue, the caches and the sources are keyed by."""

from typing import NamedTuple


class Key(NamedTuple):
    """Namespace and name; never an event, never an object."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"
