"""The machine of a plan: instructions over buffers."""

from collections.abc import Callable
from typing import Any, final

import numpy as np

from fastbp._core.program import Program

Place = tuple[int, int]

@final
class Frame: ...

@final
class Machine:
    n_steps: int
    n_buffers: int
    work_bytes: int
    def __init__(
        self, n_buffers: int, work_buffer: int, work_bytes: int, constants: dict[int, np.ndarray]
    ) -> None: ...
    def region(
        self,
        program: Program,
        shape: tuple[int, ...],
        slots: list[tuple[Place, tuple[int, ...]]],
    ) -> None: ...
    def product(
        self,
        typenum: int,
        sizes: tuple[int, int, int],
        batch: tuple[int, ...],
        a: tuple[Any, ...],
        b: tuple[Any, ...],
        c: tuple[Any, ...],
        accumulate: bool,
    ) -> None: ...
    def sum(
        self, typenum: int, sizes: tuple[int, int, int], source: Place, target: Place
    ) -> None: ...
    def copy(
        self,
        itemsize: int,
        shape: tuple[int, ...],
        source: Place,
        from_strides: tuple[int, ...],
        target: Place,
        to_strides: tuple[int, ...],
    ) -> None: ...
    def pick(self, itemsize: int, table: np.ndarray, source: Place, target: Place) -> None: ...
    def zero(self, size: int, target: Place) -> None: ...
    def call(
        self, function: Callable[..., Any], operands: list[Any], results: list[Any]
    ) -> None: ...
