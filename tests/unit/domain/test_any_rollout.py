"""Any specs, readings and edits in any order, against what must always hold: a machine that Hypothesis drives.

`test_simulation_orders.py` orders the events of one spec at random. Here the specs are drawn, people edit everything
that moves a rollout, each version is read apart, and a failure shrinks to the few rules that it takes.

The same examples are drawn each time, so that nobody's work is stopped by what somebody else's luck has found;
CRM_EXAMPLES=1000 looks for new ones.
"""

import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from itertools import pairwise
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from crm_operator.api.v1alpha1 import CrmIntegrationSpec, Mode, RolloutPhase, RolloutStatus, SyncState, Verb
from crm_operator.domain.split import canary_pods
from tests.unit.domain.builders import a_pause, a_spec
from tests.unit.domain.simulation import Simulation
from tests.unit.domain.transitions import documented

EDGES = {(known.before, known.after) for known in documented()}
ON_TRIAL = (RolloutPhase.CANARY, RolloutPhase.PROMOTING, RolloutPhase.BAKING)
FATES = ("good", "good", "failing", "broken", "misconfigured", "unpullable")
#: After so long each size follows from what is there now, not from what was needed before (`scaleDownAfter`).
SEEN = timedelta(seconds=22)
#: How a decision begins that ends a step or a bake, and that nobody asked for.
BY_ITSELF = ("step ", "all steps are done", "watched for")
ENDS = (RolloutPhase.STABLE, RolloutPhase.ROLLED_BACK)
BACK = (RolloutPhase.ROLLING_BACK, RolloutPhase.ROLLED_BACK)

seconds = st.integers(1, 12)
steps = st.lists(
    st.builds(lambda weight, hold: {"weight": weight, "hold": f"{hold}s"}, st.integers(1, 100), seconds), max_size=3
)
#: A bake is part of each: without one, a version that nobody has looked at is trusted because the user says so.
rollouts = st.fixed_dictionaries(
    {
        "steps": steps,
        "bake": seconds.map("{}s".format),
        "progressDeadline": st.integers(10, 40).map("{}s".format),
        "minJobs": st.sampled_from([0, 0, 5, 50]),
    }
)
answers = st.fixed_dictionaries({"pause": st.booleans(), "rollback": st.sampled_from([True, True, True, False])})


@st.composite
def sizes(draw: st.DrawFn) -> dict[str, Any]:
    most = draw(st.integers(1, 20))
    return {
        "minReplicas": draw(st.integers(0, min(2, most))),
        "maxReplicas": most,
        "backlogPerReplica": 10,
        "scaleDownAfter": draw(st.sampled_from(["1s", "20s"])),
    }


@st.composite
def specs(draw: st.DrawFn) -> CrmIntegrationSpec:
    return a_spec(rollout=draw(rollouts), scaling=draw(sizes()), onCritical=draw(answers))


class AnyRollout(RuleBasedStateMachine):
    """One integration, its users, and the world around it."""

    @initialize(spec=specs(), backlog=st.sampled_from([0, 10, 60, 100, 500]))
    def deploy(self, spec: CrmIntegrationSpec, backlog: int) -> None:
        self.sim = Simulation(spec)
        self.sim.backlog = backlog
        self.versions = {"v1": self.sim.ship("v1")}
        self.fates: dict[str, str] = {}  # of bad versions
        self.outage_of_provider = False
        self.offered: Counter[str] = Counter()  # how often each version may be tried
        self.rolled_back: Counter[str] = Counter()
        self.sim.run(5)
        self.was = self.rollout

    # --- what people do

    @rule(fate=st.sampled_from(FATES))
    def ship(self, fate: str) -> None:
        version = f"v{len(self.versions) + 1}"
        revision = self.versions[version] = self.sim.ship(version)
        self.offered[revision] += 1
        if fate != "good":
            self.fates[revision] = fate
            getattr(self.sim, fate).add(revision)
        elif self.outage_of_provider:
            self.sim.failing.add(revision)

    @rule(fate=st.sampled_from(FATES), seconds=st.integers(1, 40))
    def release(self, fate: str, seconds: int) -> None:
        """Time enough to come into any phase."""
        self.ship(fate)
        self.run(seconds)

    @rule(data=st.data())
    def ship_again(self, data: st.DataObject) -> None:
        self.offered[self.sim.ship(self._one_of(data))] += 1

    @rule(
        parts=st.one_of(
            st.fixed_dictionaries({"rollout": rollouts}),
            st.fixed_dictionaries({"scaling": sizes()}),
            st.fixed_dictionaries({"onCritical": answers}),
            st.fixed_dictionaries({"mode": st.sampled_from(["Observe", "Enforce"])}),
            st.fixed_dictionaries({"rollout": rollouts, "scaling": sizes(), "onCritical": answers}),
        )
    )
    def edit(self, parts: dict[str, Any]) -> None:
        wire = self.sim.spec.model_dump(mode="json", by_alias=True, exclude_none=True)
        self.sim.spec = CrmIntegrationSpec.model_validate(wire | parts)
        self.sim.generation += 1

    @rule(verb=st.sampled_from(list(Verb)), how=st.sampled_from(["step", "full"]))
    def ask(self, verb: Verb, how: str) -> None:
        if verb is not Verb.ABORT:  # what was rolled back, or waits, may be tried once more
            self.offered.update(self.versions.values())
        self.sim.ask(verb, f"{how}@{len(self.sim.lines)}")

    @rule()
    def pause_or_resume(self) -> None:
        self.sim.pauses = () if self.sim.pauses else (a_pause(),)
        self.sim.lift()

    # --- what the world does

    @rule(backlog=st.sampled_from([0, 1, 10, 60, 100, 500]))
    def work(self, backlog: int) -> None:
        self.sim.backlog = backlog

    @rule()
    def provider(self) -> None:
        """Every version fails, or only the bad ones again."""
        self.outage_of_provider = not self.outage_of_provider
        failing = set(self.versions.values())
        self.sim.failing = failing if self.outage_of_provider else self.failing

    @rule(data=st.data(), errors=st.integers(0, 10))
    def some_errors(self, data: st.DataObject, errors: int) -> None:
        """Not above the limit."""
        self.sim.errors[self.versions[self._one_of(data)]] = errors

    @rule(data=st.data())
    def unread(self, data: st.DataObject) -> None:
        """The workers of one version cannot be read, or can again."""
        self.sim.silent ^= {self.versions[self._one_of(data)]}

    @rule(what=st.sampled_from(["metrics", "queue", "policy", "sizes", "record", "elsewhere", "registry"]))
    def trouble(self, what: str) -> None:
        """It begins, or is over."""
        sim = self.sim
        match what:
            case "metrics":
                sim.blind = not sim.blind
            case "queue":
                (sim.find_queue if sim.outage else sim.lose_queue)()
            case "policy":
                sim.denied = not sim.denied
            case "sizes":
                self.froze, sim.frozen = True, not sim.frozen
            case "record":
                sim.unrecorded = not sim.unrecorded
            case "elsewhere":
                sim.failed_elsewhere = None if sim.failed_elsewhere else "zoho"
            case "registry":
                # What could not be pulled now can, and is as good as any.
                sim.unpullable.clear()
                self.fates = {revision: fate for revision, fate in self.fates.items() if fate != "unpullable"}

    # --- what the operator and the cluster do

    @rule(writes=st.integers(0, 6), forgets=st.booleans())
    def crash(self, writes: int, forgets: bool) -> None:
        with self._watched():
            self.sim.operate(crash_after=writes)
        if forgets:
            self.sim.restart()

    @rule(happenings=st.lists(st.sampled_from(["look", "control", "run_pods", "pass_time"]), max_size=8))
    def in_any_order(self, happenings: list[str]) -> None:
        """Looks come late, twice or never."""
        for name in happenings:
            self.look() if name == "look" else getattr(self.sim, name)()

    @rule(seconds=st.integers(1, 15))
    def run(self, seconds: int) -> None:
        """Everybody looks in turn, once a second."""
        for _ in range(seconds):
            self.look()
            self.sim.control()
            self.sim.run_pods()
            self.sim.pass_time()

    @rule(seconds=st.integers(10, 60))
    def nothing_is_seen(self, seconds: int) -> None:
        """The operator is away."""
        self.sim.pass_time(timedelta(seconds=seconds))

    @precondition(lambda self: not self.sim.is_strict)
    @rule()
    def nothing_changes(self) -> None:
        """For a while: no place of the rollout is come back to, and once seen, a size goes one way."""
        self.run(5)  # what was asked or edited before is answered
        places, wanted = [self._place()], []
        for second in range(45):
            self.run(1)
            if self._place() != places[-1]:
                assert self._place() not in places, self._said(f"again at {self._place()}")
                places.append(self._place())
            if second > SEEN.total_seconds():
                wanted.append(self._wanted())
        ways = {now > before for before, now in pairwise(wanted) if now != before}
        assert len(ways) <= 1, self._said(f"sizes {wanted}")

    def look(self) -> None:
        with self._watched():
            self.sim.operate()
        self._assert_shares()

    # --- what must hold

    @invariant()
    def the_size_is_bounded(self) -> None:
        for deployment in self.sim.deployments.values():
            assert deployment.replicas >= 0
        canary = self.sim.deployments.get("canary")
        if canary is not None and self.rollout.phase in BACK and not self.froze:
            assert canary.revision == self.rollout.failed_revision or canary.replicas == 0, self._said("a third canary")

    @invariant()
    def no_bad_version_is_trusted(self) -> None:
        """What fails, or does not start. One that was never seen at work since there was none is nobody's fault."""
        stable = self.rollout.stable_revision
        assert stable not in self.fates or stable in self.unseen, self._said(f"{stable} is bad")

    def teardown(self) -> None:
        """Left alone, it settles."""
        if not hasattr(self, "was"):
            return
        sim, began = self.sim, self.sim.now
        sim.pauses, sim.blind, sim.failed_elsewhere, sim.silent = (), False, None, set()
        sim.denied = sim.frozen = sim.unrecorded = False
        self.edit({"mode": "Enforce", "onCritical": {"pause": False, "rollback": True}})
        if self.outage_of_provider:
            self.provider()
        if sim.outage:
            sim.find_queue()
        sim.errors.clear()
        sim.backlog = 60  # without work a canary waits for `minJobs`
        sim.lift()
        quiet = 0  # seconds; a canary that waits for jobs is quiet, too
        while quiet < 2 * SEEN.total_seconds() and sim.now < began + timedelta(minutes=10):
            before = sim.writes
            self.run(1)
            keeps = any(guard.clear_time is not None for guard in sim.status.guards)  # and says so when it is over
            quiet = quiet + 1 if sim.writes == before and sim.phase in ENDS and not keeps else 0
        if sim.stable in self.unseen:
            return  # it may not start, and then it cannot be gone back to
        assert sim.phase in ENDS, self._said("it does not settle")
        assert sim.operate().actions == (), self._said("it goes on writing")
        working = sim.working(sim.stable)
        assert working == self._wanted(), self._said(f"{working} workers")
        for revision in self.fates.keys() - self.unseen:
            assert sim.working(revision) == 0, self._said(f"{revision} works")

    # --- inside

    froze = False  # a size could not be changed
    unseen: frozenset[str] = frozenset()  # bad versions that ended their bake without work

    @property
    def rollout(self) -> RolloutStatus:
        assert self.sim.status.rollout is not None
        return self.sim.status.rollout

    @property
    def failing(self) -> set[str]:
        """Versions whose jobs fail, whatever the provider does."""
        return {revision for revision, fate in self.fates.items() if fate == "failing"}

    def _one_of(self, data: st.DataObject) -> str:
        return data.draw(st.sampled_from(sorted(self.versions)))

    def _place(self) -> tuple[object, ...]:
        now = self.rollout
        return now.phase, now.step, now.stable_revision, now.candidate_revision, now.failed_revision

    def _wanted(self) -> int:
        workers = self.sim.status.workers
        return 0 if workers is None else workers.desired

    def _said(self, what: str) -> str:
        return f"{what}:\n{self.sim.log()}"

    @contextmanager
    def _watched(self) -> Iterator[None]:
        """One look of the operator, by what it makes of the rollout."""
        was, served = self.rollout, self._main()
        readable = not self.sim.blind and was.candidate_revision not in self.sim.silent
        yield
        now = self.rollout
        if now.phase is not was.phase:
            edge = (was.phase.value, now.phase.value)
            assert edge in EDGES, self._said(f"{edge} is not documented")
        if now.phase is RolloutPhase.ROLLING_BACK and was.phase is not now.phase:
            self._rolled_back(was, now, served, readable=readable)
        if not readable and served > 0:
            told = [decision.why for decision in self.sim.status.decisions if decision.time == self.sim.now]
            blind = [why for why in told if why.startswith(BY_ITSELF)]
            assert not blind, self._said(f"ended blind: {blind}")
        if now.stable_revision != was.stable_revision and was.stable_revision is not None:
            self._trusted(was, now, served)
        if now.phase is RolloutPhase.ROLLING_BACK and self._main_runs(now.failed_revision):
            assert self._main() <= served, self._said("a failed version grew")

    def _rolled_back(self, was: RolloutStatus, now: RolloutStatus, served: int, *, readable: bool) -> None:
        failed, why = now.failed_revision, now.reason or ""
        assert failed is not None
        assert was.phase in ON_TRIAL
        assert failed == was.candidate_revision
        self.rolled_back[failed] += 1
        assert self.rolled_back[failed] <= self.offered[failed], self._said(f"{failed} was tried again by itself")
        starts = failed not in self.sim.broken | self.sim.misconfigured | self.sim.unpullable
        if "aborted" in why or "no progress" in why or not starts:
            return
        assert readable, self._said(f"{failed} was rolled back blindly")
        beside = was.phase is RolloutPhase.CANARY and was.stable_revision not in self.sim.silent and served > 0
        assert failed in self.fates or not beside, self._said(f"{failed} is good, and stable fails as well")

    def _trusted(self, was: RolloutStatus, now: RolloutStatus, served: int) -> None:
        assert (was.phase, now.phase) == (RolloutPhase.BAKING, RolloutPhase.STABLE), self._said("unjudged")
        assert now.stable_revision == was.candidate_revision, self._said("another one")
        if now.stable_revision in self.fates and served == 0 and self.sim.backlog == 0:
            self.unseen |= {now.stable_revision}

    def _assert_shares(self) -> None:
        """After a look whose writes were all made."""
        canary = self.sim.deployments.get("canary")
        total = self._main() + (0 if canary is None else canary.replicas)
        rollout = self.rollout
        if self.sim.spec.mode is Mode.OBSERVE or self._is_paused() or self.sim.is_strict:
            return
        if rollout.phase is RolloutPhase.CANARY and canary is not None:
            most = max(1, canary_pods(total, rollout.weight))
            assert canary.replicas <= most, self._said(f"{canary.replicas} of {total} at {rollout.weight} %")
        surge = max(1, -(-self._wanted() // 4))
        assert total <= self._wanted() + surge, self._said(f"{total} workers of {self._wanted()}")
        if self.sim.backlog and not self.sim.outage:
            assert self._main() > 0, self._said("work, and no stable worker")

    def _main(self) -> int:
        main = self.sim.deployments.get("stable")
        return 0 if main is None else main.replicas

    def _main_runs(self, revision: str | None) -> bool:
        main = self.sim.deployments.get("stable")
        return main is not None and main.revision == revision

    def _is_paused(self) -> bool:
        sync = self.sim.status.sync
        return sync is not None and sync.state is not SyncState.RUNNING


EXAMPLES = os.environ.get("CRM_EXAMPLES")
TestAnyRollout = AnyRollout.TestCase
TestAnyRollout.settings = settings(
    max_examples=int(EXAMPLES or 40), stateful_step_count=25, deadline=None, derandomize=EXAMPLES is None
)
