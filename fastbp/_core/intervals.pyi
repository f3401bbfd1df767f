"""A table of sets of column numbers, as sorted lists of disjoint intervals."""

from typing import Self

from typing_extensions import disjoint_base

@disjoint_base
class Table:
    size: int
    limit: int
    def __new__(cls, size: int, limit: int = ...) -> Self: ...
    def __len__(self) -> int: ...
