"""Tables of operations on two things of several kinds: which row holds for a pair of kinds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Generic, TypeVar

__all__ = ["ANY", "Pairs"]

ANY = "*"

Row = TypeVar("Row")


class Pairs(Generic[Row]):
    """Rows by the kinds of the two operands, one or both of which may be `ANY`.

    Rows for two kinds go before those with `ANY`, and older rows before younger ones. A row may
    turn out not to hold; then the next one is asked.
    """

    def __init__(self) -> None:
        self._rows: dict[tuple[str, str], list[Row]] = {}

    def enter(self, a: str, b: str, row: Row) -> None:
        """Add a row for two kinds."""
        self._rows.setdefault((a, b), []).append(row)

    def rows(self, a: str, b: str) -> Iterator[Row]:
        """Yield the rows that may hold for two kinds, the most particular first."""
        for key in ((a, b), (a, ANY), (ANY, b), (ANY, ANY)):
            yield from self._rows.get(key, ())
