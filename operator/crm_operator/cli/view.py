"""A CrmIntegration's status as lines of text. Pure; a field that is missing costs its own line and no other."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any

Object = dict[str, Any]

#: Of `explain`.
DECISIONS = 5
_LABEL = 11  # characters
_INDENT = 2  # of what belongs to the decision above it


def table(items: Sequence[Object]) -> list[str]:
    """One line per integration."""
    if not items:
        return ["no CrmIntegration in this namespace"]
    rows = [("NAME", "PHASE", "READY", "WAITING", "WORKERS", "CANARY", "ROLLOUT")]
    for item in sorted(items, key=lambda item: str(item["metadata"]["name"])):
        status = item.get("status") or {}
        workers, rollout = status.get("workers") or {}, status.get("rollout") or {}
        rows.append(
            (
                item["metadata"]["name"],
                _text(status.get("phase")),
                _text(_condition(status, "Ready").get("status")),
                _text((status.get("queue") or {}).get("waiting")),
                _text(workers.get("ready")),
                _text(workers.get("canary")),
                _text(rollout.get("phase")),
            )
        )
    return _columns(rows)


def status(item: Object, now: datetime) -> list[str]:
    """What it is doing, on one screen."""
    return [*_head(item, now), *_numbers(item.get("status") or {}), *_next(item, now)]


def explain(item: Object, now: datetime) -> list[str]:
    """What it is doing and why: guards with their values, the last decisions, and what comes next."""
    status = item.get("status") or {}
    return [
        *_head(item, now),
        *_numbers(status),
        *_guards(status, now),
        *_decisions(status, now),
        *_next(item, now),
    ]


def _head(item: Object, now: datetime) -> Iterator[str]:
    metadata, status = item["metadata"], item.get("status") or {}
    yield f"{metadata['name']}  {_text(status.get('phase'))}  (provider {_text(item.get('spec', {}).get('provider'))})"
    observed, generation = status.get("observedGeneration", -1), metadata.get("generation")
    if observed == -1:
        yield _line("why", "the operator has not seen it yet; is it running?")
        return
    if observed != generation:
        yield _line("stale", f"this is of generation {observed}; the spec is at {generation}")
    yield _line("why", _text(status.get("message")))


def _numbers(status: Object) -> Iterator[str]:
    workers, queue = status.get("workers"), status.get("queue")
    if workers:
        wanted = workers["stable"] + workers["canary"]
        asked = f"; mode Enforce would ask for {wanted}" if _observes(status) else f" of {wanted} asked for"
        split = f"({workers['stable']} stable, {workers['canary']} canary)"
        yield _line("workers", f"{workers['ready']} Ready{asked} {split}")
    if queue:
        age = queue.get("oldestAgeSeconds")
        oldest = "" if age is None else f", the oldest for {age} s"
        yield _line(
            "queue",
            f"{queue['waiting']} waiting{oldest}, {queue['running']} running, {queue['delayed']} delayed, "
            f"{queue['dead']} dead",
        )
    yield from _rollout(status.get("rollout") or {})
    pauses = (status.get("sync") or {}).get("pauses")
    if pauses:
        yield _line("paused by", ", ".join(pauses))


def _observes(status: Object) -> bool:
    """Whether nothing that it says is asked of anybody; from the status, as its numbers are, and not from the spec."""
    return bool(_condition(status, "Reconciling").get("reason") == "Observing")


def _rollout(rollout: Object) -> Iterator[str]:
    if not rollout:
        return
    parts = [rollout["phase"]]
    if rollout["phase"] == "Canary":
        parts.append(f"step {rollout['step'] + 1} at {rollout['weight']} %")
    named = (("stable", "stableRevision"), ("new", "canaryRevision"), ("failed", "failedRevision"))
    parts += [f"{word} {rollout[field]}" for word, field in named if rollout.get(field)]
    yield _line("rollout", ", ".join(parts))


def _guards(status: Object, now: datetime) -> Iterator[str]:
    guards = status.get("guards") or []
    if not guards:
        yield _line("guards", "none")
        return
    rows = [("GUARD", "STATE", "VALUE", "STABLE", "LIMIT", "WINDOW", "SAMPLES", "BLAME", "FOR", "")]
    rows += [
        (
            guard["name"],
            guard["state"],
            _text(guard.get("value")),
            _text(guard.get("stableValue")),
            _text(guard.get("threshold")),
            _text(guard.get("window")),
            _text(guard.get("samples")),
            _text(guard.get("blame")),
            _age(guard.get("since"), now),
            guard.get("message") or "",
        )
        for guard in guards
    ]
    yield from _block("guards", _columns(rows))


def _decisions(status: Object, now: datetime) -> Iterator[str]:
    decisions = (status.get("decisions") or [])[-DECISIONS:]
    if not decisions:
        return
    lines = []
    for decision in reversed(decisions):
        moved = f" ({decision.get('from') or 'none'} -> {decision['to']})" if decision.get("to") else ""
        lines.append(f"{_age(decision.get('time'), now)} ago  {decision['what']}: {decision['why']}{moved}")
        lines += [f"{'':<{_INDENT}}{line}" for line in (_evidence(decision), _then(decision)) if line]
    yield from _block("decided", lines)


def _evidence(decision: Object) -> str:
    """`guard sync-errors: 15 on 1 sample in 5m, limit 10, stable 0, blame revision`"""
    evidence = decision.get("evidence")
    if not evidence:
        return ""
    parts = [
        _text(evidence.get("value"))
        + (f" on {evidence['samples']} sample(s)" if "samples" in evidence else "")
        + (f" in {evidence['window']}" if "window" in evidence else ""),
        *(
            f"{word} {evidence[field]}"
            for word, field in (("limit", "threshold"), ("stable", "stableValue"), ("blame", "blame"))
            if field in evidence
        ),
    ]
    return f"guard {evidence['guard']}: {', '.join(parts)}"


def _then(decision: Object) -> str:
    """What was to come next. A mere change of size leads to what was to come anyway."""
    then = decision.get("next")
    if not then or decision["what"] == "Scaled":
        return ""
    at = f" at {then['time'][11:19]} UTC" if "time" in then else ""
    return f"then{at}: {then['what']}"


def _next(item: Object, now: datetime) -> Iterator[str]:
    then = (item.get("status") or {}).get("next")
    if not then:
        return
    at = then.get("time")
    when = "" if at is None else f"{at[11:19]} UTC, {_until(at, now)}: "
    yield _line("next", f"{when}{then['what']}")


def _condition(status: Object, type_: str) -> Object:
    found: Object = next((item for item in status.get("conditions") or [] if item.get("type") == type_), {})
    return found


def _line(label: str, text: str) -> str:
    return f"  {label:<{_LABEL}}{text}"


def _block(label: str, lines: Iterable[str]) -> Iterator[str]:
    for line in lines:
        yield _line(label, line)
        label = ""


def _text(value: object) -> str:
    return "-" if value is None else str(value)


def _columns(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[n]) for row in rows) for n in range(len(rows[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _age(time: str | None, now: datetime) -> str:
    return "-" if time is None else _span((now - datetime.fromisoformat(time)).total_seconds())


def _until(time: str, now: datetime) -> str:
    left = (datetime.fromisoformat(time) - now).total_seconds()
    return f"in {_span(left)}" if left > 0 else "due"


def _span(seconds: float) -> str:
    """The largest unit that fits: 7s, 3m, 2h, 5d."""
    whole = max(0, int(seconds))
    for size, unit in ((86400, "d"), (3600, "h"), (60, "m")):
        if whole >= size:
            return f"{whole // size}{unit}"
    return f"{whole}s"
