"""Where a rollout stands: the operator's memory of it across restarts."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field, StringConstraints

from crm_operator.api.base import ApiModel, Timestamp
from crm_operator.api.v1alpha1.text import ImageName, Name, Number, RevisionName, Text


class RolloutPhase(StrEnum):
    """Where a rollout stands; domain/rollout has the transitions."""

    STABLE = "Stable"
    CANARY = "Canary"
    PROMOTING = "Promoting"
    BAKING = "Baking"
    ROLLING_BACK = "RollingBack"
    ROLLED_BACK = "RolledBack"


class GoodRevision(ApiModel):
    """A version that came to the end of its rollout and never failed since."""

    revision: RevisionName = Field(description="Of the pod template.")
    stopped_time: Timestamp | None = Field(default=None, description="When it stopped serving; absent while it serves.")


class GuardBaseline(ApiModel):
    """What the trusted version showed one guard while it was not Critical; domain/baseline.py has the rule."""

    guard: Name = Field(description="The guard's name.")
    events: int | None = Field(
        default=None,
        description="Events, e.g. errors, in windows of the guard that were not Critical; absent: it counts none.",
    )
    jobs: int | None = Field(default=None, description="Jobs finished meanwhile; absent: nobody counts them.")
    level: Number | None = Field(
        default=None, description="The value that was reached in more than one of these windows, or minutes."
    )
    seconds: int = Field(description="The length of these windows together.")
    time: Timestamp = Field(description="When the last of them ended.")


class RolloutStatus(ApiModel):
    """The rollout's memory. Revisions are names of pod templates, see domain/revision.py."""

    phase: RolloutPhase = Field(description="Where the rollout stands.")
    step: int = Field(default=0, description="Index into rollout.steps; 0 outside Canary.")
    weight: int = Field(default=0, description="Percent asked for by the step; workers.canary shows the pods.")
    stable_revision: RevisionName | None = Field(
        default=None,
        description="The last revision that finished its bake; a rollback goes there. Absent until one is up.",
    )
    candidate_revision: RevisionName | None = Field(
        default=None, alias="canaryRevision", description="The revision being tried: Canary, Promoting, Baking."
    )
    failed_revision: RevisionName | None = Field(
        default=None, description="The revision that was rolled back; not tried again until the template changes."
    )
    held_revision: RevisionName | None = Field(
        default=None,
        description="The template's revision that waits, since another integration of this namespace rolled its image "
        "back; annotation retry or promote lets it go ahead.",
    )
    candidate_image: ImageName | None = Field(
        default=None, alias="canaryImage", description="The worker's image in the revision being tried."
    )
    failed_images: list[ImageName] = Field(
        default=[],
        max_length=5,
        description="Images of the last versions that were rolled back here; the namespace's other integrations do not "
        "begin with them by themselves.",
        json_schema_extra={"x-kubernetes-list-type": "set"},
    )
    step_start_time: Timestamp | None = Field(
        default=None,
        description="Since when the step's hold, or the bake, is counted; absent while it is not "
        "(pods not Ready, paused, warned).",
    )
    start_time: Timestamp | None = Field(
        default=None, description="When the rollout began: what breached before is not the release's fault."
    )
    waiting_since: Timestamp | None = Field(
        default=None, description="Since when pods are awaited, for progressDeadline; absent while none are."
    )
    failing_since: Timestamp | None = Field(
        default=None, description="Since when workers of the new version cannot start; absent while they can."
    )
    good_revisions: list[GoodRevision] = Field(
        default=[],
        max_length=5,
        description="Versions that served well; a template that goes back to one within an hour skips the canary.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["revision"]},
    )
    steps_hash: Annotated[str, StringConstraints(max_length=32)] | None = Field(
        default=None, description="Digest of rollout.steps; edited steps start again."
    )
    baseline: list[GuardBaseline] = Field(
        default=[],
        max_length=32,
        description="What the stable version did before and beside the one on trial, which is compared with it when no "
        "stable worker is left.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["guard"]},
    )
    reason: Text | None = Field(
        default=None, description="What the rollout waits for, or why it ended, in one sentence."
    )
