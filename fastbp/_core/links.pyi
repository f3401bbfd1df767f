from typing import Any, final

import numpy as np

from fastbp._core.graph import Op, Spec, Variable

@final
class Link:
    op: Op | None
    parents: tuple[int, ...]
    operands: tuple[Any, ...]
    ans: np.ndarray | Spec | tuple[Any, ...]
    output: int | None
    static: dict[str, Any]
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    variable: Variable
    def __init__(self, *args: Any) -> None: ...
