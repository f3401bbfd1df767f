"""From partial derivatives to the programs of an elementwise operation's sweeps."""

from collections.abc import Callable, Sequence
from typing import Any

from fastbp._core.program import Program

def analyse(
    partials: Sequence[Callable[..., Any]], nin: int
) -> tuple[tuple[float | None, ...], list[int]]: ...
def compile_forward(forward: Any, nin: int, typenum: int) -> Program | None: ...
def compile_pull(
    partials: Sequence[Callable[..., Any]],
    constants: Sequence[float | None],
    strong: int,
    needs: int,
    accumulates: int,
    signs: bool,
    typenum: int,
) -> Program | None: ...
def compile_push(
    partials: Sequence[Callable[..., Any]],
    constants: Sequence[float | None],
    strong: int,
    moving: int,
    signs: bool,
    typenum: int,
) -> Program | None: ...
