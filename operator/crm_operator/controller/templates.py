"""Asks the API server whether it would take a pod template, before anything changes.

A dry run of the Deployment: schema, defaults, admission and quota all have their say, in the API server's own words.
Whether it can be stored as well is seen when that is tried; if not, it is as good as refused.
"""

from datetime import datetime, timedelta

from crm_operator.api.names import FIELD_MANAGER_TEMPLATE
from crm_operator.api.v1alpha1 import Workers
from crm_operator.controller.kube import Conflict, Kube, KubeError, NotFound, Object, Refused
from crm_operator.controller.render import NAME_TAKEN, TemplateError, deployment, deployment_name, is_owned, name_taken
from crm_operator.controller.resources import DEPLOYMENTS
from crm_operator.domain.world import TemplateRefused, Unknown

#: A refused template is asked about again: the cause may lie outside it (admission, quota, RBAC). First after this,
#: then later and later, since a wrong template stays wrong.
RETRY = timedelta(seconds=5)
LONGEST_RETRY = timedelta(minutes=30)
#: A name that somebody else's object has is tried again after this: the remedy is not in the template, nor watched.
TAKEN_RETRY = timedelta(seconds=10)


class TemplateChecks:
    """Verdicts on templates that are not in use yet."""

    def __init__(self, kube: Kube) -> None:
        self._kube = kube
        self._accepted: dict[str, str] = {}  # uid -> revision: in mode Observe nobody stores it
        # By the integration's uid: revision, verdict, and the pause before it is asked about again.
        self._refused: dict[str, tuple[str, TemplateRefused, timedelta]] = {}
        # By the integration's uid: revision, what has its name, and when to try again.
        self._taken: dict[str, tuple[str, Unknown, datetime]] = {}

    async def verdict(
        self, integration: Object, revision: str, workers: Workers, now: datetime
    ) -> TemplateRefused | Unknown | None:
        """None: it would be taken."""
        uid = integration["metadata"]["uid"]
        if uid in self._taken:
            waits, taken, retry_at = self._taken[uid]
            if waits == revision and now < retry_at:
                return taken
        if self._accepted.get(uid) == revision:
            return None
        seen, verdict, _ = self._refused.get(uid, (None, None, RETRY))
        if seen == revision and verdict is not None and verdict.retry_at is not None and now < verdict.retry_at:
            return verdict
        pause = self._pause(uid, revision)
        answer = await self._ask(integration, revision, workers, now + pause)
        if isinstance(answer, TemplateRefused):
            self._refused[uid] = (revision, answer, pause)
        elif answer is None:
            self._accepted[uid] = revision  # what was refused before is kept, as it may be that it cannot be stored
        else:
            self._refused.pop(uid, None)
        return answer

    def refuse(self, uid: str, revision: str, why: Refused, now: datetime) -> None:
        """An accepted template could not be stored: until the next try nothing may begin that rests on it.

        Else each plan would end at storing it, also one that rolls another version back.
        """
        if why.reason == NAME_TAKEN:
            self._taken[uid] = (revision, Unknown(why.message, why.reason), now + TAKEN_RETRY)
            return
        pause = self._pause(uid, revision)
        self._accepted.pop(uid, None)
        self._refused[uid] = (revision, TemplateRefused(_their_words(why.message), retry_at=now + pause), pause)

    def _pause(self, uid: str, revision: str) -> timedelta:
        """Before it is asked about again."""
        seen, _, pause = self._refused.get(uid, (None, None, RETRY))
        return min(2 * pause, LONGEST_RETRY) if seen == revision else RETRY

    def forget(self, uid: str) -> None:
        self._refused.pop(uid, None)
        self._accepted.pop(uid, None)
        self._taken.pop(uid, None)

    async def _ask(
        self, integration: Object, revision: str, workers: Workers, retry_at: datetime
    ) -> TemplateRefused | Unknown | None:
        metadata = integration["metadata"]
        try:
            body = deployment(
                integration,
                role="stable",
                revision=revision,
                template=workers.template,
                strategy=workers.strategy,
                urgent=False,
            )
        except TemplateError as error:
            return TemplateRefused(str(error))
        try:
            await self._kube.apply(
                DEPLOYMENTS,
                metadata["namespace"],
                deployment_name(metadata["name"], "stable"),
                body,
                manager=FIELD_MANAGER_TEMPLATE,
                dry_run=True,
            )
        except (Refused, Conflict) as error:
            if await self._is_foreign(integration):
                # Its selector, not our template, is what the API server dislikes.
                return Unknown(name_taken(DEPLOYMENTS.kind, metadata["name"]), NAME_TAKEN)
            return TemplateRefused(_their_words(error.message), retry_at=retry_at)
        except NotFound as error:
            return Unknown(f"the API server has no Deployments: {error}", "Unavailable")
        except KubeError as error:
            return Unknown(str(error), "Unavailable")
        return None

    async def _is_foreign(self, integration: Object) -> bool:
        metadata = integration["metadata"]
        try:
            live = await self._kube.get(DEPLOYMENTS, metadata["namespace"], deployment_name(metadata["name"], "stable"))
        except KubeError:
            return False  # then it is the template that is said to be refused, and asked about again
        return live is not None and not is_owned(live, metadata["uid"])


def _their_words(message: str) -> str:
    """The API server's message, shortened; its `spec.template` is our `spec.workers.template`."""
    return message.replace("spec.template.", "spec.workers.template.").replace(".spec.workers", "spec.workers")[:800]
