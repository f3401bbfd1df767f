"""Reverse and forward sweeps between named ends of the graph."""

from typing import Any

from fastbp._core.graph import Variable

def reverse(
    outputs: list[Variable],
    cotangents: list[Any],
    inputs: list[Variable],
    create_graph: bool | None = False,
    lead: int = 0,
    consume: bool = False,
    independent: bool = False,
    inner: bool = False,
) -> list[Any]: ...
def pull_back(
    outputs: list[Variable],
    cotangents: list[Any],
    inputs: list[Variable],
    create_graph: bool | None = False,
    lead: int = 0,
    consume: bool = False,
) -> tuple[list[Any], bool]: ...
def forward(
    outputs: list[Variable],
    inputs: list[Variable],
    tangents: list[Any],
    create_graph: bool | None = False,
    lead: int = 0,
    independent: bool = False,
    inner: bool = False,
) -> list[Any]: ...
