"""What a person asks for: an annotation on the integration, or a SyncPause. Each waits for the operator's answer.

Nothing here decides: the operator does, and says in status what came of it.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from crm_operator.api.names import annotation
from crm_operator.api.v1alpha1 import Verb
from crm_operator.controller.kube import Kube, NotFound, Object
from crm_operator.controller.resources import CRMINTEGRATIONS, SYNCPAUSES

FIELD_MANAGER = "kubectl-crm"
#: How long an answer is waited for, and how often it is looked for.
ANSWERED_WITHIN, LOOK_EVERY = timedelta(seconds=15), timedelta(milliseconds=300)
#: Workers finish the jobs that they run before they are gone.
PAUSED_WITHIN = timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of it, in a sentence."""

    done: bool
    message: str


async def ask(kube: Kube, namespace: str, name: str, verb: Verb, *, now: datetime, how: str | None = None) -> Outcome:
    """Set the annotation of `verb` to a value that is new; `how` is `step` or `full` of a promote.

    Raises NotFound when there is no such integration.
    """
    moment = f"{now:%Y-%m-%dT%H:%M:%S.%f}Z"
    value = moment if how is None else f"{how}@{moment}"
    body = {"metadata": {"annotations": {annotation(verb): value}}}
    await kube.patch(CRMINTEGRATIONS, namespace, name, body, manager=FIELD_MANAGER)

    async def answer() -> Outcome | None:
        item = await _get_integration(kube, namespace, name)
        for told in (item.get("status") or {}).get("verbs") or []:
            if told["name"] == verb.value and told["value"] == value:
                return Outcome(told["result"] == "Done", f"{told['result']}: {told.get('message') or verb.value}")
        return None

    return await _wait(answer, ANSWERED_WITHIN) or Outcome(
        False, f"asked ({annotation(verb)}: {value}), and the operator has not answered yet; is it running?"
    )


async def pause(
    kube: Kube, namespace: str, target: str, *, reason: str, integration: bool, expires_after: str | None
) -> Outcome:
    """Stop provider `target`, or the one integration of that name, by a SyncPause called like it."""
    chosen = {"integrations": [target]} if integration else {"providers": [target]}
    wanted: dict[str, Any] = {"paused": True, "reason": reason, "expiresAfter": expires_after}
    there = await kube.get(SYNCPAUSES, namespace, target)
    if there is None:
        given = {key: value for key, value in wanted.items() if value is not None}
        await kube.create(SYNCPAUSES, namespace, {"metadata": {"name": target}, "spec": {**chosen, **given}})
    elif any(there["spec"].get(field) != value for field, value in chosen.items()):
        return Outcome(False, f"SyncPause {target} exists and stops something else ({_stops(there)}); change that one")
    elif (there.get("status") or {}).get("phase") == "Expired":
        return Outcome(False, f"SyncPause {target} exists and has expired; first: kubectl crm resume {target}")
    else:
        await kube.patch(SYNCPAUSES, namespace, target, {"spec": wanted}, manager=FIELD_MANAGER)

    async def paused() -> Outcome | None:
        item = await kube.get(SYNCPAUSES, namespace, target)
        status = (item or {}).get("status") or {}
        if item is None or status.get("observedGeneration") != item["metadata"]["generation"]:
            return None
        return Outcome(True, f"Paused: {status['message']}") if status.get("phase") == "Paused" else None

    return await _wait(paused, PAUSED_WITHIN) or Outcome(
        False, f"SyncPause {target} is set, and workers still drain; look again with: kubectl get syncpause {target}"
    )


async def resume(kube: Kube, namespace: str, target: str) -> Outcome:
    """Lift every pause that stops `target` and nothing else; the others are named.

    `target` is a provider, an integration, or a SyncPause.
    """
    items, _ = await kube.list(SYNCPAUSES, namespace)
    holding = [item for item in items if item["spec"].get("paused", True)]
    own = [item for item in holding if item["metadata"]["name"] == target or _stops(item) == target]
    for item in own:
        name = item["metadata"]["name"]
        await kube.patch(SYNCPAUSES, namespace, name, {"spec": {"paused": False}}, manager=FIELD_MANAGER)
    lifted = ", ".join(sorted(item["metadata"]["name"] for item in own))
    left = ", ".join(sorted(f"{item['metadata']['name']} ({_stops(item)})" for item in holding if item not in own))
    rest = f"; still paused: {left}" if left else ""
    return Outcome(bool(own), (f"Lifted: {lifted}" if own else f"no SyncPause stops just {target}") + rest)


def _stops(item: Object) -> str:
    """`hubspot`, `hubspot, zoho`, or `everything here`."""
    spec = item["spec"]
    return ", ".join(spec.get("integrations") or spec.get("providers") or ["everything here"])


async def _get_integration(kube: Kube, namespace: str, name: str) -> Object:
    item = await kube.get(CRMINTEGRATIONS, namespace, name)
    if item is None:
        raise NotFound(f"CrmIntegration {name} does not exist in namespace {namespace}")
    return item


async def _wait(look: Callable[[], Awaitable[Outcome | None]], within: timedelta) -> Outcome | None:
    """What `look` finds first. None: nothing in time."""
    try:
        async with asyncio.timeout(within.total_seconds()):
            while (found := await look()) is None:  # noqa: ASYNC110 (the API server is asked)
                await asyncio.sleep(LOOK_EVERY.total_seconds())
            return found
    except TimeoutError:
        return None
