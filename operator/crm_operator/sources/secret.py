"""A string that must not be seen: broker URLs with passwords. Whoever needs the value says so with `reveal()`."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Secret:
    """Compares and hashes by its value; repr, str and format show `***`."""

    _value: str = field(repr=False)

    def reveal(self) -> str:
        """The value itself, for the one call that sends it to its host."""
        return self._value

    def __repr__(self) -> str:
        return "Secret(***)"

    def __str__(self) -> str:
        return "***"
