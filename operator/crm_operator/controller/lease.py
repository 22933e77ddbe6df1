"""One active operator: a Lease in the operator's own namespace, held by renewing it.

The rules, and why not Kopf's peering or the client's own election: docs/decisions.md. In short: no clock of another
machine is ever compared with ours; how old the other's claim is, is measured from when we saw it change. We stop before
anybody can take over, and the process ends with us: nothing is handed back inside it.

`main.py` runs `acquire`, then `renew` beside everything else, then `release` once all writers have stopped.
`apply.py` asks `held` before every write. After a SIGSTOP or a long stall `held` is already false when the next line
runs, before `renew` gets to say so.

Taken for granted: `identity` is this pod's alone. A container restarted in its pod finds its own name and goes on at
once, in a new epoch.
"""

import asyncio
import logging
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, NoReturn

from crm_operator.controller.kube import Conflict, Kube, KubeError, Object
from crm_operator.controller.resources import LEASES

log = logging.getLogger(__name__)

#: The process's exit code when the lease is lost.
EXIT_LOST = 71


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseTimes:
    """`duration` > `renew_deadline` > `retry`: a holder gives up well before others may take over."""

    duration: timedelta = timedelta(seconds=15)  # others wait this long after the last change they saw
    renew_deadline: timedelta = timedelta(seconds=10)  # a holder that could not renew for this long stops
    retry: timedelta = timedelta(seconds=2)  # between renewals; each request takes less
    poll: timedelta = timedelta(seconds=1)  # between looks of one who waits


class LeaseLost(Exception):
    """Somebody else may be active from now on. The process must end, at once and without cleaning up."""


class Lease:
    """This process's candidacy for one Lease object."""

    def __init__(
        self,
        kube: Kube,
        namespace: str,
        name: str,
        identity: str,
        *,
        clock: Callable[[], datetime],
        observe: Callable[[bool], None],
        times: LeaseTimes = LeaseTimes(),
    ) -> None:
        """`clock` gives the wall time that people read in the object. `observe` is told when leadership changes."""
        self._kube = kube
        self._namespace, self._name = namespace, name
        self.identity = identity
        self._clock = clock
        self._observe = observe
        self._times = times
        self._mine: Object | None = None  # the Lease as we wrote it last
        self._renewed = 0.0  # monotonic, from before the request that renewed it was sent
        self._seen: tuple[Any, ...] = ()  # another's record as it was last seen to change
        self._seen_at = 0.0  # monotonic, when
        #: Fencing number: grows with every change of the holder. A status written by a higher one is not to be touched.
        self.epoch = -1

    @property
    def held(self) -> bool:
        """Whether a write may start now."""
        return self._mine is not None and self._age() < self._times.renew_deadline.total_seconds()

    async def acquire(self) -> None:
        """Wait until we hold it. Errors of the API server are waited out; cancel to give up."""
        log.info("Waiting for the lease", extra={"lease": f"{self._namespace}/{self._name}", "identity": self.identity})
        said = ""
        while True:
            try:
                if await self._try():
                    self._observe(True)
                    log.info("Leading", extra={"lease": f"{self._namespace}/{self._name}", "epoch": self.epoch})
                    return
            except Conflict:
                pass  # somebody was faster; the next look shows who
            except KubeError as error:
                if str(error) != said:
                    log.warning("Cannot read or write the lease, will retry", extra={"reason": str(error)})
                said = str(error)
            # Jitter, so that two who wait do not collide for ever.
            await asyncio.sleep(self._times.poll.total_seconds() * (0.8 + 0.4 * random.random()))

    async def renew(self) -> NoReturn:
        """Keep it. Returns never; raises LeaseLost when others may believe that we are gone.

        Answer that with `watchdog.die(..., EXIT_LOST)` on the spot: a TaskGroup would first wait for its other tasks.
        """
        while True:
            await asyncio.sleep(self._times.retry.total_seconds())
            try:
                await self._put(self._record(acquired=False))
            except Conflict:
                await self._check_holder()
            except KubeError as error:
                log.warning(
                    "Could not renew the lease",
                    extra={"age_seconds": round(self._age(), 1), "reason": str(error)},
                )
            if not self.held:
                raise self._lost(f"not renewed for {self._age():.1f} s")

    async def release(self) -> None:
        """Let the next one start at once. Call when no more writes can come from this process."""
        if not self.held or self._mine is None:
            return
        record = self._record(acquired=False) | {"holderIdentity": "", "leaseDurationSeconds": 1}
        try:
            try:
                await self._put(record)
            except Conflict:
                # As a rule our own renewal, cut off by the stop and yet arrived.
                await self._check_holder()
                await self._put(record)
        except (KubeError, LeaseLost) as error:
            log.warning("Could not release the lease; it will expire", extra={"reason": str(error)})
        self._mine = None
        self._observe(False)

    # --- inside

    async def _try(self) -> bool:
        """Look once, and take it if it is free; True: we hold it."""
        began = time.monotonic()
        lease = await self._kube.get(LEASES, self._namespace, self._name, timeout=self._request)
        if lease is None:
            body: Object = {"metadata": {"name": self._name, "namespace": self._namespace}}
            body["spec"] = self._record(acquired=True, transitions=0)
            self._took(await self._kube.create(LEASES, self._namespace, body, timeout=self._request), began)
            return True
        spec = lease.get("spec") or {}
        holder = spec.get("holderIdentity") or ""
        if holder not in ("", self.identity) and not self._expired(lease, spec):
            return False
        transitions = int(spec.get("leaseTransitions") or 0) + 1
        self._mine = lease
        try:
            await self._put(self._record(acquired=True, transitions=transitions))
        except BaseException:
            self._mine = None
            raise
        return True

    def _expired(self, lease: Object, spec: Object) -> bool:
        """Whether another's record has stood still for as long as it said it would be renewed."""
        record = (lease["metadata"]["uid"], spec.get("holderIdentity"), spec.get("renewTime"), spec.get("acquireTime"))
        if record != self._seen:
            self._seen, self._seen_at = record, time.monotonic()
        lasts = float(spec.get("leaseDurationSeconds") or self._times.duration.total_seconds())
        return time.monotonic() - self._seen_at >= lasts

    async def _put(self, record: Object) -> None:
        """Write our record over the version that we know."""
        assert self._mine is not None
        began = time.monotonic()
        body = {**self._mine, "spec": record}
        self._took(await self._kube.update(LEASES, self._namespace, self._name, body, timeout=self._request), began)

    def _took(self, lease: Object, began: float) -> None:
        self._mine = lease
        self._renewed = began
        self.epoch = int(lease["spec"].get("leaseTransitions") or 0)

    async def _check_holder(self) -> None:
        """Our version of the Lease is old: a lost answer of our own, an edit by a person, or another holder."""
        try:
            lease = await self._kube.get(LEASES, self._namespace, self._name, timeout=self._request)
        except KubeError as error:
            log.warning("Could not read the lease after a conflict", extra={"reason": str(error)})
            return
        spec = (lease or {}).get("spec") or {}
        same = spec.get("holderIdentity") == self.identity and int(spec.get("leaseTransitions") or 0) == self.epoch
        if lease is None or not same:
            raise self._lost(f"held by {spec.get('holderIdentity') or 'nobody'}")
        self._mine = lease  # renewed by the next turn, within the deadline

    def _lost(self, why: str) -> LeaseLost:
        self._mine = None
        self._observe(False)
        return LeaseLost(why)

    def _record(self, *, acquired: bool, transitions: int | None = None) -> Object:
        now = self._clock().astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        before = (self._mine or {}).get("spec") or {}
        return {
            "holderIdentity": self.identity,
            "leaseDurationSeconds": int(self._times.duration.total_seconds()),
            "acquireTime": now if acquired else before.get("acquireTime", now),
            "renewTime": now,
            "leaseTransitions": self.epoch if transitions is None else transitions,
        }

    def _age(self) -> float:
        """Seconds since the last renewal that was answered, counted from before it was sent."""
        return time.monotonic() - self._renewed

    @property
    def _request(self) -> timedelta:
        return self._times.retry * 0.75
