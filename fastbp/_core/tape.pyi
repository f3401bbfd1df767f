"""The nodes between named ends of the graph, in topological order."""

from typing import final

from fastbp._core.graph import Variable

@final
class Tape:
    outer: bool

def ends(outputs: list[Variable], inputs: list[Variable]) -> tuple[bool, list[bool]]: ...
def largest(outputs: list[Variable], inputs: list[Variable]) -> int: ...
def waist(
    output: Variable, inputs: list[Variable], independent: bool
) -> tuple[Variable | None, float]: ...
def frontier(outputs: list[Variable], since: int) -> list[Variable]: ...
def op_names(outputs: list[Variable]) -> list[str]: ...
