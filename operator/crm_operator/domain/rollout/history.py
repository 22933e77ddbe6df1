"""Which versions served well and until when, and which images failed.

A version is in `status.rollout.goodRevisions` when it finished its bake (a first one when it ran in all workers), and
struck off when it is rolled back: going back to a good one needs no canary. An image is in `failedImages` when a
version with it was rolled back, and struck off when one comes to the end: the namespace's other integrations
look there before they begin.
"""

from datetime import datetime, timedelta

from crm_operator.api.v1alpha1 import GoodRevision, RolloutPhase, RolloutStatus

#: A version that stopped serving longer ago than this goes through the steps like any other.
REVERT_WINDOW = timedelta(hours=1)
#: Versions, and images, that are remembered.
KEPT = 5


def remembered(was: RolloutStatus, rollout: RolloutStatus, now: datetime) -> RolloutStatus:
    """`rollout`, which followed on `was`, with both lists brought up to date."""
    good = [item for item in was.good_revisions if item.revision != rollout.failed_revision]
    if _completed(was, rollout) and all(item.revision != rollout.stable_revision for item in good):
        good.append(GoodRevision(revision=rollout.stable_revision or ""))
    serving = rollout.candidate_revision if rollout.phase is RolloutPhase.BAKING else rollout.stable_revision
    good = [
        item.model_copy(update={"stopped_time": None if item.revision == serving else item.stopped_time or now})
        for item in good
    ]
    # The one that serves is the last to be forgotten.
    good.sort(key=lambda item: (item.stopped_time is None, item.stopped_time or now))
    return rollout.model_copy(update={"good_revisions": good[-KEPT:], "failed_images": _failed_images(was, rollout)})


def stopped_ago(was: RolloutStatus, revision: str, now: datetime) -> timedelta | None:
    """How long ago a good version stopped serving, while that is short enough to trust it still."""
    for item in was.good_revisions:
        if item.revision == revision and item.stopped_time is not None:
            ago = now - item.stopped_time
            return ago if ago < REVERT_WINDOW else None
    return None


def _failed_images(was: RolloutStatus, rollout: RolloutStatus) -> list[str]:
    """The newest last."""
    image = was.candidate_image
    failed = rollout.phase is RolloutPhase.ROLLING_BACK and was.phase is not RolloutPhase.ROLLING_BACK
    if image is None or not (failed or _completed(was, rollout)):
        return was.failed_images
    others = [item for item in was.failed_images if item != image]
    return [*others, image][-KEPT:] if failed else others


def _completed(was: RolloutStatus, rollout: RolloutStatus) -> bool:
    """A version came to the end of its rollout, and was not only put aside for another."""
    return (
        rollout.phase is RolloutPhase.STABLE
        and was.phase in (RolloutPhase.PROMOTING, RolloutPhase.BAKING)
        and rollout.stable_revision is not None
        and rollout.stable_revision == was.candidate_revision
    )
