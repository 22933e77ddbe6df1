"""The name of a pod template: a digest of what the user wrote.

Server defaults and library versions must not change it, so it is taken from the user's own JSON, normalized: keys
sorted, nulls dropped (Kubernetes treats them as absent). Golden digests are in the tests.
"""

import hashlib
import json
from typing import Any


def revision_of(template: dict[str, Any]) -> str:
    """16 hex digits (64 bits) of SHA-256 over the normalized template; fits a label value."""
    text = json.dumps(_normalize(template), sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _normalize(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _normalize(member) for key, member in value.items() if member is not None}
    if isinstance(value, list):
        return [_normalize(item) for item in value]
    return value
