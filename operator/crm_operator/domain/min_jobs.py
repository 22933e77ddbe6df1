"""A guard's own `minJobs`: below so many finished jobs its value says nothing, good or bad.

One error of one job is a ratio of 100 %. What has too few jobs behind it is Unknown, like any value that cannot be
told, so it neither breaches nor lets a step end. Each value is held against the jobs of those whose value it is: of one
version, or of all. Asked where evidence is gathered, for guards of any source that have a window.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from crm_operator.api.duration import render
from crm_operator.api.v1alpha1 import Guard
from crm_operator.domain.world import Evidence, Reading, Unknown

#: The reason of a value that has too few jobs behind it. Only news of more can change that.
TOO_FEW_JOBS = "TooFewJobs"


@dataclass(frozen=True, slots=True, kw_only=True)
class JobsWithin:
    """Jobs finished within a guard's window, as far as they were seen, or why nobody counts them."""

    by_revision: Mapping[str, float | Unknown]  # of versions that have pods
    overall: float | Unknown


def with_enough_jobs(guard: Guard, evidence: Evidence, done: JobsWithin) -> Evidence:
    """`evidence` without the values that have too few jobs behind them."""
    nobody = Unknown("no pod of this version was read yet", "NoPods")
    return replace(
        evidence,
        by_revision={
            revision: _if_enough(guard, found, done.by_revision.get(revision, nobody))
            for revision, found in evidence.by_revision.items()
        },
        overall=_if_enough(guard, evidence.overall, done.overall),
    )


def _if_enough(guard: Guard, found: Reading | Unknown, done: float | Unknown) -> Reading | Unknown:
    if isinstance(found, Unknown):
        return found
    if isinstance(done, Unknown):
        return Unknown(f"the jobs for minJobs cannot be counted: {done.why}", done.reason)
    if done >= guard.min_jobs:
        return found
    assert guard.window is not None, "the API server lets minJobs through only with a window"
    return Unknown(f"{done:.0f} of {guard.min_jobs} jobs in {render(guard.window)} (minJobs)", TOO_FEW_JOBS)
