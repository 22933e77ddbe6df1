"""Where a rollout stands and what moves it on. The states and edges are drawn in docs/rollout.md.

`machine` says which question is asked first, `phases` what each phase waits for, `edges` what a change of phase does.
`objections` is what speaks against ending a step, `blocked` why a rollback does not come about, `verbs` what people may
ask for, `queued` when a template waits for a bake, `history` which versions served well, `seen` what the workers show.
"""

from crm_operator.domain.rollout.edges import Move, steps_hash
from crm_operator.domain.rollout.machine import advance, unmoved

__all__ = ["Move", "advance", "steps_hash", "unmoved"]
