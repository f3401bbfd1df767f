"""A table of sets of column numbers, as sorted lists of disjoint intervals."""

class Table:
    size: int
    limit: int
    def __init__(self, size: int, limit: int = ...) -> None: ...
    def __len__(self) -> int: ...
