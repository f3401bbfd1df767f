from typing import Any, final

import numpy as np

from fastbp._core.graph import Op, Spec

@final
class Link:
    op: Op | None
    parents: tuple[int, ...]
    operands: tuple[Any, ...]
    fixed: tuple[bool, ...]
    ans: np.ndarray | Spec | tuple[Any, ...]
    output: int | None
    static: dict[str, Any]
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    variable: Any
    def __init__(self, *args: Any) -> None: ...
    def outer(self, k: int) -> Any: ...

def leaves_of(variables: list[Any]) -> list[Any]: ...
def are_alike(x: Any, y: Any) -> bool: ...
