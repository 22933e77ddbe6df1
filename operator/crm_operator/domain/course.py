"""What of a plan is still tried after a write failed, and which failure is told of.

The rule is here and not where the writes are made, so that the simulations go by it, too. One write that fails must
not keep a bad version running: sizes and templates that take work away from it do not wait for one another.
"""

from dataclasses import dataclass

from crm_operator.domain.plan import (
    Action,
    ApplyTemplate,
    CreatePause,
    EmitEvent,
    RecordRevision,
    SetReplicas,
    WriteStatus,
)
from crm_operator.domain.rollout import unrecorded


@dataclass(slots=True)
class Course:
    """One run through a plan; whoever carries it out asks before each action, and tells of each that failed."""

    _ended: bool = False  # what follows rests on something that failed
    _unrecorded: bool = False  # the intent is not stored
    _remembered: bool = False  # ... but is a rollback, and the next pass knows of it

    def goes_on_with(self, action: Action) -> bool:
        """Whether `action` is to be tried."""
        if not self._ended:
            return True
        match action:
            case SetReplicas():
                return action.stops_damage
            case ApplyTemplate():
                # Else the next pass, which no longer sees the bad workers, would put them back.
                return action.urgent and (self._remembered or not self._unrecorded)
            case EmitEvent():
                # Of a decision that stands in status, and so is not decided again.
                return not self._unrecorded
            case _:
                return False

    def failed(self, action: Action, *, refused: bool) -> bool:
        """Whether the failure of `action` is the one to tell of; a later one that is takes its place.

        A SyncPause ends nothing, since what follows does not rest on it. Of those that stop or replace a bad version
        the last counts: a template that was refused says more than the size before it. Nothing counts more than that
        the intent could not be stored. `refused`: not because the world has changed, or could not be reached; then
        whoever carries it out shows the action to the next pass (`World.refused`).
        """
        counts = not self._unrecorded
        if isinstance(action, WriteStatus) and refused:
            self._remembered = unrecorded.is_rollback(action)
        self._ended = self._ended or not isinstance(action, CreatePause)
        self._unrecorded = self._unrecorded or isinstance(action, RecordRevision | WriteStatus)
        return counts
