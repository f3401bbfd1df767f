"""Reverse and forward sweeps between named ends of the graph."""

from typing import Any

from fastbp._core.tape import Tape

def reverse(
    tape: Tape,
    cotangents: list[Any],
    create_graph: bool | None = False,
    lead: int = 0,
    consume: bool = False,
    inner: bool = False,
    linear: bool = False,
) -> list[Any]: ...
def forward(
    tape: Tape,
    tangents: list[Any],
    create_graph: bool | None = False,
    lead: int = 0,
    inner: bool = False,
    linear: bool = False,
) -> list[Any]: ...
