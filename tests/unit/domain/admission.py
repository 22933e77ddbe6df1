"""What the API server of a simulation refuses."""

from crm_operator.domain.plan import Action, ApplyTemplate, SetReplicas, WriteStatus


class Admission:
    """Policies, which a scenario changes as it goes."""

    def __init__(self) -> None:
        self.denied = False  # no template of the stable Deployment may be changed
        self.frozen = False  # ... or its size, nor any other's
        self.banned: set[str] = set()  # ... or none to these revisions
        self.unrecorded = False  # ... or the status be written

    @property
    def is_strict(self) -> bool:
        """Whether something may be refused."""
        return self.denied or self.frozen or self.unrecorded or bool(self.banned)

    def denies(self, action: Action, *, first: bool) -> bool:
        """Whether a policy is against it; `first`: there is no stable Deployment yet."""
        match action:
            case WriteStatus():
                return self.unrecorded
            case SetReplicas():
                return self.frozen
            case ApplyTemplate():
                return not first and ((self.denied and action.role == "stable") or action.revision in self.banned)
            case _:
                return False
