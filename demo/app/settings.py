"""What the application reads from its environment, in one place, so that a manifest can be checked against it.

Good and bad versions of the worker are the same image with other values (`FAIL_EVERY`, `CRASH`), which is how the
demo makes a release that damages data without needing a second code base.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

#: The one actor. Producers name it in messages without importing the worker's module.
ACTOR = "sync_contact"


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerSettings:
    """Where the jobs are: shared by workers, load generator and tally."""

    redis_url: str = "redis://127.0.0.1:6379/0"
    namespace: str = "dramatiq"
    queue: str = "crm_hubspot"

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> Self:
        """Read REDIS_URL, DRAMATIQ_NAMESPACE and CRM_QUEUE; what is absent has the default above."""
        default = cls()
        return cls(
            redis_url=env.get("REDIS_URL", default.redis_url),
            namespace=env.get("DRAMATIQ_NAMESPACE", default.namespace),
            queue=env.get("CRM_QUEUE", default.queue),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class JobSettings:
    """What one version of the worker does with a job."""

    hubspot_url: str = "http://127.0.0.1:8080"
    hubspot_token: str = "demo-token"
    revision: str = "unknown"
    role: str = "unknown"
    job_seconds: float = 0.2
    max_retries: int = 3
    min_backoff_millis: int = 500
    max_backoff_millis: int = 5_000
    fail_every: int = 0  # 0 = a good version; n = every n-th job of a process writes wrong data, then raises
    crash: bool = False  # the process ends while it starts

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> Self:
        """Read the job's variables.

        Raises ValueError, naming the variable and the remedy, for a value that is not a number.
        """
        default = cls()
        return cls(
            hubspot_url=env.get("HUBSPOT_URL", default.hubspot_url).rstrip("/"),
            hubspot_token=env.get("HUBSPOT_TOKEN", default.hubspot_token),
            # Both are injected by the operator through the downward API.
            revision=env.get("CRM_REVISION") or default.revision,
            role=env.get("CRM_ROLE") or default.role,
            job_seconds=_number(env, "JOB_SECONDS", default.job_seconds),
            max_retries=int(_number(env, "JOB_MAX_RETRIES", default.max_retries)),
            min_backoff_millis=int(_number(env, "JOB_MIN_BACKOFF_MS", default.min_backoff_millis)),
            max_backoff_millis=int(_number(env, "JOB_MAX_BACKOFF_MS", default.max_backoff_millis)),
            fail_every=int(_number(env, "FAIL_EVERY", default.fail_every)),
            crash=env.get("CRASH", "0") not in ("", "0"),
        )


def _number(env: Mapping[str, str], name: str, default: float) -> float:
    text = env.get(name)
    if not text:
        return default
    try:
        value = float(text)
    except ValueError as error:
        raise ValueError(f"{name}={text!r} is not a number; set it to one or leave it out for {default:g}") from error
    if not 0 <= value < math.inf:  # also false for nan
        raise ValueError(f"{name}={text!r} is out of range; set it to 0 or more")
    return value
