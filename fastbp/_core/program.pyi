"""Elementwise programs: traced from expressions, compiled to inner-loop calls."""

from collections.abc import Sequence
from typing import Any, final

import numpy as np
from numpy.typing import ArrayLike, NDArray

MASKS: dict[np.ufunc, Any]

class Expr(np.lib.mixins.NDArrayOperatorsMixin):
    trace: Trace
    index: int
    def __init__(self, trace: Trace, index: int) -> None: ...
    def __array_ufunc__(
        self, ufunc: np.ufunc, method: str, *operands: Any, **kwargs: Any
    ) -> Expr: ...
    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Expr: ...
    def __bool__(self) -> bool: ...

class Trace:
    code: list[tuple[Any, tuple[Any, ...]]]
    known: dict[Any, int]
    n_inputs: int
    def __init__(self) -> None: ...
    def input(self) -> Expr: ...
    def call(self, function: np.ufunc | str, *operands: Any) -> Expr: ...
    def lift(self, x: Any) -> Expr: ...
    def constant(self, expr: Expr) -> float | None: ...
    def depends(self, expr: Expr) -> set[int]: ...

@final
class Program:
    n_inputs: int
    n_outputs: int
    typenum: int
    reads: int
    def __call__(self, *inputs: ArrayLike) -> list[NDArray[Any]]: ...

def compile_program(trace: Trace, outputs: Sequence[Expr], typenum: int) -> Program | None: ...
