"""The machine of a plan: instructions over buffers."""

from collections.abc import Callable, Sequence
from typing import Any, final

import numpy as np

from fastbp._core.program import Program

MOST_PICKED_INPUTS: int

@final
class Frame:
    def __init__(self, *args: Any, **kwargs: Any) -> None: ...

@final
class Machine:
    n_steps: int
    n_buffers: int
    work_bytes: int
    def __init__(
        self,
        n_buffers: int,
        work_buffer: int,
        work_bytes: int,
        constants: dict[int, np.ndarray],
        sizes: dict[int, tuple[int, bool]] | None = None,
    ) -> None: ...
    @property
    def constants(self) -> dict[int, np.ndarray]: ...
    def size_of(self, buffer: int) -> int: ...
    def region(
        self,
        program: Program,
        shape: tuple[int, ...],
        slots: list[tuple[tuple[int, int], tuple[int, ...]]],
        sums: tuple[int, int, list[tuple[int, tuple[int, int]]]] | None = ...,
        ordered: bool = ...,
        picked: list[tuple[int, np.ndarray]] | None = ...,
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
        self,
        typenum: int,
        sizes: tuple[int, int, int],
        source: tuple[int, int],
        target: tuple[int, int],
    ) -> None: ...
    def copy(
        self,
        itemsize: int,
        shape: tuple[int, ...],
        source: tuple[int, int],
        from_strides: tuple[int, ...],
        target: tuple[int, int],
        to_strides: tuple[int, ...],
    ) -> None: ...
    def pick(
        self, itemsize: int, table: np.ndarray, source: tuple[int, int], target: tuple[int, int]
    ) -> None: ...
    def places(
        self,
        n: int,
        first: np.ndarray | None,
        indices: list[tuple[tuple[int, int], int, int, np.ndarray | None, int, int, int, int]],
        target: tuple[int, int],
    ) -> None: ...
    def gather(
        self,
        itemsize: int,
        sizes: tuple[int, int, int, int],
        source: tuple[int, int],
        steps: tuple[int, int, int],
        places: tuple[int, int],
        target: tuple[int, int],
    ) -> None: ...
    def scatter(
        self,
        typenum: int,
        sizes: tuple[int, int, int, int],
        source: tuple[int, int],
        places: tuple[int, int],
        target: tuple[int, int],
    ) -> None: ...
    def zero(self, size: int, target: tuple[int, int]) -> None: ...
    def lapack(
        self,
        routine: str,
        flags: tuple[str, ...],
        typenum: int,
        sizes: tuple[int, int, int],
        batch: tuple[int, ...],
        slots: list[tuple[tuple[int, int], int, int, tuple[int, ...]]],
        work: tuple[int, int],
    ) -> None: ...
    def call(
        self, function: Callable[..., Any], operands: list[Any], results: list[Any]
    ) -> None: ...
    def loop(
        self,
        count: int,
        moving: list[tuple[int, tuple[int, int], int]],
        swaps: Sequence[tuple[int, int]] = ...,
    ) -> None: ...
    def leave(self, size: int, place: tuple[int, int]) -> None: ...
    def branch(self, size: int, place: tuple[int, int]) -> None: ...
    def otherwise(self) -> None: ...
    def end(self) -> None: ...
