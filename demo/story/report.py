"""The numbers of a run, and the table at its end."""

from dataclasses import dataclass, field


@dataclass(slots=True)
class Report:
    """Rows in the order in which they were measured."""

    rows: list[tuple[str, str]] = field(default_factory=list)

    def seconds(self, what: str, value: float) -> None:
        """A duration."""
        self.rows.append((what, f"{value:.2f} s" if value < 10 else f"{value:.1f} s"))

    def count(self, what: str, value: int) -> None:
        """A number of things."""
        self.rows.append((what, f"{value:,}"))

    def lines(self) -> list[str]:
        """The table, one line a row: names to the left, values to the right."""
        left = max((len(what) for what, _ in self.rows), default=0)
        right = max((len(value) for _, value in self.rows), default=0)
        return [f"  {what:<{left}}  {value:>{right}}" for what, value in self.rows]
