"""How long one job takes: learned from the workers' own histograms, per version; before that, what the spec says.

A version that fails fast looks fast. So while pods of the stable version run, what another one teaches counts only as
far as it is slower. When only the version on trial runs, its own word is all there is.
"""

from collections import Counter
from dataclasses import dataclass
from datetime import timedelta

from crm_operator.domain.world import World

#: What is learned is believed up to this factor from `scaling.jobDuration`, either way: metrics can be wrong.
FARTHEST = 50
#: Bounds of `scaling.jobDuration`.
_LEAST, _MOST = timedelta(milliseconds=1), timedelta(hours=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class JobDuration:
    """The mean over the workers, each version by its number of Ready pods."""

    mean: timedelta
    #: The version that taught it; None: it is the spec's.
    learned_from: str | None = None


def job_duration(world: World) -> JobDuration:
    """The duration that scaling reckons with; always within the bounds of `scaling.jobDuration`."""
    pods = _ready_pods(world)
    rollout = world.status.rollout
    stable = None if rollout is None else rollout.stable_revision
    learned = {side: _believed(world, time.mean) for side, time in world.job_times.items()}
    if stable is None or not pods[stable]:
        # Only the version on trial runs: it stands for all.
        stable = next((side for side, _ in pods.most_common() if side in learned), stable)
    base = _of(world, stable, learned)
    if base.learned_from is None:
        return base
    others = [side for side in pods if side != stable]
    millis = {side: max(learned.get(side, base.mean), base.mean) for side in others}
    count = pods.total() or 1
    extra = sum(((millis[side] - base.mean) * pods[side] for side in others), timedelta(0))
    return JobDuration(mean=base.mean + extra / count, learned_from=base.learned_from)


def _of(world: World, revision: str | None, learned: dict[str, timedelta]) -> JobDuration:
    """Learned now, or learned before and written down, or the spec's."""
    if revision is not None and revision in learned:
        return JobDuration(mean=learned[revision], learned_from=revision)
    rollout, recorded = world.status.rollout, world.status.scaling
    trusted = () if rollout is None else (rollout.stable_revision, rollout.candidate_revision)
    if (
        world.spec.metrics.pods is not None
        and recorded is not None
        and recorded.learned_revision is not None
        and recorded.learned_revision in trusted
    ):
        mean = timedelta(milliseconds=recorded.job_duration_milliseconds)
        return JobDuration(mean=_believed(world, mean), learned_from=recorded.learned_revision)
    return JobDuration(mean=world.spec.scaling.job_duration)


def _believed(world: World, mean: timedelta) -> timedelta:
    said: timedelta = world.spec.scaling.job_duration
    low, high = max(_LEAST, said / FARTHEST), min(_MOST, said * FARTHEST)
    return min(max(mean, low), high)


def _ready_pods(world: World) -> Counter[str]:
    return Counter(
        pod.revision
        for workload in (world.stable, world.canary)
        if workload is not None
        for pod in workload.pods
        if pod.ready and not pod.terminating
    )
