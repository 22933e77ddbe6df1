"""A check of the story: what was expected, and what was found instead."""


class CheckFailed(Exception):
    """The story is not true; the audience is told, and the demo's exit code is 1."""

    def __init__(self, *, expected: str, found: object) -> None:
        super().__init__(f"expected {expected}; found {found}")
        self.expected = expected
        self.found = str(found)
