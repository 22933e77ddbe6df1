"""What an operator's process costs in a while: memory, CPU, and requests to the API server by its audit log."""

import asyncio
import json
import os
import time
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from dev.operator import OperatorProcess

Json = dict[str, Any]


async def window(process: OperatorProcess, audit: Path, seconds: float) -> Json:
    """The cost of the next `seconds`, in which others may run. The audit log is that of the whole API server."""
    offset = size(audit)
    cpu, began = process.cpu_seconds(), time.monotonic()
    await asyncio.sleep(seconds)
    took = time.monotonic() - began
    used = process.cpu_seconds() - cpu
    rss = process.rss_bytes()
    await asyncio.sleep(1)  # the audit log is written in batches
    return {
        "seconds": round(took, 1),
        "rss_mib": round(rss / 2**20, 1),
        "rss_peak_mib": round(peak_bytes(process.pid) / 2**20, 1),
        "threads": len(os.listdir(f"/proc/{process.pid}/task")),
        "cpu_s_per_min": round(used * 60 / took, 2),
        "requests": count_requests(tail(audit, offset)),
    }


def count_requests(lines: list[str]) -> Json:
    """Finished requests of the operator in audit lines: `watch` (renewals), `lease`, and others by verb and kind."""
    counts: dict[str, int] = {}
    for line in lines:
        event = json.loads(line)
        if event.get("stage") != "ResponseComplete" or not _is_ours(str(event.get("userAgent", ""))):
            continue
        resource = (event.get("objectRef") or {}).get("resource", event.get("requestURI", "?"))
        if event["verb"] == "watch":
            what = "watch"
        elif resource == "leases":
            what = "lease"
        else:
            what = f"{event['verb']} {resource}"
        counts[what] = counts.get(what, 0) + 1
    return dict(sorted(counts.items()))


def _is_ours(agent: str) -> bool:
    """The operator's own client, and Kopf's session; the benchmark's client calls itself python-httpx."""
    return agent.startswith(("crm-operator", "kopf")) or "aiohttp" in agent


def where_time_goes(before: str, after: str) -> Json:
    """Mean milliseconds between two texts of the operator's own metrics: a key's wait, a look, a request by verb."""
    old, new = _sums(before), _sums(after)
    found: Json = {}
    for name, (total, count) in sorted(new.items()):
        was_total, was_count = old.get(name, (0.0, 0.0))
        if count > was_count:
            found[name] = [round((total - was_total) * 1000 / (count - was_count), 1), round(count - was_count)]
    return found


_TIMES = {
    "workqueue_queue_duration_seconds": "wait for a worker",
    "workqueue_work_duration_seconds": "look",
    "rest_client_request_duration_seconds": "request",
}


def _sums(text: str) -> dict[str, tuple[float, float]]:
    """Sum and count of the histograms of times; of requests by verb."""
    found: dict[str, tuple[float, float]] = {}
    for family in text_string_to_metric_families(text):
        if (what := _TIMES.get(family.name)) is None:
            continue
        parts: dict[str, dict[str, float]] = {}
        for sample in family.samples:
            if sample.name.endswith(("_sum", "_count")):
                name = f"{what} {sample.labels['verb']}" if "verb" in sample.labels else what
                parts.setdefault(name, {})[sample.name.rpartition("_")[2]] = sample.value
        found |= {name: (part["sum"], part["count"]) for name, part in parts.items()}
    return found


def size(path: Path) -> int:
    """Of a file, in bytes."""
    return path.stat().st_size


def tail(path: Path, offset: int) -> list[str]:
    """The lines of a file from this byte on."""
    with path.open() as file:
        file.seek(offset)
        return [line for line in file.read().splitlines() if line]


def peak_bytes(pid: int) -> int:
    """The most resident memory that the process had so far."""
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM"))
