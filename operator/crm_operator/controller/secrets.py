"""Reads single keys of Secrets, by name, in the integration's own namespace. Never lists, never watches.

A value is remembered until `renew` says that it does not work any more: a quiet cluster sees no reads.
"""

import base64
import binascii
from collections.abc import Callable
from datetime import datetime, timedelta

from crm_operator.api.v1alpha1 import FromSecret, SecretKeyRef
from crm_operator.controller.kube import Kube, KubeError, Refused
from crm_operator.controller.resources import SECRETS
from crm_operator.domain.world import Unknown
from crm_operator.sources.secret import Secret

#: A Secret that is missing or does not work is read again after this, e.g. when a password is being replaced.
RETRY = timedelta(seconds=10)


class Secrets:
    """The Secret keys that integrations refer to."""

    def __init__(self, kube: Kube, clock: Callable[[], datetime]) -> None:
        self._kube = kube
        self._clock = clock
        self._values: dict[tuple[str, str, str], tuple[datetime, Secret | Unknown]] = {}

    async def read(self, namespace: str, ref: SecretKeyRef, *, renew: bool, field: str) -> Secret | Unknown:
        """The value, or why there is none. `renew`: the value read before does not work."""
        key = (namespace, ref.name, ref.key)
        now = self._clock()
        if key in self._values:
            at, value = self._values[key]
            if (isinstance(value, Secret) and not renew) or now - at < RETRY:
                return value
        value = await self._read(namespace, ref, field)
        self._values[key] = (now, value)
        return value

    async def follow(
        self, namespace: str, given: FromSecret, *, renew: bool, field: str
    ) -> tuple[Secret | Unknown, str]:
        """The value that `field` refers to, and what texts call its place: the field with the Secret's name and key."""
        ref = given.secret_key_ref
        value = await self.read(namespace, ref, renew=renew, field=field)
        return value, f"{field} (Secret {ref.name}, key {ref.key})"

    async def follow_any(
        self, namespace: str, given: FromSecret | None, *, renew: bool, field: str
    ) -> tuple[Secret | Unknown | None, str]:
        """The same for a field that may be left out: None then."""
        return (None, field) if given is None else await self.follow(namespace, given, renew=renew, field=field)

    async def _read(self, namespace: str, ref: SecretKeyRef, field: str) -> Secret | Unknown:
        try:
            stored = await self._kube.get(SECRETS, namespace, ref.name)
        except Refused as error:
            return Unknown(
                f"{field}: Secret {ref.name} may not be read ({error.reason}); let the operator get Secrets here",
                "SecretForbidden",
            )
        except KubeError as error:
            return Unknown(f"{field}: Secret {ref.name} could not be read: {type(error).__name__}", "SecretUnread")
        if stored is None:
            return Unknown(f"{field}: Secret {ref.name} does not exist in {namespace}; create it", "SecretNotFound")
        encoded = (stored.get("data") or {}).get(ref.key)
        if encoded is None:
            have = ", ".join(sorted(stored.get("data") or {})[:5]) or "none"
            return Unknown(
                f"{field}: Secret {ref.name} has no key {ref.key} (it has: {have}); add it, or name another",
                "SecretKeyNotFound",
            )
        try:
            return Secret(base64.b64decode(encoded, validate=True).decode().strip())
        except (binascii.Error, UnicodeDecodeError):
            return Unknown(
                f"{field}: key {ref.key} of Secret {ref.name} is not text; store the URL, the token, or a CA as PEM",
                "SecretInvalid",
            )
