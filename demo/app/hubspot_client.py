"""HTTP to the fake HubSpot: the worker's two calls, and the story's look behind the counter.

Plain urllib with a connection per call: httpx would cost every worker 60 ms and 8 MB at its start (measured), and
twenty of them may start at once on two cores.
"""

import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any

from demo.app.hubspot_stats import HubSpotStats

TIMEOUT_SECONDS = 5.0


class HubSpotError(Exception):
    """HubSpot refused a call or did not answer it; the job fails and is retried."""


class RateLimited(HubSpotError):
    """HubSpot answered 429: too many requests."""


class HubSpotClient:
    """What a worker may do. Every call names the version that makes it, which the operator put into the environment."""

    def __init__(self, url: str, *, token: str, revision: str, role: str) -> None:
        self._url = url
        self._headers = {
            "Authorization": f"Bearer {token}",
            "x-worker-revision": revision,
            "x-worker-role": role,
        }

    def read_contact(self, contact_id: str) -> dict[str, Any]:
        """Read a contact before changing it, as a real sync does. The fake takes this call as the start of a job."""
        return _call("GET", f"{self._url}/crm/v3/objects/contacts/{contact_id}", headers=self._headers)

    def write_contact(self, contact_id: str, properties: Mapping[str, str], *, idempotency_key: str) -> None:
        _call(
            "PATCH",
            f"{self._url}/crm/v3/objects/contacts/{contact_id}",
            headers={**self._headers, "Idempotency-Key": idempotency_key},
            body={"properties": dict(properties)},
        )


class HubSpotAdmin:
    """What the story, the tests and the benchmarks may do: read the account, forget it, make the provider fail."""

    def __init__(self, url: str) -> None:
        self._url = url.rstrip("/")

    def stats(self) -> HubSpotStats:
        return HubSpotStats.from_json(_call("GET", f"{self._url}/_stats"))

    def reset(self) -> None:
        _call("POST", f"{self._url}/_reset", body={})

    def fail_with(self, status: int, *, seconds: float) -> None:
        """Answer every contact call with `status` (429 or 500) for so long; 0 seconds ends it."""
        _call("POST", f"{self._url}/_mode", body={"status": status, "seconds": seconds})

    def fail_revision(self, revision: str, *, every: int, seconds: float) -> None:
        """Answer 500 to each `every`-th (> 0) write of this version for so long; 0 seconds ends it."""
        body = {"status": 500, "seconds": seconds, "revision": revision, "every": every}
        _call("POST", f"{self._url}/_mode", body=body)


def _call(
    method: str, url: str, *, headers: Mapping[str, str] | None = None, body: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data=data, method=method, headers=dict(headers or {}))
    if data is not None:
        request.add_header("Content-Type", "application/json")
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as response:
            answer: dict[str, Any] = json.load(response)
            return answer
    except urllib.error.HTTPError as error:
        with error:  # it is the response too, and holds the connection
            kind = RateLimited if error.code == 429 else HubSpotError
            raise kind(f"HubSpot answered {error.code} to {method}") from error
    except OSError as error:
        raise HubSpotError(f"HubSpot did not answer {method}: {type(error).__name__}") from error
