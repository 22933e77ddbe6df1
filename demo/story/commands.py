"""Commands as they are shown, and as they are run. Pure."""

from collections.abc import Sequence

from demo.wheelhouse import REPOSITORY

NEEDS_QUOTES = frozenset('{}()$ *"\\|&;<>')


def shown(arguments: Sequence[str]) -> str:
    """A call of kubectl as it can be pasted into a shell at the repository's top."""
    return " ".join(("kubectl", *(f"'{each}'" if NEEDS_QUOTES.intersection(each) else each for each in arguments)))


def from_anywhere(argument: str) -> str:
    """Files of the repository are named from its top; this finds them wherever the demo was started."""
    return str(REPOSITORY / argument) if argument.startswith("demo/") else argument
