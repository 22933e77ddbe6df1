"""Keeps each pod template that was ever used, so that a rollback finds it: as a ControllerRevision, and in memory.

The template is kept as the user wrote it. Applied again, it equals the template of the ReplicaSet that ran it, and the
Deployment controller takes that previous ReplicaSet up again; when it was pruned, it makes a new one.
"""

import logging
from collections.abc import Iterable
from datetime import datetime, timedelta

from crm_operator.api.names import LABEL_INTEGRATION, LABEL_MANAGED_BY, LABEL_REVISION, MANAGED_BY
from crm_operator.controller.kube import Conflict, Kube, KubeError, Object, Refused, Unavailable
from crm_operator.controller.render import NAME_TAKEN, is_owned, name_taken, owner_reference, revision_name
from crm_operator.controller.resources import CONTROLLERREVISIONS, CRMINTEGRATIONS
from crm_operator.domain.revision import revision_of
from crm_operator.domain.world import Template

log = logging.getLogger(__name__)

#: ControllerRevisions kept per integration, besides those still in use.
KEEP = 10
#: A template that was not there is asked for again after this; a lost one does not come back by itself.
ABSENT_FOR = timedelta(seconds=30)


class Revisions:
    """The templates of all integrations, by the integration's uid and the revision."""

    def __init__(self, kube: Kube) -> None:
        self._kube = kube
        self._templates: dict[tuple[str, str], Template] = {}
        self._absent: dict[tuple[str, str], datetime] = {}

    def template(self, uid: str, revision: str) -> Template | None:
        """A template already read or recorded."""
        return self._templates.get((uid, revision))

    async def known(self, integration: Object, wanted: Iterable[str], now: datetime) -> frozenset[str]:
        """Those of `wanted` whose template is stored; each is read once and then remembered."""
        found = set()
        for revision in wanted:
            if await self._load(integration, revision, now) is not None:
                found.add(revision)
        return frozenset(found)

    async def record(self, integration: Object, revision: str, template: Template, keep: frozenset[str]) -> None:
        """Store a template under its revision, then prune.

        Raises KubeError; Refused with reason NAME_TAKEN when somebody else's object stands in the way.
        """
        metadata = integration["metadata"]
        body: Object = {
            "metadata": {
                "name": revision_name(metadata["name"], revision),
                "labels": {
                    LABEL_MANAGED_BY: MANAGED_BY,
                    LABEL_INTEGRATION: metadata["name"],
                    LABEL_REVISION: revision,
                },
                "ownerReferences": [owner_reference(integration)],
            },
            "data": {"template": template},
            "revision": int(metadata["generation"]),
        }
        try:
            await self._kube.create(CONTROLLERREVISIONS, metadata["namespace"], body)
        except Conflict as conflict:
            self._absent.pop((metadata["uid"], revision), None)
            if await self._load(integration, revision, None) is None:
                raise await self._in_the_way(integration, body["metadata"]["name"]) from conflict
        self._templates[metadata["uid"], revision] = template
        self._absent.pop((metadata["uid"], revision), None)
        await self._prune(integration, keep)

    def forget(self, uid: str) -> None:
        """The integration is gone."""
        for memory in (self._templates, self._absent):
            for key in [key for key in memory if key[0] == uid]:
                del memory[key]

    async def _load(self, integration: Object, revision: str, now: datetime | None) -> Template | None:
        metadata = integration["metadata"]
        key = (metadata["uid"], revision)
        if key in self._templates:
            return self._templates[key]
        if now is not None and key in self._absent and now - self._absent[key] < ABSENT_FOR:
            return None
        name = revision_name(metadata["name"], revision)
        stored = await self._kube.get(CONTROLLERREVISIONS, metadata["namespace"], name)
        template = None if stored is None else (stored.get("data") or {}).get("template")
        owned = stored is not None and is_owned(stored, metadata["uid"])
        # A ControllerRevision that somebody else wrote or changed must not decide what runs.
        if not owned or not isinstance(template, dict) or revision_of(template) != revision:
            if now is not None:
                self._absent[key] = now
            return None
        self._templates[key] = template
        return template

    async def _in_the_way(self, integration: Object, name: str) -> KubeError:
        """What to raise when an object that is not ours has, or just had, this name."""
        stored = await self._kube.get(CONTROLLERREVISIONS, integration["metadata"]["namespace"], name)
        if stored is None or _is_left_behind(stored, integration):
            return Unavailable(f"ControllerRevision {name} is of an integration that is gone, and goes as well")
        return Refused(0, NAME_TAKEN, name_taken(CONTROLLERREVISIONS.kind, name))

    async def _prune(self, integration: Object, keep: frozenset[str]) -> None:
        """Delete all but the newest KEEP. A failure here never fails the release that is under way."""
        metadata = integration["metadata"]
        selector = f"{LABEL_MANAGED_BY}={MANAGED_BY},{LABEL_INTEGRATION}={metadata['name']}"
        try:
            stored, _ = await self._kube.list(CONTROLLERREVISIONS, metadata["namespace"], label_selector=selector)
            stored.sort(key=lambda item: (item.get("revision", 0), item["metadata"]["creationTimestamp"]), reverse=True)
            for item in stored[KEEP:]:
                revision = item["metadata"]["labels"].get(LABEL_REVISION, "")
                if revision not in keep:
                    await self._kube.delete(
                        CONTROLLERREVISIONS,
                        metadata["namespace"],
                        item["metadata"]["name"],
                        uid=item["metadata"]["uid"],
                    )
                    self._templates.pop((metadata["uid"], revision), None)
        except KubeError as error:
            log.warning(
                "Could not prune old templates",
                extra={"integration": f"{metadata['namespace']}/{metadata['name']}", "reason": str(error)},
            )


def _is_left_behind(stored: Object, integration: Object) -> bool:
    """Whether it was an integration's of this name, now deleted, so that the garbage collector is about to take it."""
    metadata, ours = stored["metadata"], integration["metadata"]
    owners = {(owner.get("kind"), owner.get("name")) for owner in metadata.get("ownerReferences") or ()}
    if owners != {(CRMINTEGRATIONS.kind, ours["name"])} or is_owned(stored, ours["uid"]):
        return False
    return "deletionTimestamp" not in metadata  # else something keeps it
